//! Networks that see, loaded from folders: what finds subjects in an image, and what tells them apart.

mod detector;
mod dreamsim;
mod embedder;
mod error;
mod squares;

use std::path::{Path, PathBuf};

pub use detector::{Detector, Habits, Questions};
pub use dreamsim::load as load_dreamsim;
pub use embedder::{Embedder, EmbedderKind};
pub use error::VisionError;
use mudi_diffusion::Parameters;
use mudi_diffusion::ldm::{Part, Stored};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::FileWeights;
use serde::Deserialize;

use crate::base::{self, BaseError};

/// What `config.json` says of itself.
#[derive(Deserialize)]
pub(crate) struct ModelType {
    pub(crate) model_type: String,
}

/// Whether a class such as `brown teddy bear` is one of the nouns that a small network knows.
pub(crate) fn is_one_of(known: &[String], class: &str) -> bool {
    known.contains(&class.split_whitespace().last().unwrap_or_default().to_lowercase())
}

/// A file of a network's folder.
pub(crate) fn file(folder: &Path, name: &str, network: &'static str) -> Result<PathBuf, VisionError> {
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { Err(VisionError::Missing { path, network }) }
}

/// That a network's folder has weights: whole, in shards or in half precision.
fn has_weights(folder: &Path, network: &'static str) -> Result<(), VisionError> {
    match base::weights_file(folder) {
        Err(BaseError::Missing { .. }) => file(folder, "model.safetensors", network).map(|_| ()),
        found => Ok(found.map(|_| ())?),
    }
}

/// The first of several files that a network's folder has.
fn any_file(folder: &Path, names: &[impl AsRef<str>], network: &'static str) -> Result<PathBuf, VisionError> {
    let found = names.iter().map(|name| folder.join(name.as_ref())).find(|path| path.is_file());
    found.map_or_else(|| file(folder, names[0].as_ref(), network), Ok)
}

/// Loads a network from a file, or from below one of `prefixes` in a file that holds more than the network. The name `telling` is that of
/// one of its weights.
fn load_below<N>(
    engine: &CandleEngine,
    path: &Path,
    prefixes: &[&'static str],
    telling: &str,
    new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) -> Result<N, BaseError> {
    let mut weights = FileWeights::open(engine, path)?;
    let holds = |prefix: &&&'static str| weights.shape(&format!("{prefix}{telling}")).is_some();
    if let Some(&prefix) = prefixes.iter().find(holds) {
        weights =
            weights.named(move |name| Some(Stored { name: format!("{prefix}{name}"), part: Part::Whole }));
    }
    let network = weights.build(new)?;
    weights.finish()?;
    Ok(network)
}

/// What lies in a folder, by name.
fn listed(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter()
}

/// `preprocessor_config.json`, read by `parse`; `None` where there is none.
fn processor<P>(
    folder: &Path,
    parse: impl FnOnce(&str) -> mudi_diffusion::Result<P>,
) -> Result<Option<P>, VisionError> {
    let path = folder.join("preprocessor_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = base::read_text(&path)?;
    parse(&text).map(Some).map_err(|source| VisionError::Config { path, source })
}
