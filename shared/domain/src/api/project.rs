//! Projects, and what is saved in them: recipes and layouts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Access, Time};

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask for as `after` to get the next part; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Project {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Time,
    /// Counts the changes of its own fields; the `ETag` is `"version"`.
    pub version: i64,
    /// What whoever asks may do with it.
    pub access: Access,
}

/// What a new project needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewProject {
    /// 1 to 200 characters.
    pub name: String,
}

/// What shall be changed of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProjectChange {
    /// 1 to 200 characters.
    pub name: String,
}

/// A recipe or a layout that was saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stored<T> {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The recipe, with every parameter, or the layout.
    pub value: T,
    /// When it was made.
    pub created: Time,
    /// Counts its changes; the `ETag` is `"version"`.
    pub version: i64,
}

/// A recipe or a layout to save, or what takes the place of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewStored<T> {
    /// 1 to 200 characters.
    pub name: String,
    /// The recipe, in which what is not named has its default, or the layout.
    pub value: T,
}
