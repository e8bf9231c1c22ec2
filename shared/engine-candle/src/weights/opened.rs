//! The formats that weights are read from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::Tensor as Value;

use crate::pth::PthFile;
use crate::safetensors_file::SafetensorsFile;
use crate::weights::WeightsError;

/// An open file of weights.
pub(crate) enum WeightsFile {
    Safetensors(SafetensorsFile),
    Pth(PthFile),
}

/// What an archive starts with, and with it a file of today's `torch.save`.
const ARCHIVE: [u8; 4] = *b"PK\x03\x04";
/// What a pickle starts with, and with it a file of `torch.save` before PyTorch 1.6.
const PICKLE: [u8; 2] = [0x80, 0x02];

impl WeightsFile {
    /// Opens a file by what it starts with, whatever its name.
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
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

    pub(crate) fn names(&self) -> Box<dyn Iterator<Item = &String> + '_> {
        match self {
            Self::Safetensors(file) => Box::new(file.names()),
            Self::Pth(file) => Box::new(file.names()),
        }
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(file) => file.shape(name),
            Self::Pth(file) => file.shape(name),
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// The tensor of that name, on the CPU; none where there is none.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Value>, WeightsError> {
        match self {
            Self::Safetensors(file) => file.read(name),
            Self::Pth(file) => file.read(name),
        }
    }
}
