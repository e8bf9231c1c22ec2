//! What a job would fail of, told before it waits for its turn.

use std::path::PathBuf;

use mudi_domain::api::Run;
use mudi_domain::collage::MAX_SUBJECTS;
use mudi_domain::layout::Layout;
use mudi_domain::mask::Mask;
use mudi_domain::recipe::Recipe;
use mudi_domain::subject::Subject;
use uuid::Uuid;

use crate::dataset::decode::decode;
use crate::dataset::{LONGEST_SIDE, covers_something};
use crate::server::http::App;
use crate::server::http::problem::ApiError;
use crate::server::media::MediaError;
use crate::server::store::{Range, RunData, StoreError};
use crate::train::check_subjects;

/// Whether the project's masks cover something. The editor keeps empty ones on the way; a run would keep its copy for good.
pub(super) async fn masks(server: &App, project: Uuid) -> Result<(), ApiError> {
    let all = Range { after: Uuid::nil(), limit: u32::MAX - 1 };
    for photo in server.store.photos(project, None, all).await?.items {
        // Photos without one are told of where the run is made.
        let Some(file) = photo.mask else { continue };
        let permit = server.guard.decoder().await?;
        let bytes = match server.store.blobs().read(project, &file).await {
            // Somebody has drawn another one, or deleted the photo.
            Err(StoreError::Missing(_)) => continue,
            read => read?,
        };
        let shown = PathBuf::from(format!("the mask of {}", photo.name));
        let covers = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let drawn = decode(&shown, &bytes).map_err(MediaError::from)?.upright();
            Ok::<_, ApiError>(covers_something(&Mask::from_image(&drawn)))
        });
        if !covers.await?? {
            return Err(ApiError::conflict(format!(
                "the mask of {:?} (subject `{}`) covers nothing, or so little that nothing is left of it at {LONGEST_SIDE} pixels; paint \
                 the subject white, or delete the photo",
                photo.name, photo.subject
            )));
        }
    }
    Ok(())
}

/// Whether the recipe fits those whom a run would learn of now: the subjects that have photos.
pub(super) async fn subjects(server: &App, project: Uuid, recipe: &Recipe) -> Result<(), ApiError> {
    let all = server.store.subjects(project).await?.items.into_iter();
    let known =
        all.filter(|subject| subject.photos > 0).map(|subject| Subject::new(subject.id, &subject.name));
    let known = known.collect::<Result<Vec<_>, _>>()?;
    // Without any there is no run, as is told where it would be made.
    if known.is_empty() {
        return Ok(());
    }
    check_subjects(recipe, &known, true).map_err(|error| ApiError::refused(error.for_page()))
}

/// Whether a random layout has a place for everybody whom the prompt is about: those that it names, or all.
pub(super) fn random_layout(run: &Run, prompt: &str) -> Result<(), ApiError> {
    let known = run.subjects.iter().map(|subject| Subject::new(subject.id.clone(), &subject.name));
    let known = known.collect::<Result<Vec<_>, _>>()?;
    let placed = match known.iter().filter(|subject| subject.is_named_in(prompt)).count() {
        0 => known.len(),
        named => named,
    };
    if placed <= MAX_SUBJECTS {
        return Ok(());
    }
    Err(ApiError::refused(format!(
        "a random layout places at most {MAX_SUBJECTS} subjects, and this prompt is about {placed} of the run's; name at most \
         {MAX_SUBJECTS} of them in it, or go without a layout"
    )))
}

/// Whether the run has the photos that a layout places.
pub(super) fn layout(data: &RunData, layout: &Layout) -> Result<(), ApiError> {
    data.by_place(layout).map(|_| ()).map_err(|missing| {
        ApiError::refused(format!("{missing} (the run was trained on the photos that the project had then)"))
    })
}
