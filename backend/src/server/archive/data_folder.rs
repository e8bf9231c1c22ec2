//! MuDI data folders as zip files.

use std::collections::BTreeSet;
use std::path::Path;

use indexmap::IndexMap;
use mudi_domain::api::Photo;
use mudi_domain::metadata::{FILE_NAME, Metadata, PhotoEntry};
use mudi_domain::prompt;
use mudi_domain::subject::{Subject, SubjectError, SubjectId};
use uuid::Uuid;

use super::{Packer, Unpacker, missing};
use crate::dataset::decode::{MAX_BYTES, decode};
use crate::digest::sha256;
use crate::server::Server;
use crate::server::http::extract::{LONGEST_CAPTION, one_line};
use crate::server::http::problem::ApiError;
use crate::server::media::{self, MediaError, ReadyMask, ReadyPhoto};
use crate::server::store::{NewPhoto, ProjectRows, Store, StoreError};

/// The most lines of photos. As many as a project may have: each is decoded, also where all name the same file.
const MAX_PHOTOS: usize = 10_000;
/// The largest `metadata.jsonl`, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// A zipped data folder.
struct Packed {
    zip: Unpacker,
    /// The folder in the archive that holds `metadata.jsonl`, with `/` at its end, or empty.
    root: String,
    /// The names of all its files.
    names: BTreeSet<String>,
}

impl Packed {
    fn open(path: &Path, limit: u64) -> Result<Self, ApiError> {
        let zip = Unpacker::open(path, limit)?;
        let names: BTreeSet<String> = zip.names()?.into_iter().collect();
        let texts: Vec<_> = names.iter().filter(|name| name.rsplit('/').next() == Some(FILE_NAME)).collect();
        let [text] = texts[..] else {
            return Err(ApiError::bad_file(format!(
                "the zip has {} files {FILE_NAME}; pack one data folder",
                texts.len()
            )));
        };
        let root = text.strip_suffix(FILE_NAME).unwrap_or_default().to_owned();
        Ok(Self { zip, root, names })
    }

    /// The bytes of a file of the folder.
    fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>, ApiError> {
        self.zip.read(&format!("{}{name}", self.root), FILE_NAME, most)
    }

    fn metadata(&mut self) -> Result<Metadata, ApiError> {
        let text = String::from_utf8(self.read(FILE_NAME, MAX_TEXT)?)
            .map_err(|_| ApiError::bad_file(format!("{FILE_NAME} is not UTF-8; save it as such")))?;
        let mut metadata = Metadata::parse(&text).map_err(|error| ApiError::bad_file(error.to_string()))?;
        if metadata.photos.len() > MAX_PHOTOS {
            return Err(ApiError::bad_file(format!(
                "{FILE_NAME} has {} photos; a project has at most {MAX_PHOTOS}",
                metadata.photos.len()
            )));
        }
        for photo in &mut metadata.photos {
            // Before anything is added.
            for name in [Some(&photo.file_name), photo.mask_path.as_ref()].into_iter().flatten() {
                if !self.names.contains(&format!("{}{name}", self.root)) {
                    return Err(missing(name, FILE_NAME));
                }
            }
            photo.text = one_line(&photo.text);
            let length = photo.text.chars().count();
            if length > LONGEST_CAPTION {
                return Err(ApiError::bad_file(format!(
                    "the text of {} in {FILE_NAME} has {length} characters; write at most {LONGEST_CAPTION}",
                    photo.file_name
                )));
            }
        }
        Ok(metadata)
    }

    /// A photo and its mask, ready to be kept, and the digest of the photo's file.
    fn photo(&mut self, entry: &PhotoEntry) -> Result<(ReadyPhoto, Option<ReadyMask>, String), ApiError> {
        let bytes = self.read(&entry.file_name, MAX_BYTES)?;
        let decoded = decode(Path::new(&entry.file_name), &bytes).map_err(MediaError::from)?;
        let ready = media::photo(&decoded, &bytes)?;
        let mask = match &entry.mask_path {
            Some(name) => {
                let drawn = self.read(name, MAX_BYTES)?;
                Some(media::mask_of(Path::new(name), &drawn, &decoded)?)
            }
            None => None,
        };
        Ok((ready, mask, sha256(&bytes)))
    }
}

