//! MuDI data folders as zip files.

use std::path::Path;

use indexmap::IndexMap;
use mudi_domain::api::Photo;
use mudi_domain::metadata::{FILE_NAME, Metadata, PhotoEntry};
use mudi_domain::prompt;
use mudi_domain::subject::Subject;
use uuid::Uuid;

use super::{Packer, Unpacker};
use crate::dataset::decode::{MAX_BYTES, decode};
use crate::server::Server;
use crate::server::http::extract::{LONGEST_CAPTION, one_line};
use crate::server::http::problem::ApiError;
use crate::server::media::{self, MediaError, ReadyPhoto};
use crate::server::store::{NewPhoto, Range, StoreError, digest};

/// The largest `metadata.jsonl`, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// A zipped data folder.
struct Packed {
    zip: Unpacker,
    /// The folder in the archive that holds `metadata.jsonl`, with `/` at its end, or empty.
    root: String,
}

impl Packed {
    fn open(path: &Path, most: u64) -> Result<Self, ApiError> {
        let zip = Unpacker::open(path, most)?;
        let names = zip.names()?;
        let texts: Vec<_> = names.iter().filter(|name| name.rsplit('/').next() == Some(FILE_NAME)).collect();
        let [text] = texts[..] else {
            return Err(ApiError::bad_file(format!(
                "the zip has {} files {FILE_NAME}; pack one data folder",
                texts.len()
            )));
        };
        let root = text.strip_suffix(FILE_NAME).unwrap_or_default().to_owned();
        Ok(Self { zip, root })
    }

    /// The bytes of a file of the folder.
    fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>, ApiError> {
        self.zip.read(&format!("{}{name}", self.root), FILE_NAME, most)
    }

    fn metadata(&mut self) -> Result<Metadata, ApiError> {
        let text = String::from_utf8(self.read(FILE_NAME, MAX_TEXT)?)
            .map_err(|_| ApiError::bad_file(format!("{FILE_NAME} is not UTF-8; save it as such")))?;
        let mut metadata = Metadata::parse(&text).map_err(|error| ApiError::bad_file(error.to_string()))?;
        for photo in &mut metadata.photos {
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
    fn photo(&mut self, entry: &PhotoEntry) -> Result<(ReadyPhoto, Option<Vec<u8>>, String), ApiError> {
        let bytes = self.read(&entry.file_name, MAX_BYTES)?;
        let decoded = decode(Path::new(&entry.file_name), &bytes).map_err(MediaError::from)?;
        let ready = media::photo(&decoded, &bytes)?;
        let mask = match &entry.mask_path {
            Some(name) => {
                let drawn = self.read(name, MAX_BYTES)?;
                Some(media::mask_of(Path::new(name), &drawn, &decoded)?.bytes)
            }
            None => None,
        };
        Ok((ready, mask, digest(&bytes)))
    }
}

/// Adds what the zip at `path` holds to a project, and returns its photos. Each photo is kept as it is read.
pub(in crate::server) async fn import(
    server: &Server,
    project: Uuid,
    path: &Path,
) -> Result<Vec<Photo>, ApiError> {
    let most = server.settings.archive_limit.saturating_mul(1 << 20);
    let path = path.to_owned();
    let (mut packed, metadata) = tokio::task::spawn_blocking(move || {
        let mut packed = Packed::open(&path, most)?;
        let metadata = packed.metadata()?;
        Ok::<_, ApiError>((packed, metadata))
    })
    .await??;
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
            Err(StoreError::Missing(_)) => server.store.create_subject(project, subject).await?,
            Err(error) => return Err(error.into()),
        }
    }
    let mut photos = Vec::new();
    for entry in metadata.photos {
        let permit = server.guard.decoder().await?;
        let read = tokio::task::spawn_blocking(move || {
            let read = packed.photo(&entry);
            (packed, entry, read)
        });
        let (back, entry, read) = read.await?;
        drop(permit);
        packed = back;
        let (ready, mask, source) = read?;
        let name = metadata.subjects.get(&entry.id).map_or("", Subject::name);
        let keeping = server.store.keeping(project).await?;
        let new = NewPhoto {
            name: file_name(&entry.file_name),
            source,
            file: keeping.put(ready.photo.bytes, ready.photo.extension).await?,
            thumbnail: keeping.put(ready.thumbnail.bytes, ready.thumbnail.extension).await?,
            mask: match mask {
                Some(mask) => Some(keeping.put(mask, "png").await?),
                None => None,
            },
            size: ready.size,
            caption: if entry.text == prompt::photo(name) { String::new() } else { entry.text },
        };
        photos.push(server.store.add_photo(project, &entry.id, &new).await?.0);
    }
    Ok(photos)
}

/// The last step of a path, as the name of a photo.
fn file_name(path: &str) -> String {
    one_line(path.rsplit('/').next().unwrap_or_default()).chars().take(200).collect()
}

/// Writes the project's subjects and photos as a zipped data folder to `path`.
pub(in crate::server) async fn export(server: &Server, project: Uuid, path: &Path) -> Result<(), ApiError> {
    let mut metadata = Metadata { subjects: IndexMap::new(), photos: Vec::new() };
    for subject in server.store.subjects(project).await?.items {
        let made = Subject::new(subject.id.clone(), &subject.name)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        metadata.subjects.insert(subject.id, made);
    }
    let range = Range { after: Uuid::nil(), limit: u32::MAX - 1 };
    let photos = server.store.photos(project, None, range).await?.items;
    metadata.subjects.retain(|id, _| photos.iter().any(|photo| photo.subject == *id));
    if photos.is_empty() {
        return Err(ApiError::conflict("the project has no photos; upload some first"));
    }
    let mut zip = Packer::create(path)?;
    for (index, photo) in photos.into_iter().enumerate() {
        let files = server.store.photo_file(project, photo.id).await?;
        let extension = files.file.rsplit('.').next().unwrap_or("png");
        let (file_name, mask_path) = (format!("{index:04}.{extension}"), format!("{index:04}.mask.png"));
        zip = zip.add(&file_name, server.store.blobs().read(project, &files.file).await?).await?;
        if let Some(mask) = &files.mask {
            zip = zip.add(&mask_path, server.store.blobs().read(project, mask).await?).await?;
        }
        let name = metadata.subjects.get(&photo.subject).map_or("", Subject::name);
        let text = if photo.caption.is_empty() { prompt::photo(name) } else { photo.caption };
        let mask_path = files.mask.map(|_| mask_path);
        metadata.photos.push(PhotoEntry { id: photo.subject, file_name, mask_path, text });
    }
    zip.add(FILE_NAME, metadata.to_jsonl().into()).await?.finish().await
}
