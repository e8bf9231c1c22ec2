//! A safetensors file, read tensor by tensor: a model need not fit in memory twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor as Value};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::error::OtherFormat;
use super::{NamedTensors, WeightsError};

/// An open file whose header has been checked.
pub(crate) struct SafetensorsFile {
    path: PathBuf,
    file: File,
    /// Where the tensors' bytes begin.
    start: u64,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

/// Bytes of the length that a file starts with.
const LENGTH: u64 = 8;
/// Longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

impl SafetensorsFile {
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let total = file.metadata().map_err(read)?.len();
        let format = |reason: String| WeightsError::Format { path: path.to_owned(), reason };
        if total < LENGTH {
            return Err(format(format!("{total} bytes are no header")));
        }
        let mut length = [0; LENGTH as usize];
        file.read_exact(&mut length).map_err(read)?;
        let what = OtherFormat::of(&length);
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(WeightsError::NotSafetensors { path: path.to_owned(), what });
        }
        if LENGTH + length > total {
            return Err(format(format!("a header of {length} bytes in a file of {total}")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(read)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| format(format!("header: {error}")))?;
        let texts = metadata.metadata().iter().flatten();
        let texts = texts.map(|(name, text)| (name.clone(), text.clone())).collect();
        let mut tensors: Vec<(String, TensorInfo)> =
            metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        // Checks that the tensors lie side by side and have the bytes that their shapes need.
        let metadata =
            Metadata::new(None, tensors.clone()).map_err(|error| format(format!("header: {error}")))?;
        let expected = LENGTH + length + metadata.data_len() as u64;
        if expected != total {
            return Err(format(format!("{total} bytes where the header says {expected}")));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            start: LENGTH + length,
            tensors: tensors.into_iter().collect(),
            metadata: texts,
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// What the file says about itself.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Likewise.
    pub(crate) fn into_metadata(self) -> BTreeMap<String, String> {
        self.metadata
    }

    /// The shape of the tensor of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// The tensor of that name, on the CPU; none where there is none.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Value>, WeightsError> {
        let Some(info) = self.tensors.get(name) else { return Ok(None) };
        let is_e5m2 = info.dtype == Dtype::F8_E5M2;
        let dtype = if is_e5m2 { Some(DType::F16) } else { read_as(info.dtype) };
        let dtype = dtype.ok_or_else(|| WeightsError::Type {
            path: self.path.clone(),
            name: name.to_owned(),
            dtype: format!("{:?}", info.dtype),
        })?;
        let (first, end) = info.data_offsets;
        let mut bytes = vec![0; end - first];
        self.file
            .seek(SeekFrom::Start(self.start + first as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| WeightsError::Read { path: self.path.clone(), source })?;
        if is_e5m2 {
            // Such a value is the upper byte of the same one in f16.
            bytes = bytes.into_iter().flat_map(|upper| [0, upper]).collect();
        }
        Value::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu).map(Some).map_err(|error| {
            WeightsError::Format {
                path: self.path.clone(),
                reason: format!("tensor `{name}`: {}", error.to_string().lines().next().unwrap_or_default()),
            }
        })
    }

    pub(crate) fn read_all(mut self) -> Result<NamedTensors, WeightsError> {
        let names: Vec<String> = self.names().cloned().collect();
        let mut all = NamedTensors::new();
        for name in names {
            if let Some(value) = self.read(&name)? {
                all.insert(name, value);
            }
        }
        Ok(all)
    }
}

/// The engine's type for a file's; none for one whose values it cannot read.
fn read_as(dtype: Dtype) -> Option<DType> {
    let opaque = |dtype: &DType| matches!(dtype, DType::F8E8M0 | DType::F6E2M3 | DType::F6E3M2 | DType::F4);
    DType::try_from(dtype).ok().filter(|dtype| !opaque(dtype))
}
