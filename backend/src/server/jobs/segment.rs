//! Making masks.

use std::path::Path;

use mudi_domain::api::{JobEvent, NewMasks};
use uuid::Uuid;

use super::worker::{Stopped, Work};
use crate::dataset::decode::decode;
use crate::segment::{AutoSegmenter, AutomaticError, Networks, THRESHOLD};
use crate::server::media;
use crate::server::store::StoreError;

/// Makes the masks that are not there yet.
pub(super) fn run(work: &Work<'_>) -> Result<(), Stopped> {
    let request: NewMasks =
        serde_json::from_str(&work.claim.request).map_err(|error| Stopped::of("request", &error))?;
    let settings = &work.server.settings;
    let networks = Networks { detector: settings.detector_folder(), segmenter: settings.segmenter_folder() };
    let automatic =
        AutoSegmenter::load(&networks, THRESHOLD).map_err(|error| Stopped::of("networks", &error))?;
    let mut reporter = work.reporter();
    let count = request.photos.len() as u64;
    for (index, &photo) in request.photos.iter().enumerate() {
        if work.interrupt.is_set() {
            return Err(Stopped::Interrupted);
        }
        reporter.step("masks", index as u64, count, None)?;
        match mask(work, &automatic, photo) {
            Ok(Some(fault)) => {
                let event = JobEvent::Mask { photo, fault };
                work.wait(work.server.queue.note(&work.server.store, work.claim.id, &event))?;
            }
            // It was deleted, or somebody has drawn one.
            Ok(None) => {}
            Err(stopped) => return Err(stopped),
        }
    }
    reporter.step("masks", count, count, None)
}

/// Makes the mask of a photo that has none. Returns nothing where it is not needed, else why it could not be made, if so.
fn mask(work: &Work<'_>, automatic: &AutoSegmenter, photo: Uuid) -> Result<Option<Option<String>>, Stopped> {
    let (store, project) = (&work.server.store, work.claim.project);
    let looked_up = work.handle.block_on(async {
        let known = store.photo(project, photo).await?;
        if known.mask.is_some() {
            return Ok(None);
        }
        let subject = store.subject(project, &known.subject).await?;
        let files = store.photo_file(project, photo).await?;
        Ok(Some((known, subject, store.blobs().read(project, &files.file).await?)))
    });
    let (known, subject, bytes) = match looked_up {
        Ok(Some(found)) => found,
        Ok(None) | Err(StoreError::Missing(_)) => return Ok(None),
        Err(error) => return Err(Stopped::of("store", &error)),
    };
    let class = subject.name.split_once(' ').map_or("", |(_, class)| class);
    let image = decode(Path::new(&known.name), &bytes).map_err(|error| Stopped::of("photos", &error))?.rgb();
    let made = match automatic.mask(Path::new(&known.name), &image, class) {
        Ok(made) => made,
        Err(AutomaticError::NotOne { found, .. }) => return Ok(Some(Some(not_one(class, found.len())))),
        Err(AutomaticError::Empty { .. }) => {
            return Ok(Some(Some(format!("{class} was found, but could not be cut out; draw the mask"))));
        }
        Err(error) => return Ok(Some(Some(error.to_string()))),
    };
    let encoded = media::encode_mask(&made.mask).map_err(|error| Stopped::of("failed", &error))?;
    let keeping = work.wait(store.keeping(project))?;
    let kept = work.wait(keeping.put(encoded.bytes, encoded.extension))?;
    let written = work.handle.block_on(store.mask_photo(project, photo, None, Some(&kept)));
    drop(keeping);
    match written {
        Ok(()) => Ok(Some(None)),
        Err(StoreError::Stale(_) | StoreError::Missing(_)) => {
            work.wait(store.release(project, &[kept]))?;
            Ok(None)
        }
        Err(error) => Err(Stopped::of("store", &error)),
    }
}

/// Which of several is meant is not guessed.
fn not_one(class: &str, found: usize) -> String {
    match found {
        0 => format!("no {class} was found; draw the mask, or point at the subject"),
        count => format!("{count} of {class} were found; point at the one that is meant"),
    }
}
