//! Clearing away what no row names: after a crash, and after rows were deleted.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use mudi_domain::api::{JobEvent, JobFault, JobState};
use uuid::Uuid;

use super::events::insert_event;
use super::jobs::state;
use super::{Store, StoreError, now};
use crate::files::WriteError;

/// So often in a row a job may be running when the server is killed, without having got further.
const MOST_CRASHES: i64 = 3;

impl Store {
    /// Brings the folder to what the rows say, after a process that may have been killed at any moment.
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        self.with_room(|| self.recover_rows()).await?;
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
        self.keep_room().await;
        Ok(())
    }

    /// Puts the jobs that ran back into the queue, but for those that somebody wanted to halt, and those that may be what killed
    /// the process.
    async fn recover_rows(&self) -> Result<(), StoreError> {
        let mut changes = self.begin().await?;
        sqlx::query(
            "update jobs set crashes = case when step > crashed_at or stage <> crashed_stage then 1 else crashes + 1 end,
                crashed_at = case when stage <> crashed_stage then step else max(step, crashed_at) end,
                crashed_stage = stage
             where state = 'running'",
        )
        .execute(&mut *changes)
        .await?;
        let fault = JobFault {
            code: "crashed".to_owned(),
            detail: format!(
                "the server was killed {MOST_CRASHES} times while it was at this job, which got no further meanwhile; the cause may be \
                 that memory ran out: ask for less, or give the server more, then try again"
            ),
        };
        let recovered: Vec<(Uuid, String)> = sqlx::query_as(
            "update jobs set wanted = 'run',
                state = case when wanted = 'pause' then 'paused' when wanted = 'cancel' then 'cancelled'
                    when crashes >= ?1 then 'failed' else 'queued' end,
                finished = case when wanted = 'cancel' or (wanted = 'run' and crashes >= ?1) then ?2 end,
                fault_code = case when wanted = 'run' and crashes >= ?1 then ?3 end,
                fault_detail = case when wanted = 'run' and crashes >= ?1 then ?4 end
             where state = 'running' returning id, state",
        )
        .bind(MOST_CRASHES)
        .bind(now())
        .bind(&fault.code)
        .bind(&fault.detail)
        .fetch_all(&mut *changes)
        .await?;
        for (job, word) in recovered {
            let state = state(&word)?;
            let fault = (state == JobState::Failed).then(|| fault.clone());
            insert_event(&mut changes, job, &JobEvent::State { state, fault }).await?;
        }
        sqlx::query("delete from sessions where expires < ?").bind(now()).execute(&mut *changes).await?;
        Ok(changes.commit().await?)
    }

    /// Removes the files and run folders of `project` that no row names, and its folder where the project is gone.
    pub(crate) async fn sweep(&self, project: Uuid) -> Result<(), StoreError> {
        let swept = self.remove_unnamed(project).await;
        self.keep_room().await;
        swept
    }

    async fn remove_unnamed(&self, project: Uuid) -> Result<(), StoreError> {
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
        let folder = self.project_folder(project).join("runs");
        // Before the rows: a worker makes a run's folder after its row.
        let names = entries(&folder)?;
        let runs: Vec<Uuid> = sqlx::query_scalar("select id from runs where project = ?")
            .bind(project)
            .fetch_all(&self.readers)
            .await?;
        for name in names {
            if !name.parse().is_ok_and(|run| runs.contains(&run)) {
                remove(&folder.join(name)).await?;
            }
        }
        Ok(())
    }

    /// Removes those of `files` that no row names any more.
    pub(crate) async fn release(&self, project: Uuid, files: &[String]) -> Result<(), StoreError> {
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
        self.keep_room().await;
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
    use std::io::ErrorKind;
    /// How often a folder is tried again into which a worker, which will stop soon, writes meanwhile.
    const TRIES: u32 = 5;
    const PAUSE: Duration = Duration::from_millis(50);
    let mut tries = 0;
    loop {
        let removed = match path.is_dir() {
            true => tokio::fs::remove_dir_all(path).await,
            false => tokio::fs::remove_file(path).await,
        };
        match removed {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE * tries).await;
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(WriteError { path: path.to_owned(), source: error }.into());
            }
            _ => return Ok(()),
        }
    }
}
