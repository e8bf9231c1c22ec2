//! Why a run could not be improved.

use std::path::PathBuf;

use mudi_domain::collage::MAX_SUBJECTS;

use crate::base::BaseError;
use crate::dataset::DatasetError;
use crate::evaluate::EvaluateError;
use crate::files::WriteError;
use crate::generate::GenerateError;
use crate::models::ModelsError;
use crate::train::TrainError;

/// Every message names the file or the flag, the fault and the cure.
#[derive(Debug, thiserror::Error)]
pub enum ImproveError {
    /// The run cannot be read, or the further training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The photos cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The base model cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// Pictures could not be drawn.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Pictures could not be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The run's LoRA cannot be read.
    #[error(transparent)]
    Weights(#[from] ModelsError),
    /// Nothing can be added to the run's LoRA.
    #[error(transparent)]
    Lora(#[from] mudi_engine_candle::lora::LoraError),
    /// What is noted beside the pictures cannot be put into JSON.
    #[error("the list of pictures cannot be put into JSON ({0})")]
    Json(#[from] serde_json::Error),
    /// The folder holds something, and nothing has been begun in it.
    #[error("{}: this folder holds another run, or other files; name a new folder as --out", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A prompt leaves somebody out.
    #[error(
        "the prompt {prompt:?} does not name `{subject}`; name every subject: pictures are judged by all of them"
    )]
    Prompt {
        /// The prompt.
        prompt: String,
        /// Who is missing.
        subject: String,
    },
    /// A layout cannot place so many.
    #[error(
        "the run has {subjects} subjects, and a layout can place {MAX_SUBJECTS}; draw its pictures from plain noise with --gamma 0"
    )]
    Crowded {
        /// How many there are.
        subjects: usize,
    },
    /// There is too little to learn from.
    #[error(
        "{shown} of {drawn} pictures show as many subjects as there are, which is too few to learn from; train the run longer, or \
         draw more with --pictures into another --out. Where the pictures are right and the detector is not, say in its config.json \
         (`detection`: `queries`, `threshold`, `overlap`) what it is asked and when a box counts, and repeat the command: no picture is \
         drawn again"
    )]
    Few {
        /// Pictures with as many subjects as there are.
        shown: usize,
        /// Pictures that were drawn.
        drawn: usize,
    },
    /// The folder holds pictures that were asked for otherwise.
    #[error("{}: this folder was begun with other settings ({difference}); name another --out", path.display())]
    Other {
        /// The file with the settings.
        path: PathBuf,
        /// The first that differs: what it was, and what it is now.
        difference: String,
    },
}
