//! Models and LoRAs for other programs.

mod implied;
mod lora;
mod merged;
mod said;
#[cfg(test)]
mod tests;
mod weights;

use std::path::PathBuf;

pub use lora::write_lora;
pub use merged::{Held, write_checkpoint, write_folder};
use mudi_engine_candle::lora::LoraError;
use mudi_engine_candle::weights::WeightsError;

use crate::base::BaseError;
use crate::files::WriteError;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The base model cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The LoRA cannot be used.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A network's configuration is not supported.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file cannot be copied.
    #[error("{}: cannot be copied: {source}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// There is something already.
    #[error("{}: exists already, and nothing is written over it; name another --out", path.display())]
    Exists {
        /// The folder or file.
        path: PathBuf,
    },
    /// What makes the base is not of what a checkpoint file can say.
    #[error(
        "{}: a checkpoint file cannot say {what}; write a folder, with an --out that does not end in .safetensors",
        path.display()
    )]
    Unsaid {
        /// The base.
        path: PathBuf,
        /// What it cannot say.
        what: &'static str,
    },
    /// A value does not fit half precision.
    #[error(
        "{}: `{name}` holds a value that half precision cannot hold; write the model with --dtype f32 or bf16",
        path.display()
    )]
    TooLarge {
        /// The base's file.
        path: PathBuf,
        /// The weight.
        name: String,
    },
    /// A configuration cannot be put into JSON.
    #[error("a configuration cannot be put into JSON ({0})")]
    Json(#[from] serde_json::Error),
}
