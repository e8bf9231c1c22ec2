//! Subjects and their photos.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;
use crate::subject::SubjectId;

/// A subject of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectSummary {
    /// Its key in the project.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: SubjectId,
    /// Identifier and class, for example `olis brown teddy bear`.
    pub name: String,
    /// How many photos it has.
    pub photos: u32,
    /// Counts the changes of its name; the `ETag` is `"version"`.
    pub version: i64,
}

/// What a new subject needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewSubject {
    /// Its key: 1 to 64 letters, digits, `-` or `_`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: SubjectId,
    /// Identifier and class; at least two words, at most 200 characters.
    pub name: String,
}

/// What shall be changed of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectChange {
    /// Identifier and class; at least two words, at most 200 characters.
    pub name: String,
}

/// A photo: upright, without the camera's notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Photo {
    /// Its id.
    pub id: Uuid,
    /// Whose photo it is.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub subject: SubjectId,
    /// The name of the file that was uploaded.
    pub name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// What a prompt would say of it; empty for `A photo of {name}.`
    pub caption: String,
    /// The mask's `ETag`, without quotes; none where there is no mask yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// When it was uploaded.
    pub created: Time,
    /// Counts the changes of its caption; the `ETag` is `"version"`.
    pub version: i64,
}

/// What shall be changed of a photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhotoChange {
    /// At most 1000 characters; empty for `A photo of {name}.`
    pub caption: String,
}
