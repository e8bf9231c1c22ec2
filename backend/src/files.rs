//! Writing files so that nobody ever sees half of one.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file or folder that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be written ({source}); check the folder's permissions and the free space of the disk", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

/// Writes `bytes` beside `path` and renames the result, so that `path` holds either the old bytes or all new ones.
///
/// # Errors
/// [`WriteError`]; nothing is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|source| {
        // The write has failed already; a part that cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&part);
        failed(source)
    })
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`WriteError`].
pub fn create_folder(path: &Path) -> Result<(), WriteError> {
    std::fs::create_dir_all(path).map_err(|source| WriteError { path: path.to_owned(), source })
}
