//! What can be wrong with a base model.

use std::path::PathBuf;

use mudi_diffusion::schedule::ScheduleError;
use mudi_diffusion::tokenizer::TokenizerError;
use mudi_engine_candle::weights::WeightsError;

use crate::plan::TooLarge;

/// Why a base model cannot be used. Every message names the file or the tensor.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The folder or one of its files is not there.
    #[error("{}: not found; --base must name a folder in diffusers' layout (unet, vae, text_encoder, tokenizer, scheduler)", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
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
