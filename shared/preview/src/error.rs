//! Why there is no preview.

use mudi_diffusion::schedule::ScheduleError;
use mudi_diffusion::tokenizer::TokenizerError;

/// Why a model cannot be loaded or a picture cannot be painted.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// A file of the model is not there.
    #[error("the model has no `{name}`")]
    Missing {
        /// Its path in the model's folder.
        name: String,
    },
    /// A file of the model is not what its name says.
    #[error("`{name}` of the model: {reason}; the host must put the file there again")]
    File {
        /// Its path in the model's folder.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A network cannot be built or run.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// A text cannot be encoded.
    #[error(transparent)]
    Text(#[from] TokenizerError),
    /// The sampler was asked for something that it does not do.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The numbers have grown beyond what the device or the model holds; the picture would be black.
    #[error(
        "the picture is not made of numbers any more after step {step}: this device's numbers are too small for it, or the model is damaged; \
         lower gamma, take another seed, or have the processor paint"
    )]
    NotNumbers {
        /// Steps that were made.
        step: usize,
    },
    /// Latents that make no picture of numbers.
    #[error("the decoder makes values that are not numbers")]
    NoPicture,
    /// The wish does not fit the model.
    #[error("{0}")]
    Wish(String),
}
