//! Training runs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{JobState, Time};
use crate::recipe::Recipe;
use crate::subject::SubjectId;

/// A base model that the server has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Base {
    /// What runs call it.
    pub name: String,
    /// The negative prompt that suits it.
    pub negative: String,
    /// Whether it draws plush toys only, as the one that ships does.
    pub toys_only: bool,
}

/// A training run. It keeps the photos, masks and captions that the project had when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The base model.
    pub base: String,
    /// The recipe, with every parameter.
    pub recipe: Recipe,
    /// How many photos it trains on.
    pub photos: u32,
    /// The subjects that it trains on, under the names that they had when it was made: prompts have to use these.
    pub subjects: Vec<RunSubject>,
    /// The job that trains it.
    pub job: Uuid,
    /// The job's state.
    pub state: JobState,
    /// When it was made.
    pub created: Time,
}

/// A subject as a run knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunSubject {
    /// Its key in the project.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: SubjectId,
    /// Identifier and class, as they were when the run was made.
    pub name: String,
}

/// What a new run needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewRun {
    /// 1 to 200 characters.
    pub name: String,
    /// One of the server's base models.
    pub base: String,
    /// Parameters by their names in the table of recipes; what is not named has its default.
    #[serde(default)]
    pub recipe: Recipe,
}

/// Pictures that a run drew while it was trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Samples {
    /// After how many steps.
    pub step: u64,
}

/// What a run would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proposal {
    /// One of the server's base models.
    pub base: String,
    /// Parameters by their names in the table of recipes; what is not named has its default.
    #[serde(default)]
    pub recipe: Recipe,
}

/// What a run would need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// Memory, in bytes.
    pub memory: u64,
    /// Memory that can be had now, in bytes; none where that is not known, as on a graphics card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// Why the run would be refused, and what would fit; none where it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Seconds of training, from the speed of earlier runs on the same base; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What would make the run worse than it need be, a sentence each: identifiers that the base's vocabulary has in pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Pictures that training showed the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Seen {
    /// In which step; 0 before the first.
    pub step: u64,
    /// Their captions, in the order of the pictures, from left to right.
    pub captions: Vec<String>,
}

/// What a step of training gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metric {
    /// The step, from 1.
    pub step: u64,
    /// Its loss.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
}
