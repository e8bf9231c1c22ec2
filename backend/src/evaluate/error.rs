//! Why images cannot be judged.

use std::path::PathBuf;

use mudi_domain::compare::CompareError;

use crate::dataset::DatasetError;
use crate::files::WriteError;
use crate::vision::VisionError;

/// Messages name the file or the folder.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The folder of images cannot be read.
    #[error("{}: cannot be read ({source}); name the folder that holds the images", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It holds no image.
    #[error("{}: there is no image in it (PNG, JPEG or WebP); name the folder that `mudi generate` wrote", folder.display())]
    NoImages {
        /// The folder.
        folder: PathBuf,
    },
    /// Nothing to compare with.
    #[error("no embedder was named; name the folder of DINOv2 or DreamSim")]
    NoEmbedder,
    /// A small network has never seen what a subject is.
    #[error(
        "`{class}`: this {network} knows only these classes: {known}; it would judge anything else by chance. Name another \
         {network}'s folder with --{network}"
    )]
    UnknownClass {
        /// The subject's class.
        class: String,
        /// `detector` or `embedder`, as its flag and its setting are called.
        network: &'static str,
        /// What it knows.
        known: String,
    },
    /// A photo, a mask or an image cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A network cannot be used.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The numbers cannot be put into JSON.
    #[error("the evaluation's numbers cannot be put into JSON ({0})")]
    Json(#[from] serde_json::Error),
    /// Embeddings cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
}
