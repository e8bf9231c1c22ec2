//! Making masks.

use std::path::Path;

use mudi_domain::api::{JobEvent, NewMasks};
use uuid::Uuid;

use super::LOADING;
use super::worker::{Stopped, Work};
use crate::dataset::decode::decode;
use crate::segment::{AutoSegmenter, AutomaticError, Networks, THRESHOLD};
use crate::server::media;
use crate::server::store::StoreError;
use crate::vision::VisionError;

/// Makes the masks that are not there yet, and those that are wanted anew.
pub(super) fn run(work: &Work<'_>) -> Result<(), Stopped> {
    let request: NewMasks =
        serde_json::from_str(&work.claim.request).map_err(|error| Stopped::of("request", &error))?;
    let settings = &work.server.settings;
    let mut reporter = work.reporter();
    reporter.stage(LOADING)?;
    let networks = Networks { detector: settings.detector_folder(), segmenter: settings.segmenter_folder() };
    let automatic =
        AutoSegmenter::load(&networks, THRESHOLD).map_err(|error| Stopped::of("networks", &error))?;
    let count = request.photos.len() as u64;
    for (index, &photo) in request.photos.iter().enumerate() {
        if work.interrupt.is_set() {
            return Err(Stopped::Interrupted);
        }
        reporter.step("masks", index as u64, count, None)?;
        match mask(work, &automatic, photo, &request.anew) {
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

/// Makes the mask of a photo that has none, one that covers nothing, or one of `anew`. Returns nothing where it is not needed, else why it could not be made,
/// if so.
fn mask(
    work: &Work<'_>,
    automatic: &AutoSegmenter,
    photo: Uuid,
    anew: &[String],
) -> Result<Option<Option<String>>, Stopped> {
    let (store, project) = (&work.server.store, work.claim.project);
    let looked_up = work.handle.block_on(async {
        let known = store.photo(project, photo).await?;
        if known.is_masked() && known.mask.as_ref().is_some_and(|mask| !anew.contains(mask)) {
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
        Err(AutomaticError::Vision(VisionError::UnknownClass { text, known })) => {
            return Ok(Some(Some(unknown(&text, &known))));
        }
        Err(error) => return Ok(Some(Some(error.to_string()))),
    };
    let ready = media::ready_mask(&made.mask).map_err(|error| Stopped::of("failed", &error))?;
    let keeping = work.wait(store.keeping(project))?;
    let written = work.handle.block_on(async {
        let kept = ready.keep(&keeping).await?;
        store.mask_photo(project, photo, known.mask.as_deref(), Some(&kept)).await
    });
    match written {
        Ok(before) => {
            drop(keeping);
            work.wait(store.release(project, &before))?;
            Ok(Some(None))
        }
        Err(error) => {
            work.undo(keeping);
            match error {
                StoreError::Stale(_) | StoreError::Missing(_) => Ok(None),
                error => Err(Stopped::of("store", &error)),
            }
        }
    }
}

/// What a small detector never heard of. On the page nobody can name another one.
fn unknown(class: &str, known: &str) -> String {
    format!(
        "this server's detector does not know “{class}”, but only {known}; draw the mask, or ask whoever hosts the server to add OWLv2 \
         and SAM"
    )
}

/// Which of several is meant is not guessed.
fn not_one(class: &str, found: usize) -> String {
    match found {
        0 => format!("no {class} was found; draw the mask, or point at the subject"),
        count => format!("{count} of {class} were found; point at the one that is meant"),
    }
}
