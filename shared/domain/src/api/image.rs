//! Generated images.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;
use crate::aspect::Aspect;
use crate::layout::Layout;

/// A generated image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// Its id.
    pub id: Uuid,
    /// The job that made it.
    pub job: Uuid,
    /// The run whose weights were used; none for the base alone, or where the run was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// Its number among the job's images, from 0.
    pub number: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The seed of this image.
    #[cfg_attr(feature = "openapi", schema(format = "uint64"))]
    pub seed: u64,
    /// Whether it started from a layout, whose canvas can be seen.
    pub canvas: bool,
    /// What it was made with, as in the file's own metadata.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub parameters: serde_json::Value,
    /// What Detect-and-Compare says of it; none where it was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ImageScore>,
    /// When it was made.
    pub created: Time,
}

/// Whether an image shows the subjects of its run, each once and unmixed, by Detect-and-Compare (MuDI, section 5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageScore {
    /// At most 1, which is right; 0 where the number of detections is not that of subjects.
    pub score: f64,
    /// Whether it is right: the score reaches the threshold that was fixed, for so many subjects, on scenes whose truth is known. Nothing
    /// where no threshold is known for the networks that judged.
    pub right: Option<bool>,
    /// How many subjects were detected.
    pub detected: u32,
    /// How many there are.
    pub subjects: u32,
    /// The outcome in words.
    pub explanation: String,
}

/// Images to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewEvaluation {
    /// 1 to 500 images of one run.
    pub images: Vec<Uuid>,
}

/// Where images start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LayoutChoice {
    /// From noise alone.
    #[default]
    None,
    /// From a random collage of the run's subjects, another for each image.
    Random,
    /// From this layout.
    Fixed(Layout),
}

/// Images to make. What is not named has the default of the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewImages {
    /// The finished run whose weights shall be used; none for the base alone.
    pub run: Option<Uuid>,
    /// The base model, where there is no run.
    pub base: Option<String>,
    /// What to draw; at most 1000 characters.
    pub prompt: String,
    /// What not to draw; at most 1000 characters. Where none is given, what suits the base: `sticker, collage.` where its vocabulary has words for
    /// that, otherwise nothing.
    pub negative: Option<String>,
    /// Where the images start.
    pub layout: LayoutChoice,
    /// Width to height of the images, in about as many pixels as otherwise. Where nothing is said: as the layout has it, or the run's
    /// recipe, or a square. A layout of other proportions fills the height.
    pub aspect: Option<Aspect>,
    /// Strength of the layout, -20 to 100; where none is given 2 with a layout of up to three subjects, 3 with one of more.
    #[cfg_attr(feature = "openapi", schema(minimum = -20, maximum = 100))]
    pub gamma: Option<f32>,
    /// Steps of the sampler, 1 to 1000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1000))]
    pub steps: u32,
    /// Classifier-free guidance scale, 0 to 100; 1 and less leave it out.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 100))]
    pub guidance: f32,
    /// ddim, euler, euler-ancestral or dpmpp-2m.
    pub sampler: String,
    /// Karras' spacing of noise levels, of euler and dpmpp-2m; where nothing is said, as the base's schedule has it.
    pub karras: Option<bool>,
    /// Seed of the first image; the next ones count up.
    #[cfg_attr(feature = "openapi", schema(format = "uint64"))]
    pub seed: u64,
    /// How many, 1 to 64.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 64))]
    pub count: u32,
    /// Strength of the run's weights, -20 to 100.
    #[cfg_attr(feature = "openapi", schema(minimum = -20, maximum = 100))]
    pub lora_scale: f32,
}

impl Default for NewImages {
    fn default() -> Self {
        Self {
            run: None,
            base: None,
            prompt: String::new(),
            negative: None,
            layout: LayoutChoice::None,
            aspect: None,
            gamma: None,
            steps: 25,
            guidance: 5.0,
            sampler: "euler".to_owned(),
            karras: None,
            seed: 0,
            count: 4,
            lora_scale: 1.0,
        }
    }
}
