//! What can be wrong with a base model.

use std::path::PathBuf;

use mudi_diffusion::schedule::ScheduleError;
use mudi_diffusion::tokenizer::TokenizerError;
use mudi_engine_candle::lora::LoraError;
use mudi_engine_candle::weights::WeightsError;

use crate::plan::TooLarge;

/// Why a base model cannot be used. Every message names the file or the tensor.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The folder or one of its files is not there.
    #[error(
        "{}: not found; --base must name a folder in diffusers' layout (unet, vae, text_encoder, tokenizer, scheduler) or a checkpoint file (.safetensors)",
        path.display()
    )]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The folder, or a text in it, is something else than of a base.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// The folder, or the text.
        path: PathBuf,
        /// What it holds, and what to do.
        reason: String,
    },
    /// The weights are a pickle.
    #[error(
        "{}: this is a pickle, which can run any code when it is read; take the model as .safetensors, or convert it with a tool and a source that you trust",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// The autoencoder that was named is not there.
    #[error("{}: not found; --vae must name a folder with config.json, or a .safetensors file", path.display())]
    MissingVae {
        /// What was looked for.
        path: PathBuf,
    },
    /// The autoencoder that was named is of another model.
    #[error("{}: this autoencoder does not belong to the base ({reason}); take one of the base's family, or leave out --vae", path.display())]
    OtherVae {
        /// Its folder or file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The autoencoder's picture is not made of numbers.
    #[error(
        "the autoencoder made values that are not numbers, which would be a black picture; give another one as --vae (for SDXL the one mended for half precision), or try less guidance or another seed"
    )]
    NoPicture,
    /// A LoRA cannot be used.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A configuration does not parse, or is not supported.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: mudi_diffusion::Error,
    },
    /// The scheduler's configuration cannot be followed.
    #[error("{}: {source}", path.display())]
    Schedule {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: ScheduleError,
    },
    /// The tokenizer's files do not parse.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: TokenizerError,
    },
    /// Weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A text cannot be encoded.
    #[error(transparent)]
    Text(#[from] TokenizerError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// It does not fit into memory.
    #[error(transparent)]
    TooLarge(Box<TooLarge>),
    /// A picture's sides do not fit the autoencoder.
    #[error("{width} x {height} pixels: both sides must be multiples of {multiple} for this base model")]
    Size {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// What they must be multiples of.
        multiple: usize,
    },
}

impl BaseError {
    /// The error in the words of the page, on which a base is chosen by its name, and which has no flags.
    pub(crate) fn for_page(&self) -> String {
        match self {
            Self::Missing { path } => format!(
                "{}: not found, so that the base model is not whole; take another one, or have whoever hosts the server put it there",
                path.display()
            ),
            error => error.to_string(),
        }
    }
}
