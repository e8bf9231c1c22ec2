//! Judging images by Detect-and-Compare.

use std::path::Path;
use std::sync::Arc;

use mudi_domain::api::{ImageScore, JobEvent, NewEvaluation};
use uuid::Uuid;

use super::worker::{Stopped, Work};
use super::{LOADING, photos};
use crate::dataset::Dataset;
use crate::dataset::decode::decode;
use crate::evaluate::{EvaluateError, Eyes, Judge, Judged};
use crate::server::store::StoreError;

/// Of two boxes that share more of both together than this only the surer one counts: the names of similar subjects find the
/// same things.
const OVERLAP: f64 = 0.5;

/// Judges the images that have no score yet.
pub(super) fn run(work: &Work<'_>) -> Result<(), Stopped> {
    let request: NewEvaluation =
        serde_json::from_str(&work.claim.request).map_err(|error| Stopped::of("request", &error))?;
    let run = work.claim.run.ok_or_else(|| Stopped::fault("run", "the job names no run"))?;
    let (store, settings) = (&work.server.store, &work.server.settings);
    let mut reporter = work.reporter();
    reporter.stage(LOADING)?;
    let data = work.wait(store.run_data(work.claim.project, run))?;
    let dataset =
        Dataset::load(&photos::lay_out(work, &data)?).map_err(|error| Stopped::of("photos", &error))?;
    let eyes = Eyes::load(&settings.detector_folder(), &[&settings.embedder_folder()])
        .map_err(|error| Stopped::of("networks", &error))?;
    let mut options = eyes.options();
    options.overlap = options.overlap.min(OVERLAP);
    let judge = Judge::new(Arc::new(eyes), &dataset, options).map_err(|error| match error {
        EvaluateError::UnknownClass { class, network, known } => Stopped::fault(
            "networks",
            format!(
                "The {network} of this server knows only {known}, and would judge pictures of `{class}` by chance. Whoever runs the \
                 server can give it another one (its setting `{network}`)."
            ),
        ),
        error => Stopped::of("photos", &error),
    })?;
    let count = request.images.len() as u64;
    for (index, &image) in request.images.iter().enumerate() {
        if work.interrupt.is_set() {
            return Err(Stopped::Interrupted);
        }
        reporter.step("scores", index as u64, count, None)?;
        score(work, &judge, image)?;
    }
    reporter.step("scores", count, count, None)
}

/// Judges an image, unless it was judged already or was deleted.
fn score(work: &Work<'_>, judge: &Judge, image: Uuid) -> Result<(), Stopped> {
    let (store, project) = (&work.server.store, work.claim.project);
    let looked_up = work.handle.block_on(async {
        if store.image(project, image).await?.score.is_some() {
            return Ok(None);
        }
        let files = store.image_file(project, image).await?;
        let bytes = store.blobs().read(project, &files.file).await?;
        Ok(Some((files, bytes)))
    });
    let (files, bytes) = match looked_up {
        Ok(Some(found)) => found,
        Ok(None) | Err(StoreError::Missing(_)) => return Ok(()),
        Err(error) => return Err(Stopped::of("store", &error)),
    };
    let pixels = decode(Path::new(&files.file), &bytes).map_err(|error| Stopped::of("failed", &error))?.rgb();
    let judged =
        judge.judge(Path::new(&files.file), &pixels).map_err(|error| Stopped::of("failed", &error))?;
    let score = summary(&judged, judge.is_calibrated());
    work.wait(store.score_image(project, image, &score))?;
    work.wait(work.server.queue.note(store, work.claim.id, &JobEvent::Score { image }))
}

fn summary(judged: &Judged, is_calibrated: bool) -> ImageScore {
    let verdict = judged.verdicts.first();
    ImageScore {
        score: judged.score(),
        right: is_calibrated.then(|| judged.is_right()),
        detected: u32::try_from(judged.found.len()).unwrap_or(u32::MAX),
        subjects: u32::try_from(judged.subjects()).unwrap_or(u32::MAX),
        explanation: verdict.map(|verdict| verdict.explanation.clone()).unwrap_or_default(),
    }
}
