//! Small masks and bounding boxes of masks that were kept before there were any.

use std::path::Path;

use mudi_domain::mask::Mask;
use uuid::Uuid;

use super::media::{MediaError, Outline};
use super::store::{Store, StoreError};
use crate::dataset::decode::decode;

/// Why a mask has none.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// Makes what is missing, mask by mask: a server that is killed meanwhile goes on where it was. A mask that cannot be read keeps
/// nobody from starting.
pub(super) async fn complete(store: &Store) -> Result<(), StoreError> {
    let bare = store.bare_masks().await?;
    if !bare.is_empty() {
        tracing::info!(masks = bare.len(), "small masks are made of those that an earlier version has kept");
    }
    for (project, photo, mask) in bare {
        if let Err(error) = outline(store, project, photo, mask).await {
            tracing::warn!(%project, %photo, %error, "no small mask can be made; the next start tries again");
        }
    }
    Ok(())
}

async fn outline(store: &Store, project: Uuid, photo: Uuid, mask: String) -> Result<(), Fault> {
    let bytes = store.blobs().read(project, &mask).await?;
    let made = tokio::task::spawn_blocking(move || {
        let decoded = decode(Path::new("the mask"), &bytes).map_err(MediaError::from)?;
        Outline::of(&Mask::from_image(&decoded.upright()))
    });
    let made = made.await??;
    let keeping = store.keeping(project).await?;
    let whole = made.keep(&keeping, mask.clone()).await?;
    store.mask_photo(project, photo, Some(&mask), Some(&whole)).await?;
    Ok(())
}
