//! Clearing away what no row names: after a crash, and after rows were deleted.

use std::collections::BTreeSet;
use std::path::Path;

use uuid::Uuid;

use super::{Store, StoreError};

impl Store {
    /// Brings the folder to what the rows say, after a process that may have been killed at any moment.
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        sqlx::query("update jobs set state = 'queued' where state = 'running' and wanted = 'run'")
            .execute(&self.writer)
            .await?;
        for (wanted, state) in [("pause", "paused"), ("cancel", "cancelled")] {
            sqlx::query("update jobs set state = ?2, wanted = 'run' where state = 'running' and wanted = ?1")
                .bind(wanted)
                .bind(state)
                .execute(&self.writer)
                .await?;
        }
        sqlx::query("delete from sessions where expires < ?")
            .bind(super::now())
            .execute(&self.writer)
            .await?;
        let ours = |folder: &Path, name: &str| {
            let ours = name.parse::<Uuid>().ok();
            if ours.is_none() {
                tracing::warn!(folder = %folder.display(), name, "a file or folder that is not of this program; it stays");
            }
            ours
        };
        let folder = self.incoming();
        for name in entries(&folder)? {
            if ours(&folder, &name).is_some() {
                remove(&folder.join(name)).await?;
            }
        }
        let known: Vec<Uuid> = sqlx::query_scalar("select id from projects").fetch_all(&self.readers).await?;
        let folder = self.folder.join(super::PROJECTS);
        for name in entries(&folder)? {
            match ours(&folder, &name) {
                Some(project) if known.contains(&project) => self.sweep(project).await?,
                Some(_) => remove(&folder.join(name)).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Removes the files and run folders of `project` that no row names, and its folder where the project is gone.
    pub(crate) async fn sweep(&self, project: Uuid) -> Result<(), StoreError> {
        let lock = self.locks.of(project);
        let _alone = lock.write().await;
        let exists: bool = sqlx::query_scalar("select exists (select 1 from projects where id = ?)")
            .bind(project)
            .fetch_one(&self.readers)
            .await?;
        if !exists {
            return remove(&self.project_folder(project)).await;
        }
        let files: Vec<String> = sqlx::query_scalar("select file from files where project = ?")
            .bind(project)
            .fetch_all(&self.readers)
            .await?;
        let files: BTreeSet<String> = files.into_iter().collect();
        let folder = self.files_folder(project);
        // Read from the folder itself: object_store does not list what it was writing when it was killed.
        for name in entries(&folder)? {
            if !files.contains(&name) {
                remove(&folder.join(name)).await?;
            }
        }
        let runs: Vec<Uuid> = sqlx::query_scalar("select id from runs where project = ?")
            .bind(project)
            .fetch_all(&self.readers)
            .await?;
        let folder = self.project_folder(project).join("runs");
        for name in entries(&folder)? {
            if !name.parse().is_ok_and(|run| runs.contains(&run)) {
                remove(&folder.join(name)).await?;
            }
        }
        Ok(())
    }

    /// Removes those of `files` that no row names any more.
    pub(super) async fn release(&self, project: Uuid, files: &[String]) -> Result<(), StoreError> {
        let lock = self.locks.of(project);
        let _alone = lock.write().await;
        for file in files {
            let named: bool =
                sqlx::query_scalar("select exists (select 1 from files where project = ? and file = ?)")
                    .bind(project)
                    .bind(file)
                    .fetch_one(&self.readers)
                    .await?;
            if !named {
                remove(&self.files_folder(project).join(file)).await?;
            }
        }
        Ok(())
    }
}

/// The names in a folder; none where there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |source| StoreError::Read { path: folder.to_owned(), source };
    let found = match std::fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    found.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes a file, or a folder and what is in it; what is not there already is no fault.
async fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = match path.is_dir() {
        true => tokio::fs::remove_dir_all(path).await,
        false => tokio::fs::remove_file(path).await,
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Read { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
