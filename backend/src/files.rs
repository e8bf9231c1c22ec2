//! Writing files so that nobody ever sees half of one.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file or folder that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be written ({source}); {}", path.display(), cure(source.kind()))]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

/// What to do about a failed write.
fn cure(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::IsADirectory => "this is a folder; name a file",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "a file stands where a folder is needed; name another place"
        }
        ErrorKind::NotFound => "make the folder that it goes into, or name another one",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "check the folder's permissions, or name another one"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "see to free space on the disk"
        }
        _ => "check the folder's permissions and the free space of the disk",
    }
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

/// Whether the file `path` can be written, asked before the work whose result it is to hold. Nothing is left behind.
///
/// # Errors
/// [`WriteError`]: a folder of that name, or what [`check_folder`] says of the one that it goes into.
pub fn check_file(path: &Path) -> Result<(), WriteError> {
    if path.is_dir() {
        return Err(WriteError { path: path.to_owned(), source: ErrorKind::IsADirectory.into() });
    }
    check_folder(path.parent().unwrap_or(path))
}

/// Whether something can be written into the folder `path`, which need not be there yet, asked before the work whose result goes
/// there. An empty file is made and removed in the nearest folder that there is.
///
/// # Errors
/// [`WriteError`]: a file where a folder is needed, or a folder that nothing can be written into.
pub fn check_folder(path: &Path) -> Result<(), WriteError> {
    // Of a bare name the last ancestor is empty, and means this folder.
    let named = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let Some(nearest) = path.ancestors().map(named).find(|folder| folder.exists()) else { return Ok(()) };
    let failed = |source| WriteError { path: path.to_owned(), source };
    if !nearest.is_dir() {
        return Err(failed(ErrorKind::NotADirectory.into()));
    }
    let trial = nearest.join(format!(".{}.part", std::process::id()));
    std::fs::File::create_new(&trial).and_then(|_| std::fs::remove_file(&trial)).map_err(failed)
}

/// A path from the root on, without links; as it is written where nothing is there.
#[must_use]
pub fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether two paths lead to the same file or folder; of what is not there, whether they are written alike.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    let both = one.canonicalize().and_then(|one| Ok((one, other.canonicalize()?)));
    both.map_or(one == other, |(one, other)| one == other)
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`WriteError`].
pub fn create_folder(path: &Path) -> Result<(), WriteError> {
    std::fs::create_dir_all(path).map_err(|source| WriteError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        let written = |name: &str| write_atomically(&path(name), b"x").unwrap_err().to_string();
        assert!(written("nowhere/out.png").contains("make the folder"), "{}", written("nowhere/out.png"));
        assert!(written("folder").contains("name a file"), "{}", written("folder"));
        assert!(written("file/out.png").contains("another place"), "{}", written("file/out.png"));
        let made = create_folder(&path("file")).unwrap_err().to_string();
        assert!(made.contains("another place"), "{made}");
        let asked = |found: Result<(), WriteError>| found.unwrap_err().to_string();
        assert!(asked(check_file(&path("folder"))).contains("name a file"));
        for place in ["file", "file/below", "file/below/that"] {
            assert!(asked(check_folder(&path(place))).contains("another place"), "{place}");
        }
        assert!(asked(check_file(&path("file/out.png"))).contains("another place"));
        for place in ["new", "new/below", "folder"] {
            check_folder(&path(place)).unwrap();
            check_file(&path(place).join("out.png")).unwrap();
        }
        check_file(&path("file")).unwrap();
        // A test cannot fill a disk.
        let full = WriteError { path: path("out"), source: ErrorKind::StorageFull.into() }.to_string();
        assert!(full.contains("free space"), "{full}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    }
}
