//! Writing a safetensors file tensor by tensor: a model need not fit in memory twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor as Value};
use serde_json::{Map, json};

use super::WeightsError;

/// What a file says about one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorHeader {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// `F32`, `F16` or `BF16`.
    pub dtype: DType,
}

impl TensorHeader {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size_in_bytes()
    }
}

/// A file that is being written, beside its final name until it is whole.
pub struct SafetensorsWriter {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    /// What is still to be written, last first.
    left: Vec<TensorHeader>,
}

impl SafetensorsWriter {
    /// Begins a file that will hold these tensors in this order, and `metadata`.
    ///
    /// # Errors
    /// [`WeightsError::Write`]; a type that is not one of [`TensorHeader::dtype`].
    pub fn create(
        path: &Path,
        mut tensors: Vec<TensorHeader>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, WeightsError> {
        let failed = |reason: String| WeightsError::Write { path: path.to_owned(), reason };
        let mut header = Map::new();
        if !metadata.is_empty() {
            header.insert("__metadata__".to_owned(), json!(metadata));
        }
        let mut start = 0;
        for tensor in &tensors {
            let dtype = match tensor.dtype {
                DType::F32 => "F32",
                DType::F16 => "F16",
                DType::BF16 => "BF16",
                other => return Err(failed(format!("`{}` has the type {other:?}", tensor.name))),
            };
            let end = start + tensor.bytes();
            let entry = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end] });
            header.insert(tensor.name.clone(), entry);
            start = end;
        }
        let mut header = json!(header).to_string().into_bytes();
        // The tensors begin at a multiple of 8 bytes.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = File::create(&part).map_err(|error| failed(error.to_string()))?;
        tensors.reverse();
        let mut writer = Self { path: path.to_owned(), part, file: BufWriter::new(file), left: tensors };
        writer.put(&(header.len() as u64).to_le_bytes())?;
        writer.put(&header)?;
        Ok(writer)
    }

    fn failed(&self, reason: impl std::fmt::Display) -> WeightsError {
        let reason = format!("{reason}; check the folder's permissions and the free space of the disk");
        WeightsError::Write { path: self.path.clone(), reason }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WeightsError> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))
    }

    /// Writes the next tensor, in the type that was promised.
    ///
    /// # Errors
    /// [`WeightsError::Write`]; a tensor of another shape than was promised.
    pub fn write(&mut self, value: &Value) -> Result<(), WeightsError> {
        let Some(header) = self.left.pop() else { return Err(self.failed("a tensor too many")) };
        if value.dims() != header.shape {
            let reason = format!("`{}` has shape {:?}, not {:?}", header.name, value.dims(), header.shape);
            return Err(WeightsError::Write { path: self.path.clone(), reason });
        }
        let bytes = || -> candle_core::Result<Vec<u8>> {
            let value = value.to_dtype(header.dtype)?.flatten_all()?;
            Ok(match header.dtype {
                DType::F16 => value.to_vec1::<half::f16>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
                DType::BF16 => value.to_vec1::<half::bf16>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
                _ => value.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
            })
        };
        let bytes = bytes().map_err(|error| self.failed(error))?;
        self.put(&bytes)
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`WeightsError::Write`]; tensors that were promised and not written.
    pub fn finish(mut self) -> Result<(), WeightsError> {
        if let Some(missing) = self.left.last() {
            let reason = format!("`{}` was not written", missing.name);
            return Err(WeightsError::Write { path: self.path.clone(), reason });
        }
        let whole = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        whole.and_then(|()| std::fs::rename(&self.part, &self.path)).map_err(|error| self.failed(error))
    }
}

impl Drop for SafetensorsWriter {
    fn drop(&mut self) {
        // After `finish` there is nothing to remove; before it, half a file must not stay.
        let _ = std::fs::remove_file(&self.part);
    }
}
