//! What the server and the page say to each other, as JSON.
//!
//! Ids are UUIDs of version 7, so that sorting by id sorts by time; a subject's id is its key in prompts' and layouts'
//! data ([`SubjectId`](crate::subject::SubjectId)). Times are milliseconds since 1970-01-01T00:00Z. With the feature
//! `openapi` the types describe themselves to the server's OpenAPI document.

mod access;
mod image;
mod job;
mod latents;
mod photo;
mod preview;
mod problem;
mod project;
mod run;

pub use access::{
    Access, CreatedLink, Link, NewLink, NewPassword, NewSession, ProjectAccess, Session, ToysOnly,
};
pub use image::{Image, ImageScore, LayoutChoice, NewEvaluation, NewImages};
pub use job::{Job, JobEvent, JobFault, JobKind, JobState};
pub use latents::Latents;
pub use photo::{
    MaskPoint, MaskPrompt, NewMasks, NewSubject, Photo, PhotoChange, SubjectChange, SubjectSummary,
};
pub use preview::{PreviewFile, PreviewLora, PreviewModel, PreviewNeeds, SegmenterModel};
pub use problem::Problem;
pub use project::{NewProject, NewStored, Page, Project, ProjectChange, Stored};
pub use run::{Base, Forecast, Metric, NewRun, Proposal, Run, RunSubject, Samples, Seen};

/// Milliseconds since 1970-01-01T00:00Z.
pub type Time = i64;
