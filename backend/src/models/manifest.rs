//! What a pulled model's folder says about itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ModelsError;
use crate::digest::hex;
use crate::files::{WriteError, write_atomically};

/// The file's name.
pub(super) const FILE: &str = "mudi-model.json";

/// The files of a pulled model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Where it came from.
    pub repositories: Vec<String>,
    /// Length and SHA-256 of each file, by its path in the folder.
    pub files: BTreeMap<String, FileRecord>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// A model in a folder of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name, that of its folder or file.
    pub name: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Where it was pulled from; empty for one that was put there by hand.
    pub repositories: Vec<String>,
}

impl Manifest {
    fn read(folder: &Path) -> Result<Self, ModelsError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(ModelsError::NotPulled { path: folder.to_owned() });
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelsError::Read { path: path.clone(), source })?;
        let damaged = |reason| ModelsError::Damaged { path: path.clone(), reason };
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| damaged(format!("cannot be understood: {error}")))?;
        // Folders come from others too, and what it names is read and removed.
        let inside = |name: &&String| {
            let mut parts = Path::new(name).components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        match manifest.files.keys().find(|name| !inside(name)) {
            None => Ok(manifest),
            Some(name) => Err(damaged(format!("names `{name}`, which is no file of this folder"))),
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ModelsError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| WriteError { path: path.clone(), source: std::io::Error::other(error) })?;
        Ok(write_atomically(&path, (text + "\n").as_bytes())?)
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub(crate) fn digest(path: &Path) -> Result<String, ModelsError> {
    let failed = |source| ModelsError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// Whether a folder holds a model: one that was pulled, in diffusers' layout, of a network, or a file of its authors alone.
fn holds_model(folder: &Path) -> bool {
    let authors = |path: PathBuf| path.extension().is_some_and(|end| end == "pth" || end == "pt");
    [FILE, "model_index.json", "config.json"].iter().any(|file| folder.join(file).is_file())
        || std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| authors(entry.path()))
}

/// The models in `models`: folders in diffusers' layout or of a network, and checkpoint files.
///
/// # Errors
/// [`ModelsError::Read`].
pub fn list(models: &Path) -> Result<Vec<Found>, ModelsError> {
    let entries = match std::fs::read_dir(models) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ModelsError::Read { path: models.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_model = if path.is_dir() {
            // A folder whose name ends so is still being pulled.
            !name.ends_with(super::pull::PART) && holds_model(&path)
        } else {
            name.ends_with(".safetensors")
        };
        if is_model {
            let repositories =
                Manifest::read(&path).map(|manifest| manifest.repositories).unwrap_or_default();
            found.push(Found { name, size: size(&path), repositories });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Bytes of a file, or of all files below a folder.
fn size(path: &Path) -> u64 {
    if path.is_dir() {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
    } else {
        path.metadata().map_or(0, |metadata| metadata.len())
    }
}

/// Compares every file of a pulled model with its hash; returns how many there are.
///
/// # Errors
/// [`ModelsError::Damaged`] for the first that is not as it was; [`ModelsError::NotPulled`].
pub fn verify(folder: &Path) -> Result<usize, ModelsError> {
    let manifest = Manifest::read(folder)?;
    for (name, record) in &manifest.files {
        let path = folder.join(name);
        let damaged = |reason: &str| ModelsError::Damaged { path: path.clone(), reason: reason.to_owned() };
        let length = path.metadata().map_err(|_| damaged("is missing"))?.len();
        if length != record.size {
            return Err(damaged(&format!("has {length} bytes and should have {}", record.size)));
        }
        if digest(&path)? != record.sha256 {
            return Err(damaged("is not what was pulled (its SHA-256 differs)"));
        }
    }
    Ok(manifest.files.len())
}

/// Removes a pulled model: its files, and its folders where nothing else is in them.
///
/// # Errors
/// [`ModelsError::NotPulled`] for a folder that was not pulled; [`ModelsError::Write`].
pub fn remove(folder: &Path) -> Result<(), ModelsError> {
    let manifest = Manifest::read(folder)?;
    let gone = |path: PathBuf, result: std::io::Result<()>| match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(WriteError { path, source }),
        _ => Ok(()),
    };
    // The manifest last, so that a removal that was interrupted can go on.
    for name in manifest.files.keys() {
        let path = folder.join(name);
        gone(path.clone(), std::fs::remove_file(&path))?;
        let inner = path.parent().filter(|parent| *parent != folder);
        // A folder with something else in it stays.
        let _ = inner.map(std::fs::remove_dir);
    }
    let path = folder.join(FILE);
    gone(path.clone(), std::fs::remove_file(&path))?;
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_can_be_named_are_listed() {
        let models = tempfile::tempdir().unwrap();
        for (folder, file) in [
            ("authors", "sam_vit_h_4b8939.pth"),
            ("mobile", "mobile_sam.pt"),
            ("network", "config.json"),
            ("notes", "read me.txt"),
            ("half.part", "config.json"),
        ] {
            std::fs::create_dir(models.path().join(folder)).unwrap();
            std::fs::write(models.path().join(folder).join(file), b"12").unwrap();
        }
        let found = list(models.path()).unwrap();
        let names: Vec<&str> = found.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["authors", "mobile", "network"]);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_read_or_removed() {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("model");
        std::fs::create_dir_all(folder.join("unet")).unwrap();
        let [mine, others] = [folder.join("unet/config.json"), all.path().join("others.txt")];
        std::fs::write(&mine, "{}").unwrap();
        std::fs::write(&others, "{}").unwrap();
        let listed = |name: &str| {
            let record = FileRecord { size: 2, sha256: digest(&others).unwrap() };
            let files = BTreeMap::from([(name.to_owned(), record)]);
            Manifest { repositories: Vec::new(), files }.write(&folder).unwrap();
        };
        let absolute = others.display().to_string();
        for name in ["../others.txt", "unet/../../others.txt", &absolute, ".", ""] {
            listed(name);
            for result in [verify(&folder).map(|_| ()), remove(&folder)] {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(FILE) && error.contains(&format!("`{name}`")), "{name}: {error}");
            }
        }
        assert!(mine.is_file() && others.is_file());
        listed("unet/config.json");
        assert_eq!(verify(&folder).unwrap(), 1);
        remove(&folder).unwrap();
        assert!(!folder.exists() && others.is_file());
    }
}
