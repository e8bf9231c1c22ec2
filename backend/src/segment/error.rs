//! What can go wrong while a subject is cut out.

use std::path::PathBuf;

use mudi_engine_candle::weights::WeightsError;

use crate::base::BaseError;
use crate::models::ModelsError;

/// Why there is no mask. Every message names the file or the place.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The folder cannot be listed.
    #[error("{}: this folder cannot be read ({source}); it has to hold the weights of a SAM", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no file of weights.
    #[error(
        "{}: no weights here; put model.safetensors, or the .pth file that the authors publish, into this folder",
        path.display()
    )]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// There are several.
    #[error("{}: several files of weights; keep one, or call the one to use model.safetensors", path.display())]
    SeveralFiles {
        /// The folder.
        path: PathBuf,
    },
    /// Weights of another model, or of a SAM that nobody published.
    #[error(
        "{}: these are not the weights of a published SAM (ViT-B, ViT-L, ViT-H or MobileSAM); for another one, put its \
         config.json beside them",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The configuration is of another network: SAM 2 has another architecture, too.
    #[error(
        "{}: this is a network of type `{found}`, not the first Segment Anything (`sam`); take that, as `mudi models pull sam` does",
        path.display()
    )]
    OtherNetwork {
        /// The configuration.
        path: PathBuf,
        /// Its `model_type`.
        found: String,
    },
    /// A place outside of the photo.
    #[error("{x},{y} lies outside of the photo, which is {width} x {height} pixels; name a place inside")]
    Outside {
        /// From the left, in pixels.
        x: f32,
        /// From the top, in pixels.
        y: f32,
        /// The photo's.
        width: f32,
        /// The photo's.
        height: f32,
    },
    /// The configuration cannot be read.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The part that browsers run cannot be written as a file.
    #[error("the decoder's weights cannot be written: {0}")]
    Decoder(String),
    /// A file's content cannot be told from another's.
    #[error(transparent)]
    Content(#[from] ModelsError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
}
