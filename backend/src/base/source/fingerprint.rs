//! What a base model holds, wherever it lies: a run that goes on is held against it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mudi_diffusion::Component;
use sha2::{Digest, Sha256};

use super::folder::{read_text, weights_file};
use super::{Place, Source};
use crate::base::BaseError;
use crate::digest::hex;

/// Files of up to so many bytes are read whole.
const WHOLE: u64 = 16 << 20;
/// Of larger ones so many parts are read, evenly apart: another training has changed nearly every weight, and some gigabytes would take a
/// minute.
const PARTS: u64 = 256;
/// The bytes of a part.
const PART: u64 = 16 << 10;

impl Source {
    /// A digest of what it is made of: configurations, vocabularies and weights, with the autoencoder that it was given, without LoRAs. It
    /// is the same wherever the files lie. Of large files parts are read.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn fingerprint(&self) -> Result<String, BaseError> {
        let mut made_of = Sha256::new();
        let mut add = |name: &str, bytes: &[u8]| {
            for part in [name.as_bytes(), bytes] {
                made_of.update((part.len() as u64).to_le_bytes());
                made_of.update(part);
            }
        };
        match &self.place {
            Place::File(file) => add("file", &content(file.path())?),
            Place::Folder(folder) => {
                add("schedule", self.schedule_text()?.unwrap_or_default().as_bytes());
                add("empty prompt", &[u8::from(self.zeros_for_empty_prompt()?)]);
                for component in Component::ALL.into_iter().filter(|component| self.has(*component)) {
                    add(component.folder(), self.config_text(component)?.unwrap_or_default().as_bytes());
                    if component == Component::Vae && self.vae.is_some() {
                        continue;
                    }
                    for file in weights_files(&folder.join(component.folder()))? {
                        add("weights", &content(&file)?);
                    }
                    if matches!(component, Component::TextEncoder | Component::TextEncoder2) {
                        for (name, text) in self.tokenizer_files(component)? {
                            add(name, text.as_bytes());
                        }
                    }
                }
            }
        }
        if let Some(vae) = &self.vae {
            add("other autoencoder", &content(vae.file_of_weights())?);
        }
        Ok(hex(&made_of.finalize()))
    }
}

/// The files with the weights of a network's folder: one, or its shards.
fn weights_files(folder: &Path) -> Result<Vec<PathBuf>, BaseError> {
    let path = weights_file(folder)?;
    if path.extension().is_none_or(|end| end != "json") {
        return Ok(vec![path]);
    }
    let index: serde_json::Value = mudi_diffusion::parse(&read_text(&path)?)
        .map_err(|source| BaseError::Config { path: path.clone(), source })?;
    let places = index["weight_map"].as_object().into_iter().flat_map(|map| map.values());
    let names: BTreeSet<&str> = places.filter_map(serde_json::Value::as_str).collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The digest of a file's length and bytes, or of parts of them.
fn content(path: &Path) -> Result<Vec<u8>, BaseError> {
    let failed = |source| BaseError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut digest = Sha256::new();
    digest.update(length.to_le_bytes());
    let mut bytes = Vec::new();
    if length <= WHOLE {
        file.read_to_end(&mut bytes).map_err(failed)?;
        digest.update(&bytes);
    } else {
        bytes.resize(PART as usize, 0);
        for part in 0..PARTS {
            file.seek(SeekFrom::Start((length - PART) * part / (PARTS - 1))).map_err(failed)?;
            file.read_exact(&mut bytes).map_err(failed)?;
            digest.update(&bytes);
        }
    }
    Ok(digest.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The base in miniature, copied.
    fn copied() -> tempfile::TempDir {
        fn copy(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap().path();
                let target = to.join(entry.file_name().unwrap());
                if entry.is_dir() {
                    copy(&entry, &target);
                } else {
                    std::fs::copy(&entry, &target).unwrap();
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        copy(&tiny(), folder.path());
        folder
    }

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sdxl-tiny")
    }

    fn of(base: &Path) -> String {
        Source::open(base).unwrap().fingerprint().unwrap()
    }

    #[test]
    fn a_copy_is_the_same_and_another_model_is_not() {
        let (copy, before) = (copied(), of(&tiny()));
        assert_eq!(of(copy.path()), before);
        for file in ["unet/diffusion_pytorch_model.safetensors", "tokenizer_2/merges.txt"] {
            let path = copy.path().join(file);
            let whole = std::fs::read(&path).unwrap();
            let mut changed = whole.clone();
            *changed.last_mut().unwrap() ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert_ne!(of(copy.path()), before, "{file}");
            std::fs::write(&path, whole).unwrap();
        }
        assert_eq!(of(copy.path()), before);
        let vae = copy.path().join("vae");
        let with = Source::open(&tiny()).unwrap().with_vae(Some(&vae)).unwrap().fingerprint().unwrap();
        assert_ne!(with, before, "an autoencoder that was given is another");
    }

    #[test]
    fn large_files_are_told_apart_by_their_parts_and_their_length() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![7; WHOLE as usize + 1];
        file.write_all(&bytes).unwrap();
        let before = content(file.path()).unwrap();
        // As a training does: everywhere a little.
        bytes.iter_mut().step_by(1000).for_each(|byte| *byte = 8);
        std::fs::write(file.path(), &bytes).unwrap();
        assert_ne!(content(file.path()).unwrap(), before);
        std::fs::write(file.path(), vec![7; WHOLE as usize + 2]).unwrap();
        assert_ne!(content(file.path()).unwrap(), before);
    }
}
