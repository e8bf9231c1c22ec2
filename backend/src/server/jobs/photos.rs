//! A run's photos as the data folder that training reads.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use indexmap::IndexMap;
use mudi_domain::metadata::{FILE_NAME, Metadata, PhotoEntry};
use mudi_domain::subject::Subject;
use uuid::Uuid;

use super::worker::{Stopped, Work};
use crate::files::{WriteError, create_folder, write_atomically};
use crate::server::store::RunData;

/// Lays a run's photos out in its folder, and returns the folder of photos. What is there already stays: it is whole.
pub(super) fn lay_out(work: &Work<'_>, data: &RunData) -> Result<PathBuf, Stopped> {
    let project = work.claim.project;
    let run = work.server.store.run_folder(project, data.run.id);
    let folder = run.join("photos");
    let _alone = work.server.queue.laying_out.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.is_dir() {
        return Ok(folder);
    }
    let part = run.join("photos.part");
    let write = |error: WriteError| Stopped::of("write", &error);
    // What a killed server has begun.
    if part.is_dir() {
        std::fs::remove_dir_all(&part).map_err(|source| write(WriteError { path: part.clone(), source }))?;
    }
    create_folder(&part).map_err(write)?;
    let mut metadata = Metadata { subjects: IndexMap::new(), photos: Vec::new() };
    for (index, photo) in data.photos.iter().enumerate() {
        let subject = Subject::new(photo.subject.clone(), &photo.subject_name)
            .map_err(|error| Stopped::of("photos", &error))?;
        metadata.subjects.insert(photo.subject.clone(), subject);
        let extension = photo.file.rsplit('.').next().unwrap_or("png");
        let (file_name, mask) = (format!("{index:04}.{extension}"), format!("{index:04}.mask.png"));
        copy(work, project, &photo.file, &part.join(&file_name))?;
        copy(work, project, &photo.mask, &part.join(&mask))?;
        metadata.photos.push(PhotoEntry {
            id: photo.subject.clone(),
            file_name,
            mask_path: Some(mask),
            text: photo.caption.clone(),
        });
    }
    write_atomically(&part.join(FILE_NAME), metadata.to_jsonl().as_bytes()).map_err(write)?;
    std::fs::rename(&part, &folder)
        .map_err(|source| Stopped::of("write", &WriteError { path: folder.clone(), source }))?;
    Ok(folder)
}

fn copy(work: &Work<'_>, project: Uuid, file: &str, to: &Path) -> Result<(), Stopped> {
    let bytes = work.wait(work.server.store.blobs().read(project, file))?;
    write_atomically(to, &bytes).map_err(|error| Stopped::of("write", &error))
}
