//! Whether files have changed since they were looked at.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells whether a file has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    changed: SystemTime,
}

impl Stamp {
    /// That of the file at `path`; none where there is no file.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        match path.metadata().and_then(|meta| Ok((meta.len(), meta.modified()?))) {
            Ok((bytes, changed)) => Ok(Some(Self { path: path.to_owned(), bytes, changed })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
