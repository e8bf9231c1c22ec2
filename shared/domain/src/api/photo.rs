//! Subjects and their photos.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;
use crate::geometry::Rect;
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
    /// What layouts call it among the subject's photos: counted from 0 as they are added, and never given to another.
    pub number: u32,
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
    /// The bounding box of what the mask covers, in pixels; none without a mask, or where it covers nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Rect>,
    /// When it was uploaded.
    pub created: Time,
    /// Counts the changes of its caption and of its subject; the `ETag` is `"version"`.
    pub version: i64,
}

impl Photo {
    /// Whether a mask tells its subject from its surroundings. One that covers nothing does not.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.bounds.is_some()
    }
}

/// Photos whose masks shall be made: the subject's class is looked for, and cut out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewMasks {
    /// Which; all of the project where none are named. A mask that covers something stays, unless it is one of `anew`.
    pub photos: Vec<Uuid>,
    /// Masks that are made anew, by what [`Photo::mask`] says of them. Each stays until the new one is there, and where
    /// somebody has drawn another by then, or none can be made.
    pub anew: Vec<String>,
}

/// What points at the subject of a photo. At least a point or the box is needed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MaskPrompt {
    /// Places on the subject and beside it; at most 64.
    pub points: Vec<MaskPoint>,
    /// Left, top, right and bottom of a box around the subject, in pixels of the photo.
    pub bounds: Option<[f32; 4]>,
}

/// A place in a photo.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MaskPoint {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// Whether it is on the subject, or beside it.
    pub on_subject: bool,
}

/// What shall be changed of a photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhotoChange {
    /// At most 1000 characters; empty for `A photo of {name}.` It stays where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The subject that the photo is moved to, with its mask and its caption. It stays where it is if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub subject: Option<SubjectId>,
}
