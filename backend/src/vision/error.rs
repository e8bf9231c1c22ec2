//! What can be wrong with a network that sees, or with what it is asked.

use std::path::PathBuf;

use mudi_domain::compare::EmbeddingError;

use crate::base::BaseError;

/// Why an image cannot be looked at. Messages name the file.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// A file of the folder is not there.
    #[error("{}: there is no such file; the folder must hold {network} as it is published", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the folder is to hold.
        network: &'static str,
    },
    /// The folder's `config.json` is of another network.
    #[error("{}: this is a network of type `{found}`, not {network}", path.display())]
    OtherNetwork {
        /// The configuration.
        path: PathBuf,
        /// Its `model_type`.
        found: String,
        /// What it should be.
        network: &'static str,
    },
    /// A network that is published, but not read here.
    #[error("{}: this is {what}, which is not supported; take {instead}", path.display())]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to take.
        instead: &'static str,
    },
    /// A configuration does not parse.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: mudi_diffusion::Error,
    },
    /// Nothing is asked for.
    #[error("the detector is asked for nothing; name at least one class")]
    NoQuery,
    /// A text with more tokens than the detector reads.
    #[error(
        "`{text}` is too long for the detector, which reads {most} tokens; name the class in fewer words"
    )]
    LongQuery {
        /// The text.
        text: String,
        /// How many tokens it may have.
        most: usize,
    },
    /// A class that a small detector has never heard of.
    #[error(
        "`{text}`: this detector knows only these classes: {known}; name one of them, or another detector's folder with \
         --detector"
    )]
    UnknownClass {
        /// What it was asked for.
        text: String,
        /// What it knows.
        known: String,
    },
    /// An embedding without a direction.
    #[error("{}: {source}", folder.display())]
    Embedding {
        /// The network's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: EmbeddingError,
    },
    /// A file of the folder is damaged or does not fit.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
}
