//! What the server keeps: rows in SQLite, and files beside it.
//!
//! A file is written before the row that names it, and removed after the last such row. So a crash can leave a file too
//! many, which [`Store::open`] removes, but never a row without its file.

mod access;
mod blobs;
mod documents;
mod error;
mod events;
mod images;
mod jobs;
mod photos;
mod projects;
mod reserve;
mod runs;
mod subjects;
mod sweep;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sqlx::migrate::Migrator;
use sqlx::query::QueryAs;
use sqlx::sqlite::{
    SqliteArguments, SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Connection, FromRow, Sqlite, SqlitePool, Transaction};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use uuid::Uuid;

pub(crate) use access::Grants;
pub(crate) use blobs::Blobs;
pub(crate) use documents::Document;
pub use error::StoreError;
pub(crate) use error::is_full;
pub(crate) use events::EventRow;
pub(crate) use images::NewImage;
pub(crate) use jobs::{Claim, Wanted};
pub(crate) use photos::{NewMask, NewPhoto};
use reserve::Reserve;
pub(crate) use runs::RunData;
pub(crate) use whole::{PhotoRow, ProjectRows, SubjectRow};

use crate::files::create_folder;

/// The database's file in the data folder.
const DATABASE: &str = "mudi.sqlite";
/// The folder of the projects' folders.
const PROJECTS: &str = "projects";
/// The folder of files that come or go.
const INCOMING: &str = "incoming";
/// How a database of an earlier version becomes one of this.
static MIGRATIONS: Migrator = sqlx::migrate!("src/server/store/migrations");
/// Connections that only read.
const READERS: u32 = 4;

/// The data folder. One process at a time has it open.
pub(crate) struct Store {
    /// The one connection that writes: writers wait here in line, not at SQLite's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    blobs: Blobs,
    folder: PathBuf,
    locks: Locks,
    reserve: Reserve,
    _lock: File,
}

/// A lock for each project, held for reading from a file's writing to its row's, and for writing while files without rows are
/// removed. Projects share no file, so that one which is being imported keeps nobody waiting in another.
#[derive(Default)]
struct Locks(Mutex<HashMap<Uuid, Arc<RwLock<()>>>>);

impl Locks {
    fn of(&self, project: Uuid) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(project).or_default().clone()
    }
}

/// Keeps a project's files that have no row yet from being removed.
pub(crate) struct Keeping<'a> {
    store: &'a Store,
    project: Uuid,
    files: OwnedRwLockReadGuard<()>,
    /// What was put.
    put: Mutex<Vec<String>>,
}

impl Keeping<'_> {
    /// Keeps `bytes` as a file of the project and returns its name. It stays if a row names it before this is dropped.
    ///
    /// # Errors
    /// A disk that fails or is full.
    pub(crate) async fn put(&self, bytes: impl Into<Bytes>, extension: &str) -> Result<String, StoreError> {
        let file = self.store.blobs.put(self.project, bytes.into(), extension).await?;
        self.put.lock().unwrap_or_else(PoisonError::into_inner).push(file.clone());
        Ok(file)
    }

    /// Ends the keeping where not all rows were written: what was put and no row names is removed.
    ///
    /// # Errors
    /// A disk or a database that fails.
    pub(crate) async fn undo(self) -> Result<(), StoreError> {
        let Self { store, project, files, put } = self;
        drop(files);
        store.release(project, &put.into_inner().unwrap_or_else(PoisonError::into_inner)).await
    }
}

