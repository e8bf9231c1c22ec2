//! Unpacking a project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mudi_domain::api::{Access, Project};
use mudi_domain::mask::Mask;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{FILES, MANIFEST, Manifest, Trained, check};
use crate::dataset::decode::{MAX_BYTES, decode};
use crate::digest::sha256;
use crate::files::create_folder;
use crate::server::Server;
use crate::server::archive::Unpacker;
use crate::server::http::extract::name;
use crate::server::http::problem::ApiError;
use crate::server::jobs::TRAINED;
use crate::server::media::{MediaError, Outline};
use crate::server::store::{NewMask, StoreError, new_id};
use crate::train::{RunInfo, START_FILE};

/// The largest `project.json`, in bytes: that of a project with tens of thousands of images, each of which says what it was made with.
const MAX_TEXT: u64 = 256 << 20;

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
    let (path, limit) = (path.to_owned(), server.settings.archive_limit);
    let (mut zip, mut manifest) = tokio::task::spawn_blocking(move || open(&path, limit)).await??;
    let called = name(&renamed(&manifest.name))?;
    let keeping = server.store.keeping_new(project).await;
    let files: Vec<String> = manifest.rows.files().into_iter().map(str::to_owned).collect();
    // The archive's names have the old ids.
    let packed: Vec<String> = manifest.trained.iter().map(Trained::name).collect();
    check::rows(&mut manifest.rows, &mut manifest.trained)?;
    let mut sizes: BTreeMap<String, BTreeSet<(u32, u32)>> = BTreeMap::new();
    let photos = manifest.rows.photos.iter().map(|row| (&row.file, (row.width, row.height)));
    let images = manifest.rows.images.iter().map(|row| (&row.file, (row.width, row.height)));
    let masks =
        manifest.rows.photos.iter().filter_map(|row| Some((row.mask.as_ref()?, (row.width, row.height))));
    let masked: BTreeSet<String> = masks.clone().map(|(mask, _)| mask.clone()).collect();
    for (file, size) in photos.chain(images).chain(masks) {
        sizes.entry(file.clone()).or_default().insert(size);
    }
    let mut outlined: BTreeMap<String, NewMask> = BTreeMap::new();
    for file in files {
        let said = sizes.remove(&file).unwrap_or_default();
        let permit = server.guard.decoder().await?;
        let is_mask = masked.contains(&file);
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let read = image(&mut zip, &file, &said, is_mask);
            (zip, file, read)
        });
        let (back, file, read) = read.await?;
        zip = back;
        let extension = file.rsplit('.').next().unwrap_or_default();
        let (bytes, outline) = read?;
        keeping.put(bytes, extension).await?;
        if let Some(outline) = outline {
            outlined.insert(file.clone(), outline.keep(&keeping, file).await?);
        }
    }
    for row in &mut manifest.rows.photos {
        row.outlined = row.mask.as_ref().and_then(|mask| outlined.get(mask).cloned());
    }
    for (file, packed) in manifest.trained.iter().zip(packed) {
        let to = server.store.run_folder(project, file.run).join(TRAINED).join(&file.path);
        let is_start = file.path == START_FILE;
        let written = tokio::task::spawn_blocking(move || {
            if let Some(folder) = to.parent() {
                create_folder(folder).map_err(StoreError::from)?;
            }
            // Nobody knows of the project yet.
            zip.unpack(&packed, MANIFEST, &to)?;
            if is_start {
                RunInfo::load(to.parent().unwrap_or(&to)).map_err(|error| {
                    tracing::debug!(%error, "an archive's run is broken");
                    ApiError::bad_file(format!(
                        "{packed} is not as this program writes it; export the project anew"
                    ))
                })?;
            }
            Ok::<_, ApiError>(zip)
        });
        zip = written.await??;
    }
    server.store.add_project(project, &called, &manifest.rows).await.map_err(contradiction)?;
    drop(keeping);
    Ok(())
}

/// The archive and its manifest.
fn open(path: &Path, limit: u64) -> Result<(Unpacker, Manifest), ApiError> {
    let mut zip = Unpacker::open(path, limit)?.beside(MANIFEST)?;
    let text = zip.find(MANIFEST, MAX_TEXT)?.ok_or_else(|| {
        ApiError::bad_file(format!(
            "the zip has no {MANIFEST}, so it is no project; a data folder is added to a project's photos instead"
        ))
    })?;
    // A newer program's rows may have more in them: its version is told before they are read.
    check::format(&parsed(&text)?)?;
    Ok((zip, parsed(&text)?))
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text)
        .map_err(|error| ApiError::bad_file(format!("{MANIFEST} cannot be read ({error}); export anew")))
}

/// A file of pixels, which must be what its name says, and of the size that rows say; with the outline of one that is a mask.
fn image(
    zip: &mut Unpacker,
    file: &str,
    said: &BTreeSet<(u32, u32)>,
    is_mask: bool,
) -> Result<(Vec<u8>, Option<Outline>), ApiError> {
    let bytes = zip.read(&format!("{FILES}/{file}"), MANIFEST, MAX_BYTES)?;
    if !file.starts_with(&sha256(&bytes)) {
        return Err(ApiError::bad_file(format!("{file} has other bytes than its name says; export anew")));
    }
    let decoded = decode(Path::new(file), &bytes).map_err(MediaError::from)?;
    let found = decoded.upright_size();
    if let Some((width, height)) = said.iter().find(|&&size| size != found) {
        return Err(ApiError::bad_file(format!(
            "{file} has {}x{} pixels, and {MANIFEST} says {width}x{height}; export anew",
            found.0, found.1
        )));
    }
    let outline = is_mask.then(|| Outline::of(&Mask::from_image(&decoded.upright()))).transpose()?;
    Ok((bytes, outline))
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
