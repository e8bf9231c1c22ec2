//! Why training did not start, or stopped.

use std::path::{Path, PathBuf};

use mudi_engine_candle::lora::{DEFAULT_TARGETS, FURTHER_TARGETS};

use crate::base::BaseError;
use crate::dataset::DatasetError;
use crate::files::WriteError;
use crate::generate::GenerateError;

/// Every message names the file or the parameter, the fault and the cure.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The photos cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The base model cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The noise schedule failed.
    #[error(transparent)]
    Schedule(#[from] mudi_diffusion::schedule::ScheduleError),
    /// Prior images or samples could not be made.
    #[error(transparent)]
    Generate(GenerateError),
    /// The recipe is not right.
    #[error("recipe: {0}")]
    Recipe(#[from] mudi_domain::recipe::RecipeError),
    /// A collage cannot be made.
    #[error("a collage cannot be made: {0}")]
    Collage(#[from] mudi_domain::collage::CollageError),
    /// The names of many subjects can stand in too many orders.
    #[error(
        "collages of up to {shown} of {subjects} subjects can name them in too many orders, each of which is a text to encode; \
         set collage-subjects to {possible}"
    )]
    ManyOrders {
        /// How many there are.
        subjects: usize,
        /// How many a collage may show.
        shown: usize,
        /// How many it could.
        possible: usize,
    },
    /// There are so many subjects that not even all pairs can be named.
    #[error(
        "collages of {subjects} subjects can name pairs of them in too many orders, each of which is a text to encode; train at most \
         {possible} subjects in a run, or set method to dreambooth, which makes no collages"
    )]
    ManySubjects {
        /// How many there are.
        subjects: usize,
        /// How many there could be.
        possible: usize,
    },
    /// A target that no layer has.
    #[error(
        "recipe: `targets` (--targets) has {target:?}, but no layer of this base is called so or ends so; of its attentions there are {}, \
         and besides {}",
        DEFAULT_TARGETS.join(", "), FURTHER_TARGETS.join(", ")
    )]
    Target {
        /// The target.
        target: String,
    },
    /// A relative size of somebody who is not there.
    #[error(
        "recipe: `relative-sizes` (--relative-sizes) has `{id}`, but the photos' subjects are {}; name these",
        known.join(", ")
    )]
    UnknownSubject {
        /// Whose size it is.
        id: String,
        /// The ids that there are.
        known: Vec<String>,
    },
    /// A path that is no text.
    #[error("{}: this path is not UTF-8, and a run notes its paths as text; rename it", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A checkpoint or LoRA file is not as it should be.
    #[error(transparent)]
    Weights(#[from] mudi_engine_candle::weights::WeightsError),
    /// The LoRA that a run goes on from cannot be used.
    #[error(transparent)]
    Lora(#[from] mudi_engine_candle::lora::LoraError),
    /// Tensors could not be written.
    #[error("safetensors: {0}")]
    Serialize(String),
    /// A file of the run cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// Another process trains in the folder.
    #[error("{}: another process is training in this folder; wait for it, or name another --out", path.display())]
    InUse {
        /// The run's folder.
        path: PathBuf,
    },
    /// The folder holds a run, and `--resume` was not given.
    #[error("{}: this folder holds a run already; add --resume to go on with it, or name another --out", path.display())]
    Exists {
        /// The run's folder.
        path: PathBuf,
    },
    /// The folder holds something else than a run.
    #[error("{}: this folder holds other files ({}) and no run; name a new folder as --out", path.display(), name.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        name: PathBuf,
    },
    /// There is no run.
    #[error("{}: this folder holds no run; name a folder that `mudi train` wrote", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// The run has no LoRA yet.
    #[error("{}: this run has not finished; repeat the command that started it, with --resume", path.display())]
    Unfinished {
        /// The run's folder.
        path: PathBuf,
    },
    /// `--resume` with another recipe, base or photos.
    #[error("{}: {what} is not what this run was started with; resume with the same, or name another --out", path.display())]
    Changed {
        /// The run's folder.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// `--resume` with photos, masks or captions that were changed, added or taken away since.
    #[error(
        "{}: {} since this run was started; put the old files back, or start a new run with another --out",
        path.display(), changes(photos, names)
    )]
    ChangedFiles {
        /// The run's folder.
        path: PathBuf,
        /// The photos' folder.
        photos: PathBuf,
        /// The files' names in it.
        names: Vec<String>,
    },
    /// A checkpoint does not fit.
    #[error("{}: this checkpoint does not fit the recipe; name another --out", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// A caption that was not foreseen.
    #[error("the caption {caption:?} was not encoded before training began; this is a fault of the program")]
    Caption {
        /// The caption.
        caption: String,
    },
    /// The loss is not a number.
    #[error("the loss is not a number at step {step}; lower `learning-rate`, then train anew")]
    Diverged {
        /// The step.
        step: u64,
    },
    /// It was asked to stop.
    #[error("training was interrupted; the steps so far are in the checkpoint")]
    Interrupted,
    /// The thread that makes samples has stopped.
    #[error("the thread that makes training samples has stopped")]
    Loader,
}

impl TrainError {
    /// The error in the words of the page, whose fields have the names of settings, and which has no flags.
    pub(crate) fn for_page(&self) -> String {
        let text = self.to_string();
        match self {
            Self::Target { .. } => text.replace(" (--targets)", ""),
            Self::UnknownSubject { .. } => text.replace(" (--relative-sizes)", ""),
            Self::Base(error) => error.for_page(),
            _ => text,
        }
    }
}

impl From<GenerateError> for TrainError {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Interrupted => Self::Interrupted,
            error => Self::Generate(error),
        }
    }
}

/// `a00.png and b00.png in photos have changed`; of many files the first few.
fn changes(photos: &Path, names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut words: Vec<String> = names.iter().take(SHOWN).cloned().collect();
    if names.len() > SHOWN {
        words.push(format!("{} more files", names.len() - SHOWN));
    }
    let last = words.pop().unwrap_or_default();
    let all = if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) };
    format!("{all} in {} {} changed", photos.display(), if names.len() == 1 { "has" } else { "have" })
}
