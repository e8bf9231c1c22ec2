//! Published models: pulled from a hub into a folder, listed, verified and removed.

mod archive;
mod catalog;
mod hub;
mod manifest;
mod pull;
mod selection;

use std::path::PathBuf;

pub use catalog::{Archive, CATALOG, Entry, Source, find};
pub use hub::{DEFAULT_HUB, Hub};
pub(crate) use manifest::digest;
pub use manifest::{Found, Manifest, list, remove, verify};
pub(crate) use pull::PART;
pub use pull::{Progress, pull};

use crate::files::WriteError;

/// Why a model was not pulled, verified or removed. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The hub wants to know who asks.
    #[error(
        "{url}: the hub refused ({status}); accept the model's licence on its page, and give a token in the variable MUDI_HUB_TOKEN or in a file with --token-file"
    )]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// There is no such thing.
    #[error("{url}: not there (404); check the model's name, or the address of --mirror")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// The hub failed.
    #[error("{url}: the hub failed ({reason}); try again later, the same command goes on where it stopped")]
    Failed {
        /// What was asked for.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The hub cannot be reached.
    #[error(
        "{url}: cannot be reached ({reason}); check the network, or name a mirror with --mirror; without a network, copy the model's folder here from another machine"
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The hub's answer is not what it should be.
    #[error("{url}: the answer cannot be understood ({reason}); check the address of --mirror")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A file is not as its hash says.
    #[error("{}: {reason}; pull the model again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is such a model already.
    #[error("{}: exists already; `mudi models verify` tells whether it is whole, `mudi models remove` removes it", path.display())]
    Exists {
        /// Its folder.
        path: PathBuf,
    },
    /// There is no such model here.
    #[error("{}: holds no pulled model (no {}); `mudi models list` tells what is there", path.display(), manifest::FILE)]
    NotPulled {
        /// Its folder.
        path: PathBuf,
    },
    /// Another process pulls the same model.
    #[error("{}: another process is pulling this model; wait for it", path.display())]
    InUse {
        /// The folder that it is pulled into.
        path: PathBuf,
    },
    /// The repository holds nothing that can be read.
    #[error(
        "{repository}: holds no weights as .safetensors; pickles are not pulled, because they can run any code: take another repository"
    )]
    NoWeights {
        /// Its name.
        repository: String,
    },
    /// The repository holds a model of another kind.
    #[error(
        "{repository}: holds no denoiser of the kind that is read (`unet`), as repositories of FLUX, SD 3 and others; take one of SD 1.5, SD 2.1 or SDXL"
    )]
    NoDenoiser {
        /// Its name.
        repository: String,
    },
    /// A name that is none.
    #[error("{name:?} is no model; known are {}, and any repository as OWNER/NAME", catalog::names())]
    Unknown {
        /// The name.
        name: String,
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
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
