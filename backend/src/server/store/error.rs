//! Why the store refused, or failed.

use std::path::PathBuf;

use crate::files::WriteError;

/// Every message names the thing, the fault and the cure.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server uses the data folder.
    #[error("{}: another server uses this data folder; stop it, or name another --data", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Nobody can tell whether another server uses the data folder.
    #[error(
        "{}: files cannot be locked here ({source}), so that two servers could write to it; name a folder on a local disk as --data",
        path.display()
    )]
    Lock {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The data folder has files, and no database that knows them.
    #[error("{}: is not empty, and no mudi.sqlite beside it says whose it is; name an empty folder as --data, or put mudi.sqlite back from its backup", path.display())]
    NotOurs {
        /// The folder with files.
        path: PathBuf,
    },
    /// The data folder cannot be opened.
    #[error("{}: the data folder cannot be opened ({source}); check its permissions", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
    /// The database is of a newer version, or is damaged.
    #[error("the database cannot be brought to this version: {0}; use the program that wrote it")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A file of the store failed.
    #[error("a stored file failed: {0}")]
    File(#[source] object_store::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The disk has no room.
    #[error("the server's disk is full; nothing was lost, and it goes on when there is room")]
    Full,
    /// There is no such thing.
    #[error("there is no such {0}; it may have been deleted")]
    Missing(&'static str),
    /// Somebody else has changed it since it was read.
    #[error("the {0} has been changed since you read it; read it again, then make your change")]
    Stale(&'static str),
    /// It cannot be so.
    #[error("{0}")]
    Conflict(String),
    /// A row holds what this program does not write.
    #[error("a {what} in the database is damaged: {fault}")]
    Damaged {
        /// What kind of row.
        what: &'static str,
        /// What is wrong.
        fault: String,
    },
}

/// `SQLITE_FULL`, and `SQLITE_IOERR_SHMSIZE`: no room for a longer index of the database's log.
const SQLITE_FULL: [&str; 2] = ["13", "4874"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(cause) if cause.code().is_some_and(|code| SQLITE_FULL.contains(&&*code)) => Self::Full,
            // Every row belongs to a project, which was deleted a moment ago.
            Some(cause) if cause.is_foreign_key_violation() => Self::Missing("project"),
            _ => Self::Database(error),
        }
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing("file"),
            error if is_full(&error) => Self::Full,
            error => Self::File(error),
        }
    }
}

/// Whether the error, or what caused it, is a disk without room.
pub(crate) fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind;
    let mut cause = Some(error);
    while let Some(error) = cause {
        let full = |error: &std::io::Error| {
            matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            )
        };
        if error.downcast_ref::<std::io::Error>().is_some_and(full) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_behind_other_errors() {
        let cause = |kind: std::io::ErrorKind| {
            StoreError::Write(WriteError { path: "a".into(), source: kind.into() })
        };
        assert!(is_full(&cause(std::io::ErrorKind::StorageFull)));
        assert!(is_full(&crate::train::TrainError::Write(WriteError {
            path: "a".into(),
            source: std::io::ErrorKind::QuotaExceeded.into(),
        })));
        assert!(!is_full(&cause(std::io::ErrorKind::PermissionDenied)));
    }
}
