//! A file of `torch.save`, read tensor by tensor: an archive with a pickle that names the tensors and a member for each
//! storage. The pickle is interpreted, never executed; what it says is held against the archive before it is believed.

mod entry;
mod pickle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor as Value};
use zip::{CompressionMethod, ZipArchive};

use crate::weights::WeightsError;
use entry::TensorEntry;
use pickle::read_tensors;

/// Longest pickle: a hundred times that of the largest model that is read here.
const MAX_PICKLE: u64 = 64 << 20;

/// An open file whose tensors have been found.
pub(crate) struct PthFile {
    path: PathBuf,
    file: File,
    tensors: BTreeMap<String, TensorEntry>,
    /// Where each storage's bytes begin.
    storages: BTreeMap<String, u64>,
}

impl PthFile {
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read { path: path.to_owned(), source };
        let format = |reason: String| WeightsError::Pth { path: path.to_owned(), reason };
        let file = File::open(path).map_err(read)?;
        let total = file.metadata().map_err(read)?.len();
        let archive = ZipArchive::new(BufReader::new(file.try_clone().map_err(read)?));
        let mut archive = archive.map_err(|error| format(format!("the archive: {error}")))?;
        let members = members(&mut archive, total).map_err(format)?;

        let mut pickles = members.iter().filter(|(name, _)| name.ends_with("data.pkl"));
        let (Some((name, &(start, length))), None) = (pickles.next(), pickles.next()) else {
            return Err(format("it has not exactly one `data.pkl`".to_owned()));
        };
        let folder = name.strip_suffix("data.pkl").unwrap_or_default();
        if length > MAX_PICKLE {
            return Err(format(format!("`{name}` has {length} bytes, more than any model needs")));
        }
        let mut source =
            Self { path: path.to_owned(), file, tensors: BTreeMap::new(), storages: BTreeMap::new() };
        if let Some(&(start, length)) = members.get(&format!("{folder}byteorder")) {
            let order = source.bytes(start, length.min(16) as usize)?;
            if order != b"little" {
                return Err(format(
                    "its numbers are big-endian; save it again on another machine".to_owned(),
                ));
            }
        }
        let pickle = source.bytes(start, length as usize)?;
        source.tensors = read_tensors(&pickle).map_err(|reason| format(format!("`{name}`: {reason}")))?;
        for (tensor, entry) in &source.tensors {
            let storage = format!("{folder}data/{}", entry.storage);
            let Some(&(start, length)) = members.get(&storage) else {
                return Err(format(format!("tensor `{tensor}`: the archive has no `{storage}`")));
            };
            let size = entry.dtype().map_or(1, |dtype| dtype.size_in_bytes() as u64);
            if entry.extent().is_none()
                || (entry.stored as u64).checked_mul(size).is_none_or(|end| end > length)
            {
                return Err(format(format!("tensor `{tensor}` reaches outside of its storage")));
            }
            source.storages.insert(entry.storage.clone(), start);
        }
        Ok(source)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// The shape of the tensor of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
    }

    /// The tensor of that name, on the CPU; none where there is none.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Value>, WeightsError> {
        let Some(entry) = self.tensors.get(name).cloned() else { return Ok(None) };
        let format = |path: &Path, reason: String| WeightsError::Pth { path: path.to_owned(), reason };
        let (Some(dtype), Some(extent)) = (entry.dtype(), entry.extent()) else {
            let reason =
                format!("tensor `{name}` is a {}, which is none of floats and integers", entry.class);
            return Err(format(&self.path, reason));
        };
        let size = dtype.size_in_bytes();
        let start = self.storages.get(&entry.storage).copied().unwrap_or_default();
        let bytes = self.bytes(start + (entry.offset * size) as u64, extent * size)?;
        let bytes = if entry.is_contiguous() { bytes } else { gathered(&bytes, &entry, size) };
        Value::from_raw_buffer(&bytes, dtype, &entry.shape, &Device::Cpu).map(Some).map_err(|error| {
            let reason = error.to_string();
            format(&self.path, format!("tensor `{name}`: {}", reason.lines().next().unwrap_or_default()))
        })
    }

    fn bytes(&mut self, start: u64, length: usize) -> Result<Vec<u8>, WeightsError> {
        let mut bytes = vec![0; length];
        self.file
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| WeightsError::Read { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

/// Names of the archive's members, with where their bytes begin and how many they are. PyTorch compresses nothing, so no
/// member can be larger than the file.
fn members(
    archive: &mut ZipArchive<BufReader<File>>,
    total: u64,
) -> Result<BTreeMap<String, (u64, u64)>, String> {
    let mut members = BTreeMap::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|error| format!("the archive: {error}"))?;
        let name = member.name().map_err(|error| format!("the archive: {error}"))?.into_owned();
        let (start, length) = (member.data_start().unwrap_or(total), member.size());
        if member.compression() != CompressionMethod::Stored || member.encrypted() {
            return Err(format!("`{name}` is compressed or encrypted, which PyTorch does not do"));
        }
        if start.checked_add(length).is_none_or(|end| end > total) {
            return Err(format!("`{name}` reaches outside of the file"));
        }
        members.insert(name, (start, length));
    }
    Ok(members)
}

/// The elements of a tensor that does not lie in order, in order.
fn gathered(bytes: &[u8], entry: &TensorEntry, size: usize) -> Vec<u8> {
    let count = entry.elements().unwrap_or(0);
    let mut out = Vec::with_capacity(count * size);
    for index in 0..count {
        let (mut rest, mut at) = (index, 0);
        for (&length, &stride) in entry.shape.iter().zip(&entry.strides).rev() {
            at += rest % length * stride;
            rest /= length;
        }
        out.extend_from_slice(&bytes[at * size..][..size]);
    }
    out
}
