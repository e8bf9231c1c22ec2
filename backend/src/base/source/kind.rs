//! What a folder is that is named as a base.

use std::path::{Path, PathBuf};

use mudi_diffusion::Component;
use mudi_diffusion::ldm::Checkpoint;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::FileWeights;

use super::folder::CONFIG;
use crate::base::BaseError;

/// What a folder is.
pub(super) enum Kind {
    /// One in diffusers' layout, or what should be one.
    Folder(PathBuf),
    /// One around a single checkpoint file.
    File(PathBuf),
}

/// Looks at a folder: one without a denoiser may hold one checkpoint file, be the hub client's cache, around one version of a model, or hold
/// a model of another kind.
///
/// # Errors
/// [`BaseError::Folder`] where the folder is certainly no base; [`BaseError::Read`].
pub(super) fn of(path: &Path) -> Result<Kind, BaseError> {
    let whole = || Ok(Kind::Folder(path.to_owned()));
    let fault = |reason: String| Err(BaseError::Folder { path: path.to_owned(), reason });
    if path.join(Component::Unet.folder()).is_dir() {
        return whole();
    }
    if path.join("transformer").is_dir() {
        let reason = "its denoiser is a transformer, as of FLUX, SD 3 or PixArt, which are not supported; take a base of SD 1.5, SD 2.1 or SDXL";
        return fault(reason.to_owned());
    }
    match &entries(&path.join("snapshots"), Path::is_dir)?[..] {
        [] => {}
        [version] => return of(version),
        _ => {
            return fault(
                "it holds several versions of a model; name one of the folders in its `snapshots`".to_owned(),
            );
        }
    }
    // A network's own folder has its configuration beside its weights.
    if Component::ALL.iter().any(|part| path.join(part.folder()).is_dir()) || path.join(CONFIG).is_file() {
        return whole();
    }
    let is_weights = |path: &Path| path.is_file() && path.extension().is_some_and(|end| end == "safetensors");
    match &entries(path, is_weights)?[..] {
        [] => whole(),
        [file] => Ok(Kind::File(file.clone())),
        several => {
            let names = several.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy());
            let names: Vec<_> = names.take(4).collect();
            fault(format!(
                "it holds several files (such as {}); name the one that is the base",
                names.join(", ")
            ))
        }
    }
}

/// Whether a folder is one around a single file, which holds a denoiser with the names of checkpoint files.
pub(crate) fn is_around_checkpoint(folder: &Path) -> bool {
    let Ok(Kind::File(file)) = of(folder) else { return false };
    FileWeights::open(&CandleEngine::cpu(), &file)
        .is_ok_and(|weights| Checkpoint::is_one(&|name| weights.shape(name).map(<[usize]>::to_vec)))
}

/// What of a folder is wanted and not hidden, by name; nothing where there is no such folder.
fn entries(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, BaseError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read = |source| BaseError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !entry.file_name().to_string_lossy().starts_with('.') && is_wanted(&entry.path()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
