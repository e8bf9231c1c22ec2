//! Files by the SHA-256 of their bytes, below the project that they belong to.
//!
//! A file is written beside its place, synced and renamed, and never changes. Two projects share none, so that a
//! project's folder is all that there is of it.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetResult, ObjectStore, ObjectStoreExt};
use uuid::Uuid;

use super::StoreError;
use crate::digest::sha256;

/// The folder of files in a project's.
pub(super) const FOLDER: &str = "files";

/// The files of all projects.
pub(crate) struct Blobs {
    store: LocalFileSystem,
}

fn key(project: Uuid, file: &str) -> Key {
    Key::from_iter([project.to_string().as_str(), FOLDER, file])
}

impl Blobs {
    /// The files below `folder`, which exists.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|source| StoreError::Open { path: folder.to_owned(), source })?;
        Ok(Self { store: store.with_fsync(true) })
    }

    /// Keeps `bytes` and returns their name: their digest and `extension`.
    pub(super) async fn put(
        &self,
        project: Uuid,
        bytes: Bytes,
        extension: &str,
    ) -> Result<String, StoreError> {
        let file = format!("{}.{extension}", sha256(&bytes));
        let key = key(project, &file);
        // What is there is whole, and the same.
        if self.store.head(&key).await.is_ok_and(|found| found.size == bytes.len() as u64) {
            return Ok(file);
        }
        // Renamed to its place and not linked there: some file systems, such as exFAT, have no links.
        self.store.put(&key, bytes.into()).await?;
        Ok(file)
    }

    /// A file, or a `range` of its bytes, as a stream.
    pub(crate) async fn get(
        &self,
        project: Uuid,
        file: &str,
        range: Option<Range<u64>>,
    ) -> Result<GetResult, StoreError> {
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        Ok(self.store.get_opts(&key(project, file), options).await?)
    }

    /// The length of a file in bytes.
    pub(crate) async fn size(&self, project: Uuid, file: &str) -> Result<u64, StoreError> {
        Ok(self.store.head(&key(project, file)).await?.size)
    }

    /// The bytes of a file.
    pub(crate) async fn read(&self, project: Uuid, file: &str) -> Result<Bytes, StoreError> {
        Ok(self.get(project, file, None).await?.bytes().await?)
    }
}
