//! The model that visitors' browsers run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mudi_diffusion::unet::UNetConfig;
use mudi_diffusion::vae::VaeConfig;
use mudi_domain::api::{PreviewFile, PreviewNeeds};
use mudi_preview::FILES;

use super::jobs::bases;
use super::stamps::Stamp;
use crate::base::{BaseError, Sizes, Source, read_config};
use crate::models::{ModelsError, digest};
use crate::plan;

/// The weights of a base's autoencoder, in its folder.
pub(crate) const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

/// What is known of the model's files, found out when it is first asked for.
#[derive(Default)]
pub(crate) struct Preview {
    known: Mutex<Option<Arc<Known>>>,
}

/// A model's files as they were when they were looked at.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) sizes: Sizes,
    pub(crate) reduction: usize,
    pub(crate) negative: &'static str,
    /// What browsers load.
    pub(crate) files: Vec<PreviewFile>,
    /// Size and SHA-256 of the weights of its own autoencoder, which browsers do not load where there is a tiny one.
    pub(crate) vae: Option<(u64, String)>,
    folder: PathBuf,
    paths: BTreeMap<String, PathBuf>,
    stamps: Vec<Stamp>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreviewError {
    /// The host has set none, or one that is not there.
    #[error("this server has no model for previews: {0}")]
    None(String),
    /// The model's folder cannot be read.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A file's content cannot be read.
    #[error(transparent)]
    Content(#[from] ModelsError),
    /// A file cannot be looked at.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Preview {
    /// The model `name` of the folder `models`. Files are read only if they have changed since they were looked at last.
    pub(crate) fn look(&self, models: &Path, name: &str) -> Result<Arc<Known>, PreviewError> {
        if name.is_empty() {
            return Err(PreviewError::None("the setting `preview` is empty".to_owned()));
        }
        let folder = bases::find(models, name).map_err(PreviewError::None)?;
        let stamps = stamps(&folder)?;
        // Whoever comes second waits: the files are read once.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.stamps == stamps) {
            return Ok(known.clone());
        }
        let made = Arc::new(Known::read(name, &folder, stamps)?);
        *known = Some(made.clone());
        Ok(made)
    }
}

/// The files that there are.
fn stamps(folder: &Path) -> Result<Vec<Stamp>, PreviewError> {
    let mut stamps = Vec::new();
    for name in FILES {
        let path = folder.join(name);
        // What a model must have is missed where it is loaded.
        stamps.extend(Stamp::of(&path).map_err(|source| PreviewError::Read { path, source })?);
    }
    Ok(stamps)
}

impl Known {
    fn read(name: &str, folder: &Path, stamps: Vec<Stamp>) -> Result<Self, PreviewError> {
        let unet: UNetConfig = read_config(&folder.join("unet"))?;
        let vae: VaeConfig = read_config(&folder.join("vae"))?;
        let reduction = vae.reduction();
        let sizes = Sizes::new(&unet, reduction);
        let mut files = Vec::new();
        let mut paths = BTreeMap::new();
        for stamp in &stamps {
            let sha256 = digest(&stamp.path)?;
            let within = stamp.path.strip_prefix(folder).unwrap_or(&stamp.path);
            let name = within.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            paths.insert(sha256.clone(), stamp.path.clone());
            files.push(PreviewFile { name, bytes: stamp.bytes, sha256 });
        }
        let vae = files.iter().find(|file| file.name == VAE);
        let vae = vae.map(|file| (file.bytes, file.sha256.clone()));
        if plan::tiny(folder)?.is_some() {
            files.retain(|file| !file.name.starts_with("vae/"));
        }
        let negative = Source::open(folder)?.negative_prompt()?;
        Ok(Self {
            name: name.to_owned(),
            sizes,
            reduction,
            negative,
            files,
            vae,
            folder: folder.to_owned(),
            paths,
            stamps,
        })
    }

    /// What all of it takes of a device for pictures of `side` pixels, and what its decoder alone takes.
    pub(crate) fn needs(&self, side: usize) -> Result<[PreviewNeeds; 2], PreviewError> {
        Ok(plan::preview(&Source::open(&self.folder)?, Some(side))?)
    }

    /// The file with this content.
    pub(crate) fn path(&self, sha256: &str) -> Option<&Path> {
        self.paths.get(sha256).map(PathBuf::as_path)
    }
}
