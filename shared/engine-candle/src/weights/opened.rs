//! The formats that weights are read from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::Tensor as Value;
use serde::Deserialize;

use super::WeightsError;
use super::safetensors_file::SafetensorsFile;
use crate::pth::PthFile;

/// Open weights.
pub(super) enum Opened {
    Safetensors(SafetensorsFile),
    Pth(PthFile),
    Shards(Shards),
}

/// Several safetensors files with an index, as big models are saved.
pub(super) struct Shards {
    files: Vec<SafetensorsFile>,
    /// Which file has a tensor.
    at: BTreeMap<String, usize>,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// What an archive starts with, and with it a file of today's `torch.save`.
const ARCHIVE: [u8; 4] = *b"PK\x03\x04";
/// What a pickle starts with, and with it a file of `torch.save` before PyTorch 1.6.
const PICKLE: [u8; 2] = [0x80, 0x02];

impl Opened {
    /// Opens an index by its name, any other file by what it starts with.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Shards::open(path).map(Self::Shards);
        }
        let mut start = Vec::new();
        File::open(path)
            .and_then(|file| file.take(ARCHIVE.len() as u64).read_to_end(&mut start))
            .map_err(|source| WeightsError::Read { path: path.to_owned(), source })?;
        if start == ARCHIVE {
            return PthFile::open(path).map(Self::Pth);
        }
        if start.starts_with(&PICKLE) {
            let reason = "it was written by a PyTorch before 1.6".to_owned();
            return Err(WeightsError::Pth { path: path.to_owned(), reason });
        }
        SafetensorsFile::open(path).map(Self::Safetensors)
    }

    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &String> + '_> {
        match self {
            Self::Safetensors(file) => Box::new(file.names()),
            Self::Pth(file) => Box::new(file.names()),
            Self::Shards(shards) => Box::new(shards.at.keys()),
        }
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(file) => file.shape(name),
            Self::Pth(file) => file.shape(name),
            Self::Shards(shards) => shards.files[*shards.at.get(name)?].shape(name),
        }
    }

    /// What the file says about itself; empty for other formats than safetensors.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        match self {
            Self::Safetensors(file) => file.metadata().clone(),
            Self::Pth(_) | Self::Shards(_) => BTreeMap::new(),
        }
    }

    /// The tensor of that name, on the CPU; none where there is none.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<Value>, WeightsError> {
        match self {
            Self::Safetensors(file) => file.read(name),
            Self::Pth(file) => file.read(name),
            Self::Shards(shards) => match shards.at.get(name) {
                Some(&at) => shards.files[at].read(name),
                None => Ok(None),
            },
        }
    }
}

impl Shards {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        let fault = |reason: String| WeightsError::Index { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|source| WeightsError::Read { path: path.to_owned(), source })?;
        let index: Index = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        let mut at = BTreeMap::new();
        for (name, file) in &index.weight_map {
            let number = match numbers.get(file.as_str()) {
                Some(&number) => number,
                None => {
                    // The index is a file from outside: its names stay in its own folder.
                    if Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
                        return Err(fault(format!("`{file}` is not the name of a file beside it")));
                    }
                    let shard = path.with_file_name(file);
                    if !shard.is_file() {
                        return Err(WeightsError::Index {
                            path: shard,
                            reason: "this shard is missing".to_owned(),
                        });
                    }
                    files.push(SafetensorsFile::open(&shard)?);
                    numbers.insert(file, files.len() - 1);
                    files.len() - 1
                }
            };
            if files[number].shape(name).is_none() {
                return Err(fault(format!("`{file}` does not hold `{name}`, which it should")));
            }
            at.insert(name.clone(), number);
        }
        Ok(Self { files, at })
    }
}
