//! Zip files, in and out.
//!
//! Nothing of a zip is unpacked to a path that it names: what is wanted of it is asked for by name, each file up to a limit
//! and all together up to another, whatever the archive says of their sizes.

pub(super) mod data_folder;
pub(super) mod project;

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use bytes::Bytes;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::http::problem::ApiError;
use super::store::{StoreError, is_full};

/// The most files in an archive.
const MAX_FILES: usize = 50_000;

/// An open archive, and how many bytes may still be unpacked.
struct Unpacker {
    zip: ZipArchive<BufReader<File>>,
    left: u64,
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

impl Unpacker {
    /// Opens the zip at `path`, of which at most `most` bytes shall be unpacked.
    fn open(path: &Path, most: u64) -> Result<Self, ApiError> {
        let zip = ZipArchive::new(BufReader::new(File::open(path)?)).map_err(|error| broken(&error))?;
        if zip.len() > MAX_FILES {
            return Err(ApiError::bad_file(format!(
                "the zip has {} files; pack at most {MAX_FILES}",
                zip.len()
            )));
        }
        Ok(Self { zip, left: most })
    }

    /// The names of its files.
    fn names(&self) -> Result<Vec<String>, ApiError> {
        let names = self.zip.file_names().map(|name| name.map(Into::into));
        names.collect::<Result<_, _>>().map_err(|error| broken(&error))
    }

    /// The bytes of a file, at most `most`; none where there is no such file.
    fn find(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, ApiError> {
        let most = most.min(self.left);
        let file = match self.zip.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(broken(&error)),
        };
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| damaged(name, &error))?;
        if bytes.len() as u64 > most {
            return Err(too_large(name, most));
        }
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Writes a file that `by` names to `to`, without holding all of it in memory. Nobody may read there until it is whole.
    fn unpack(&mut self, name: &str, by: &str, to: &Path) -> Result<(), ApiError> {
        let most = self.left;
        let mut file = match self.zip.by_name(name) {
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
            self.left = self.left.checked_sub(read as u64).ok_or_else(|| too_large(name, most))?;
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

impl Packer {
    /// Makes the file at `path`.
    fn create(path: &Path) -> Result<Self, ApiError> {
        Ok(Self(ZipWriter::new(File::create(path)?)))
    }

    /// Adds a file. Images and weights hardly shrink: storing them as they are is much quicker.
    async fn add(mut self, name: impl Into<String>, bytes: Bytes) -> Result<Self, ApiError> {
        let name = name.into();
        tokio::task::spawn_blocking(move || {
            // Files of 4 GiB and more need the wider format.
            let large = bytes.len() >= u32::MAX as usize;
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
            self.0.start_file(name, options).map_err(|error| written(&error))?;
            self.0.write_all(&bytes)?;
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