impl Store {
    /// Opens the data folder, made where there is none; brings its database to this version, and clears away what a
    /// crash has left.
    ///
    /// # Errors
    /// A folder that cannot be used, that another server uses, or that has files without a database, which may be anybody's; a
    /// database of a newer version.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let [projects, incoming] = [PROJECTS, INCOMING].map(|name| folder.join(name));
        // Whatever no row names is cleared away: without rows, all of it.
        if !folder.join(DATABASE).exists() {
            for path in [&projects, &incoming] {
                if !sweep::entries(path)?.is_empty() {
                    return Err(StoreError::NotOurs { path: path.clone() });
                }
            }
        }
        create_folder(&projects)?;
        create_folder(&incoming)?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path)
            .map_err(|source| crate::files::WriteError { path: lock_path, source })?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::InUse { path: folder.to_owned() },
            TryLockError::Error(source) => StoreError::Lock { path: folder.to_owned(), source },
        })?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join(DATABASE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A power cut loses nothing that was answered for.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted is overwritten, and its pages can be given back.
            .pragma("secure_delete", "on")
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(60))
            // A commit that fails, as on a full disk, ends the transaction for SQLite and not for sqlx, which would refuse every later one on
            // this connection: it is replaced. A transaction that was given up has been rolled back by now.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        MIGRATIONS.run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.pragma("query_only", "on"))
            .await?;
        let blobs = Blobs::open(&projects)?;
        let (locks, reserve) = (Locks::default(), Reserve::of(folder));
        let store = Self { writer, readers, blobs, folder: folder.to_owned(), locks, reserve, _lock: lock };
        store.recover().await?;
        Ok(store)
    }

    /// The files.
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Begins to keep files of a project that has no row yet, to be added by [`Self::add_project`].
    pub(crate) async fn keeping_new(&self, project: Uuid) -> Keeping<'_> {
        let files = self.locks.of(project).read_owned().await;
        Keeping { store: self, project, files, put: Mutex::default() }
    }

    /// Begins to keep files of `project` whose rows are still to be written.
    ///
    /// # Errors
    /// Where the project is gone. One that is deleted from now on waits with its files until this is dropped.
    pub(crate) async fn keeping(&self, project: Uuid) -> Result<Keeping<'_>, StoreError> {
        let keeping = self.keeping_new(project).await;
        match self.project_exists(project).await? {
            true => Ok(keeping),
            false => Err(StoreError::Missing("project")),
        }
    }

    /// The folder of files that are being uploaded.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.folder.join(INCOMING)
    }

    /// The folder of everything of a project.
    fn project_folder(&self, project: Uuid) -> PathBuf {
        self.folder.join(PROJECTS).join(project.to_string())
    }

    /// The folder of a project's files.
    fn files_folder(&self, project: Uuid) -> PathBuf {
        self.project_folder(project).join(blobs::FOLDER)
    }

    /// The folder in which a run is trained.
    pub(crate) fn run_folder(&self, project: Uuid, run: Uuid) -> PathBuf {
        self.project_folder(project).join("runs").join(run.to_string())
    }

    /// Begins changes that are made together or not at all.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // At once, not with the first row that is written: who reads before that would not wait for a connection which is just being
        // opened, and writes the mode of the database, but fail.
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// Makes a change outside of a transaction, and gives back its row, if it has one. The answer is read to its end: behind the first row sqlx
    /// does not tell that the commit has failed, as on a full disk, and what was refused would pass for kept.
    async fn change<T>(
        &self,
        change: QueryAs<'_, Sqlite, T, SqliteArguments>,
    ) -> Result<Option<T>, StoreError>
    where
        T: Send + Unpin + for<'row> FromRow<'row, SqliteRow>,
    {
        Ok(change.fetch_all(&self.writer).await?.pop())
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Where it does not.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.readers).await?;
        Ok(())
    }

    /// Closes the database.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// What to read of a list: so many, behind the one with this id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// The id of the last one that is known already.
    pub(crate) after: Uuid,
    /// The most to read.
    pub(crate) limit: u32,
}

impl Range {
    /// One more than is wanted, by which the end is known.
    fn fetch(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The part of a list that was asked for.
    fn page<R, T>(
        self,
        mut rows: Vec<R>,
        id: impl Fn(&R) -> Uuid,
        item: impl FnMut(R) -> Result<T, StoreError>,
    ) -> Result<mudi_domain::api::Page<T>, StoreError> {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next = rows.last().filter(|_| more).map(|row| id(row).to_string());
        Ok(mudi_domain::api::Page { items: rows.into_iter().map(item).collect::<Result<_, _>>()?, next })
    }
}

/// A new id: it sorts behind all earlier ones.
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// JSON of a column.
fn from_column<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what, fault: error.to_string() })
}

/// JSON for a column.
fn to_column<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged { what, fault: error.to_string() })
}

/// Tells why an update with a condition on the version changed no row.
fn changed(rows: u64, exists: bool, what: &'static str) -> Result<(), StoreError> {
    match (rows, exists) {
        (0, false) => Err(StoreError::Missing(what)),
        (0, true) => Err(StoreError::Stale(what)),
        _ => Ok(()),
    }
}
