//! Packing a project.

use std::path::{Path, PathBuf};

use mudi_domain::api::JobState;
use uuid::Uuid;

use super::{FILES, FORMAT, MANIFEST, Manifest, Trained, VERSION, check};
use crate::server::Server;
use crate::server::archive::Packer;
use crate::server::http::problem::ApiError;
use crate::server::jobs::TRAINED;
use crate::server::store::StoreError;
use crate::train::{CHECKPOINT_FILE, PRIORS_FILE, RunInfo, START_FILE, is_shown};

/// Writes the project as a zip to `path`. A run that is being trained is packed as of its last checkpoint, and is paused in
/// the archive.
pub(in crate::server) async fn pack(server: &Server, project: Uuid, path: &Path) -> Result<(), ApiError> {
    // What is deleted from now on keeps its files until they are packed.
    let keeping = server.store.keeping(project).await?;
    let (name, mut rows) = server.store.project_rows(project).await?;
    let mut trained = Vec::new();
    for run in &rows.runs {
        let folder = server.store.run_folder(project, run.id).join(TRAINED);
        let job = rows.jobs.iter().find(|job| job.id == run.job);
        let state = job.and_then(|job| JobState::from_word(&job.state));
        // One that has failed may go on.
        let over = state.is_some_and(|state| state.is_over() && state != JobState::Failed);
        let id = run.id;
        let found = tokio::task::spawn_blocking(move || list(&folder, over)).await??;
        trained.extend(found.into_iter().map(|path| Trained { run: id, path }));
    }
    for job in &mut rows.jobs {
        if !JobState::from_word(&job.state).is_some_and(JobState::is_over) {
            JobState::Paused.word().clone_into(&mut job.state);
        }
    }
    let mut packer = Packer::create(path)?;
    let listed = std::mem::take(&mut trained);
    for file in listed {
        let path = server.store.run_folder(project, file.run).join(TRAINED).join(&file.path);
        let opened = match tokio::fs::File::open(&path).await {
            Ok(opened) => opened.into_std().await,
            // Training shows the next pictures in place of these.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_shown(&file.path) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ApiError::conflict("a run has changed while it was packed; try again"));
            }
            Err(source) => return Err(StoreError::Read { path, source }.into()),
        };
        packer = if file.path == START_FILE {
            let bytes = tokio::fs::read(&path).await.map_err(|source| StoreError::Read { path, source })?;
            packer.add(file.name(), without_places(&bytes)?.into()).await?
        } else {
            packer.add_file(file.name(), opened).await?
        };
        trained.push(file);
    }
    for file in rows.files() {
        let bytes = server.store.blobs().read(project, file).await?;
        packer = packer.add(format!("{FILES}/{file}"), bytes).await?;
    }
    drop(keeping);
    let manifest = Manifest { format: FORMAT.to_owned(), version: VERSION, name, rows, trained };
    let text = serde_json::to_vec(&manifest).map_err(|error| ApiError::internal(error.to_string()))?;
    packer.add(MANIFEST, text.into()).await?.finish().await
}

/// The files below `folder` that a run needs, the checkpoint first: whatever is read after it fits to it or is newer, as
/// after a crash. A run that is over needs no checkpoint.
fn list(folder: &Path, over: bool) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let entries = match std::fs::read_dir(folder.join(&below)) {
            Ok(entries) => entries,
            // Nothing was trained yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            // Prior images can be made again, and go while this is read when a run ends.
            let half = name.ends_with(".part") || name == "lock" || name == PRIORS_FILE;
            let needless = over && name == CHECKPOINT_FILE;
            // Others come from elsewhere, as what file managers leave (`.DS_Store`), and would be refused where this is unpacked.
            if !half && !needless && check::path(&name).is_ok() {
                found.push(name);
            }
        }
    }
    found.sort_by_key(|name| (name != CHECKPOINT_FILE, name.clone()));
    Ok(found)
}

/// Where this server keeps its photos and models is nobody's business; the worker puts its own places in.
fn without_places(bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
    let damaged = |error: serde_json::Error| StoreError::Damaged { what: "run", fault: error.to_string() };
    let mut info: RunInfo = serde_json::from_slice(bytes).map_err(damaged)?;
    for place in [&mut info.photos, &mut info.base] {
        *place = place.file_name().map(PathBuf::from).unwrap_or_default();
    }
    Ok(serde_json::to_vec_pretty(&info).map_err(damaged)?)
}
