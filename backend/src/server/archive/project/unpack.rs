//! Unpacking a project.

use std::path::Path;

use mudi_domain::api::{Access, JobEvent, JobFault, JobState, Project};
use uuid::Uuid;

use super::{FILES, MANIFEST, Manifest, Trained, check};
use crate::dataset::decode::{MAX_BYTES, decode};
use crate::files::{create_folder, write_atomically};
use crate::server::Server;
use crate::server::archive::Unpacker;
use crate::server::http::extract::name;
use crate::server::http::problem::ApiError;
use crate::server::jobs::TRAINED;
use crate::server::media::MediaError;
use crate::server::store::{StoreError, digest, new_id};

/// The largest `project.json`, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// Makes a project of the archive at `path`, called as in it or `renamed`; all of it or nothing.
pub(in crate::server) async fn unpack(
    server: &Server,
    path: &Path,
    renamed: impl FnOnce(&str) -> String,
) -> Result<Project, ApiError> {
    let project = new_id();
    match fill(server, project, path, renamed).await {
        Ok(()) => Ok(server.store.project(project, Access::Owner).await?),
        Err(error) => {
            // What was written has no row yet.
            server.store.sweep(project).await?;
            Err(error)
        }
    }
}

async fn fill(
    server: &Server,
    project: Uuid,
    path: &Path,
    renamed: impl FnOnce(&str) -> String,
) -> Result<(), ApiError> {
    let most = server.settings.archive_limit.saturating_mul(1 << 20);
    let path = path.to_owned();
    let (mut zip, mut manifest) = tokio::task::spawn_blocking(move || open(&path, most)).await??;
    let called = name(&renamed(&manifest.name))?;
    let keeping = server.store.keeping_new(project).await;
    let files: Vec<String> = manifest.rows.files().into_iter().map(str::to_owned).collect();
    // The archive's names have the old ids.
    let packed: Vec<String> = manifest.trained.iter().map(Trained::name).collect();
    check::rows(&mut manifest.rows, &mut manifest.trained)?;
    for file in files {
        let permit = server.guard.decoder().await?;
        let read = tokio::task::spawn_blocking(move || {
            let read = image(&mut zip, &file);
            (zip, file, read)
        });
        let (back, file, read) = read.await?;
        drop(permit);
        zip = back;
        let extension = file.rsplit('.').next().unwrap_or_default();
        keeping.put(read?, extension).await?;
    }
    for (file, packed) in manifest.trained.iter().zip(packed) {
        let to = server.store.run_folder(project, file.run).join(TRAINED).join(&file.path);
        let written = tokio::task::spawn_blocking(move || {
            let bytes = zip.read(&packed, MANIFEST, u64::MAX - 1)?;
            if let Some(folder) = to.parent() {
                create_folder(folder).map_err(StoreError::from)?;
            }
            write_atomically(&to, &bytes).map_err(StoreError::from)?;
            Ok::<_, ApiError>(zip)
        });
        zip = written.await??;
    }
    server.store.add_project(project, &called, &manifest.rows).await.map_err(contradiction)?;
    drop(keeping);
    for job in &manifest.rows.jobs {
        let Some(state) = JobState::from_word(&job.state) else { continue };
        let fault = job
            .fault_code
            .clone()
            .map(|code| JobFault { code, detail: job.fault_detail.clone().unwrap_or_default() });
        server.queue.note(&server.store, job.id, &JobEvent::State { state, fault }).await?;
    }
    Ok(())
}

/// The archive and its manifest.
fn open(path: &Path, most: u64) -> Result<(Unpacker, Manifest), ApiError> {
    let mut zip = Unpacker::open(path, most)?;
    let text = zip.find(MANIFEST, MAX_TEXT)?.ok_or_else(|| {
        ApiError::bad_file(format!(
            "the zip has no {MANIFEST}, so it is no project; a data folder is added to a project's photos instead"
        ))
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| ApiError::bad_file(format!("{MANIFEST} cannot be read ({error}); export anew")))?;
    check::format(&manifest)?;
    Ok((zip, manifest))
}

/// A file of pixels, which must be what its name says.
fn image(zip: &mut Unpacker, file: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = zip.read(&format!("{FILES}/{file}"), MANIFEST, MAX_BYTES)?;
    if !file.starts_with(&digest(&bytes)) {
        return Err(ApiError::bad_file(format!("{file} has other bytes than its name says; export anew")));
    }
    decode(Path::new(file), &bytes).map_err(MediaError::from)?;
    Ok(bytes)
}

/// Rows that no project can have together: the archive is at fault, not the server.
fn contradiction(error: StoreError) -> ApiError {
    match error {
        StoreError::Missing(_) => {
            ApiError::bad_file("project.json names rows that it does not have; export anew")
        }
        StoreError::Database(error)
            if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
        {
            ApiError::bad_file("project.json has one thing twice; export anew")
        }
        error => error.into(),
    }
}
