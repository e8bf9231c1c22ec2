//! Saving a picture on the own disk, with or without what it was made with.

use crate::api::{self, Answer, ApiError};
use crate::browser;
use crate::png;

/// Saves the picture at `path` under `name`, without its metadata.
pub(super) async fn save_bare(path: &str, name: &str) -> Answer<()> {
    let file = api::bytes(path).await?;
    let bare = png::without_metadata(&file).ok_or_else(|| ApiError::Unreadable("it is no PNG".to_owned()))?;
    browser::save_png(&bare, name)
        .map_err(|_| ApiError::Unreadable("the browser does not save it".to_owned()))
}
