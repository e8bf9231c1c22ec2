//! Requests to the server, with the types of [`mudi_domain::api`].

mod binary;
mod live;
mod loaded;
mod request;
mod upload;
mod watch;

pub(crate) use crate::answers::ApiError;
pub(crate) use binary::{post_for_image, read_image, write_mask};
pub(crate) use live::listen;
pub(crate) use loaded::Loaded;
pub(crate) use request::{
    bytes, decoded, delete, delete_version, get, list, outliving, patch, post, post_empty, put, put_empty,
};
pub(crate) use upload::{Sent, upload, upload_text};
pub(crate) use watch::Connection;

use uuid::Uuid;

/// What requests give.
pub(crate) type Answer<T> = Result<T, ApiError>;

/// A path below a project's.
pub(crate) fn of(project: Uuid, below: &str) -> String {
    if below.is_empty() {
        format!("/api/projects/{project}")
    } else {
        format!("/api/projects/{project}/{below}")
    }
}