/// Adds what the zip at `path` holds to a project, and returns its photos. Each photo is kept as it is read.
pub(in crate::server) async fn import(
    server: &Server,
    project: Uuid,
    path: &Path,
) -> Result<Vec<Photo>, ApiError> {
    let (path, limit) = (path.to_owned(), server.settings.archive_limit);
    let (mut packed, metadata) = tokio::task::spawn_blocking(move || {
        let mut packed = Packed::open(&path, limit)?;
        let metadata = packed.metadata()?;
        Ok::<_, ApiError>((packed, metadata))
    })
    .await??;
    let mut new = Vec::new();
    for subject in metadata.subjects.values() {
        match server.store.subject(project, subject.id()).await {
            Ok(known) if known.name == subject.name() => {}
            Ok(known) => {
                return Err(ApiError::conflict(format!(
                    "subject `{}` is named {:?} here and {:?} in the zip; rename one, or give it another id",
                    subject.id(),
                    known.name,
                    subject.name()
                )));
            }
            Err(StoreError::Missing(_)) => new.push(subject),
            Err(error) => return Err(error.into()),
        }
    }
    for subject in new {
        server.store.create_subject(project, subject).await?;
    }
    let mut photos = Vec::new();
    for entry in metadata.photos {
        let permit = server.guard.decoder().await?;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let read = packed.photo(&entry);
            (packed, entry, read)
        });
        let (back, entry, read) = read.await?;
        packed = back;
        let (ready, mask, source) = read?;
        let name = metadata.subjects.get(&entry.id).map_or("", Subject::name);
        let PhotoEntry { id: subject, file_name: path, text, .. } = entry;
        let caption = if text == prompt::photo(name) { String::new() } else { text };
        let keeping = server.store.keeping(project).await?;
        let added = async {
            let new = NewPhoto {
                name: file_name(&path),
                source,
                file: keeping.put(ready.photo.bytes, ready.photo.extension).await?,
                thumbnail: keeping.put(ready.thumbnail.bytes, ready.thumbnail.extension).await?,
                mask: match mask {
                    Some(mask) => Some(mask.keep(&keeping).await?),
                    None => None,
                },
                size: ready.size,
                caption,
            };
            add(&server.store, project, &subject, &new).await
        };
        let (photo, all_named) = match added.await {
            Ok((photo, all_named)) => (Ok(photo), all_named),
            Err(error) => (Err(error), false),
        };
        if !all_named {
            keeping.undo().await?;
        }
        photos.push(photo?);
    }
    Ok(photos)
}

/// Adds a photo, or its mask to one that is there without; the photo, and whether all the new files have rows now.
async fn add(
    store: &Store,
    project: Uuid,
    subject: &SubjectId,
    new: &NewPhoto,
) -> Result<(Photo, bool), StoreError> {
    let (photo, is_new) = store.add_photo(project, subject, new).await?;
    if is_new || photo.mask.is_some() || new.mask.is_none() {
        return Ok((photo, is_new));
    }
    match store.mask_photo(project, photo.id, None, new.mask.as_ref()).await {
        Ok(_) => Ok((store.photo(project, photo.id).await?, false)),
        // Somebody has drawn one just now.
        Err(StoreError::Stale(_)) => Ok((photo, false)),
        Err(error) => Err(error),
    }
}

/// The last step of a path, as the name of a photo.
fn file_name(path: &str) -> String {
    one_line(path.rsplit('/').next().unwrap_or_default()).chars().take(200).collect()
}

/// Writes the project's subjects and photos as a zipped data folder to `path`.
pub(in crate::server) async fn export(server: &Server, project: Uuid, path: &Path) -> Result<(), ApiError> {
    let damaged = |error: SubjectError| ApiError::internal(error.to_string());
    // What is deleted from now on keeps its files until they are packed.
    let keeping = server.store.keeping(project).await?;
    let (_, ProjectRows { subjects, photos, .. }) = server.store.project_rows(project).await?;
    if photos.is_empty() {
        return Err(ApiError::conflict("the project has no photos; upload some first"));
    }
    let mut metadata = Metadata { subjects: IndexMap::new(), photos: Vec::new() };
    for row in subjects.iter().filter(|row| photos.iter().any(|photo| photo.subject == row.id)) {
        let subject = SubjectId::new(&row.id).and_then(|id| Subject::new(id, &row.name)).map_err(damaged)?;
        metadata.subjects.insert(subject.id().clone(), subject);
    }
    let mut zip = Packer::create(path)?;
    for (index, photo) in photos.into_iter().enumerate() {
        let extension = photo.file.rsplit('.').next().unwrap_or("png");
        let (file_name, mask_path) = (format!("{index:04}.{extension}"), format!("{index:04}.mask.png"));
        zip = zip.add(&file_name, server.store.blobs().read(project, &photo.file).await?).await?;
        if let Some(mask) = &photo.mask {
            zip = zip.add(&mask_path, server.store.blobs().read(project, mask).await?).await?;
        }
        let id = SubjectId::new(&photo.subject).map_err(damaged)?;
        let name = metadata.subjects.get(&id).map_or("", Subject::name);
        let text = if photo.caption.is_empty() { prompt::photo(name) } else { photo.caption };
        let mask_path = photo.mask.map(|_| mask_path);
        metadata.photos.push(PhotoEntry { id, file_name, mask_path, text });
    }
    drop(keeping);
    zip.add(FILE_NAME, metadata.to_jsonl().into()).await?.finish().await
}
