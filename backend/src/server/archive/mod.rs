//! Zip files, in and out.
//!
//! Nothing of a zip is unpacked to a path that it names: what is wanted of it is asked for by name, each file up to a limit
//! and all together up to another, whatever the archive says of their sizes.

pub(super) mod data_folder;
mod list;
pub(super) mod project;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use bytes::Bytes;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::http::problem::ApiError;
use super::store::{StoreError, is_full};

/// An open archive, and how many bytes may still be unpacked.
struct Unpacker {
    zip: ZipArchive<BufReader<File>>,
    left: u64,
    /// How many might be at first, in MiB.
    limit: u64,
    /// The folder in the archive that files are asked for from, with `/` at its end, or empty.
    root: String,
}

fn broken(error: &ZipError) -> ApiError {
    ApiError::bad_file(format!("the zip cannot be read ({error}); pack it anew"))
}

fn damaged(name: &str, error: &std::io::Error) -> ApiError {
    ApiError::bad_file(format!("{name} cannot be unpacked ({error}); pack it anew"))
}

fn missing(name: &str, by: &str) -> ApiError {
    ApiError::bad_file(format!("the zip has no {name}, which {by} names; add it"))
}

fn too_large(name: &str, most: u64) -> ApiError {
    ApiError::too_large(format!("{name} unpacks to more than {most} bytes; pack less"))
}

fn too_much(limit: u64) -> ApiError {
    ApiError::too_large(format!(
        "the zip unpacks to more than {limit} MiB; pack less, or let whoever hosts the server allow more by its setting `archive-limit`"
    ))
}

impl Unpacker {
    /// Opens the zip at `path`, of which at most `limit` MiB shall be unpacked.
    fn open(path: &Path, limit: u64) -> Result<Self, ApiError> {
        let left = limit.saturating_mul(1 << 20);
        Ok(Self { zip: list::open(path)?, left, limit, root: String::new() })
    }

    /// Asks for files from where the one called `name` is, if there is one alone: who unpacks an archive, as some browsers do by themselves,
    /// and packs it again has a folder around it.
    fn beside(self, name: &str) -> Result<Self, ApiError> {
        let names = self.names()?;
        let around = |path: &String| path.strip_suffix(name).map(ToOwned::to_owned);
        let mut roots = names.iter().filter_map(around).filter(|root| root.is_empty() || root.ends_with('/'));
        let root = match (roots.next(), roots.next()) {
            (Some(root), None) => root,
            _ => String::new(),
        };
        Ok(Self { root, ..self })
    }

    /// The names of its files.
    fn names(&self) -> Result<Vec<String>, ApiError> {
        let names = self.zip.file_names().map(|name| name.map(Into::into));
        names.collect::<Result<_, _>>().map_err(|error| broken(&error))
    }

    /// The bytes of a file, at most `most`; none where there is no such file.
    fn find(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, ApiError> {
        let (of_all, most) = (self.left < most, most.min(self.left));
        let file = match self.zip.by_name(&format!("{}{name}", self.root)) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(broken(&error)),
        };
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| damaged(name, &error))?;
        if bytes.len() as u64 > most {
            return Err(if of_all { too_much(self.limit) } else { too_large(name, most) });
        }
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Writes a file that `by` names to `to`, without holding all of it in memory. Nobody may read there until it is whole.
    fn unpack(&mut self, name: &str, by: &str, to: &Path) -> Result<(), ApiError> {
        let mut file = match self.zip.by_name(&format!("{}{name}", self.root)) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Err(missing(name, by)),
            Err(error) => return Err(broken(&error)),
        };
        let mut written = File::create(to)?;
        let mut chunk = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut chunk).map_err(|error| damaged(name, &error))?;
            if read == 0 {
                break;
            }
            self.left = self.left.checked_sub(read as u64).ok_or_else(|| too_much(self.limit))?;
            written.write_all(&chunk[..read])?;
        }
        Ok(written.sync_all()?)
    }

    /// The bytes of a file that `by` names.
    fn read(&mut self, name: &str, by: &str, most: u64) -> Result<Vec<u8>, ApiError> {
        self.find(name, most)?.ok_or_else(|| missing(name, by))
    }
}

/// An archive that is being written.
struct Packer(ZipWriter<File>);

fn written(error: &ZipError) -> ApiError {
    match error {
        ZipError::Io(error) if is_full(error) => ApiError::from(StoreError::Full),
        error => ApiError::internal(error.to_string()),
    }
}

/// How a file of so many bytes is packed: images and weights hardly shrink, and storing them as they are is much quicker.
fn stored(bytes: u64) -> SimpleFileOptions {
    // Files of 4 GiB and more need the wider format.
    let large = bytes >= u64::from(u32::MAX);
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large)
}

impl Packer {
    /// Makes the file at `path`.
    fn create(path: &Path) -> Result<Self, ApiError> {
        Ok(Self(ZipWriter::new(File::create(path)?)))
    }

    /// Adds a file.
    async fn add(mut self, name: impl Into<String>, bytes: Bytes) -> Result<Self, ApiError> {
        let name = name.into();
        tokio::task::spawn_blocking(move || {
            self.0.start_file(name, stored(bytes.len() as u64)).map_err(|error| written(&error))?;
            self.0.write_all(&bytes)?;
            Ok(self)
        })
        .await?
    }

    /// Adds a file of the disk, which need not fit in memory.
    async fn add_file(mut self, name: String, mut file: File) -> Result<Self, ApiError> {
        tokio::task::spawn_blocking(move || {
            self.0.start_file(name, stored(file.metadata()?.len())).map_err(|error| written(&error))?;
            io::copy(&mut file, &mut self.0)?;
            Ok(self)
        })
        .await?
    }

    /// Writes the archive's end.
    async fn finish(self) -> Result<(), ApiError> {
        tokio::task::spawn_blocking(move || self.0.finish().map_err(|error| written(&error))).await??;
        Ok(())
    }
}
