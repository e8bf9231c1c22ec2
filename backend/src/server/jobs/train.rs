//! Training a run.

use std::path::Path;
use std::time::{Duration, Instant};

use super::worker::{MEMORY, Stopped, Work};
use super::{LOADING, TRAINED, bases, photos};
use crate::base::BaseError;
use crate::files::{WriteError, whole, write_atomically};
use crate::train::{self, Options, Progress, RunInfo, TrainError};

/// The shortest time between two sheets of what the model sees.
const LOOK: Duration = Duration::from_secs(3);
/// The shortest time between two removals of old reports.
const FORGET: Duration = Duration::from_secs(60);

/// Trains, or goes on from the last checkpoint.
pub(super) fn run(work: &Work<'_>) -> Result<(), Stopped> {
    let store = &work.server.store;
    let run = work.claim.run.ok_or_else(|| Stopped::fault("run", "the job names no run"))?;
    let data = work.wait(store.run_data(work.claim.project, run))?;
    let base = bases::find(&work.server.settings.models, &data.run.base)
        .map_err(|fault| Stopped::fault("base", fault))?;
    let options = Options {
        vae: None,
        photos: photos::lay_out(work, &data)?,
        base,
        out: store.run_folder(work.claim.project, run).join(TRAINED),
        further: None,
        recipe: data.run.recipe,
        resume: true,
        stop_after: None,
        masks: None,
        memory: work.server.settings.memory_bytes(),
        device: work.device,
        interrupt: work.interrupt.clone(),
    };
    // Training needs all the memory that there is.
    work.models.clear();
    clear_parts(&options.out)?;
    relocate(&options)?;
    let mut reporter = work.reporter();
    reporter.stage(LOADING)?;
    let mut reported = Ok(());
    let mut looked: Option<Instant> = None;
    let last = u64::from(options.recipe.steps);
    let every = u64::from(options.recipe.checkpoint_every);
    let (mut checkpoint, mut forgotten) = (0, Instant::now());
    let trained = train::run(&options, |progress| {
        if reported.is_err() {
            return;
        }
        reported = match progress {
            Progress::Prior(class, made, wanted) => {
                reporter.step(&format!("prior images of {class}"), made, wanted, None)
            }
            // Photos come with their masks, and identifiers were told of in the forecast.
            Progress::Note(_) => Ok(()),
            // The last ones stay.
            Progress::Shown(step, _)
                if step < last && looked.is_some_and(|looked| looked.elapsed() < LOOK) =>
            {
                Ok(())
            }
            Progress::Shown(step, pictures) => {
                looked = Some(Instant::now());
                train::write_shown(&options.out, step, pictures).map_err(|error| Stopped::of("write", &error))
            }
            Progress::Step(metric, steps) => {
                // What the steps up to a checkpoint gave is in the run's metrics.
                let before = checkpoint;
                // Without any but the last one nothing is forgotten.
                checkpoint = metric.step.saturating_sub(1).checked_div(every).unwrap_or(0);
                let mut told = Ok(());
                if checkpoint > before && forgotten.elapsed() > FORGET {
                    forgotten = Instant::now();
                    told = work.wait(store.forget_progress(work.claim.id));
                }
                told.and_then(|()| reporter.step("training", metric.step, steps, Some(metric.loss)))
            }
        };
        if reported.is_err() {
            work.interrupt.set();
        }
    });
    // A report that failed is why the run was interrupted.
    reported?;
    match trained {
        Ok(outcome) => {
            keep_names(&options.out);
            let made = outcome.metrics.last().map_or(0, |metric| metric.step);
            match reporter.pace(made) {
                Some(seconds) => work.wait(store.note_pace(run, seconds)),
                None => Ok(()),
            }
        }
        Err(TrainError::Interrupted) => Err(Stopped::Interrupted),
        Err(error) => Err(fault(&error)),
    }
}

/// Has the disk keep which files are in a folder. The row that says that the run is done is kept at once: a power cut shall not leave it
/// without its weights, whose name the system may write later.
fn keep_names(folder: &Path) {
    #[cfg(unix)]
    if let Err(error) = std::fs::File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::warn!(folder = %folder.display(), %error, "the system writes a folder when it likes");
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// Removes the halves of files that a killed server was writing.
fn clear_parts(folder: &Path) -> Result<(), Stopped> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            std::fs::remove_file(&path)
                .map_err(|source| Stopped::of("write", &WriteError { path: path.clone(), source }))?;
        }
    }
    Ok(())
}

/// A run knows its photos and its base by their paths, which change when the data folder or the models move. The photos'
/// digests, which do not, are compared all the same.
fn relocate(options: &Options) -> Result<(), Stopped> {
    let failed = |error: &TrainError| Stopped::of("run", error);
    let path = options.out.join("run.json");
    if !path.is_file() {
        return Ok(());
    }
    let mut info = RunInfo::load(&options.out).map_err(|error| failed(&error))?;
    let (photos, base) = (whole(&options.photos), whole(&options.base));
    if info.photos == photos && info.base == base {
        return Ok(());
    }
    (info.photos, info.base) = (photos, base);
    let text = serde_json::to_string_pretty(&info).map_err(|error| Stopped::of("run", &error))?;
    write_atomically(&path, (text + "\n").as_bytes()).map_err(|error| Stopped::of("run", &error))
}

fn fault(error: &TrainError) -> Stopped {
    let code = match error {
        TrainError::Base(BaseError::TooLarge(large)) => return Stopped::fault(MEMORY, large.for_page()),
        // Recipe and photos are the project's, so that only this can be another.
        TrainError::Changed { .. } => {
            let detail = "the base model is not the one that this run was started with; put that one back, or start a new run";
            return Stopped::fault("base", detail);
        }
        TrainError::Dataset(_) | TrainError::ChangedFiles { .. } => "photos",
        TrainError::Base(_) => "base",
        TrainError::Recipe(_) => "recipe",
        TrainError::Diverged { .. } => "diverged",
        _ => "failed",
    };
    Stopped::of(code, error)
}
