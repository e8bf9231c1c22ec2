//! A project to look around in: two toys that are easily mixed up, with photos, masks and captions.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use mudi_domain::api::Project;
use mudi_domain::rng;
use mudi_domain::subject::{Subject, SubjectId};
use mudi_toybox::{Naming, photo_set, similar_pair, subject_name};
use uuid::Uuid;

use super::Server;
use super::http::problem::ApiError;
use super::media::{self, MediaError};
use super::store::{NewPhoto, digest};
use crate::dataset::decode::decode;

const NAME: &str = "Sample: two bears";
/// With colours in their names, as people should name theirs.
const NAMING: Naming = Naming::Described;
/// Photos of each toy.
const PHOTOS: usize = 5;
/// Side of the photos, in pixels: enough to look well, little to train on.
const SIDE: u32 = 256;

/// Makes the sample project. One that fails leaves nothing.
pub(super) async fn make(server: &Server) -> Result<Project, ApiError> {
    let project = server.store.create_project(NAME).await?;
    match fill(server, project.id).await {
        Ok(()) => Ok(project),
        Err(error) => {
            server.store.delete_project(project.id).await?;
            Err(error)
        }
    }
}

async fn fill(server: &Server, project: Uuid) -> Result<(), ApiError> {
    // The toys of the demonstration: a brown and a teal bear.
    let (first, second) = similar_pair(&mut rng::stream(0, "demo", 0));
    let toys = [first, second];
    let mut ids = Vec::new();
    for (index, (id, toy)) in ["a", "b"].into_iter().zip(&toys).enumerate() {
        let subject = Subject::new(SubjectId::new(id)?, &subject_name(index, toy, NAMING))?;
        server.store.create_subject(project, &subject).await?;
        ids.push(subject.id().clone());
    }
    let drawn = tokio::task::spawn_blocking(move || {
        photo_set(&toys, NAMING, PHOTOS, 0, SIDE)
            .into_iter()
            .enumerate()
            .map(|(n, photo)| ready(n, photo))
            .collect()
    });
    let drawn: Result<Vec<_>, ApiError> = drawn.await?;
    for photo in drawn? {
        let keeping = server.store.keeping(project).await?;
        let new = NewPhoto {
            name: photo.name,
            source: photo.source,
            file: keeping.put(photo.picture.photo.bytes, photo.picture.photo.extension).await?,
            thumbnail: keeping.put(photo.picture.thumbnail.bytes, photo.picture.thumbnail.extension).await?,
            mask: Some(photo.mask.keep(&keeping).await?),
            size: photo.picture.size,
            caption: photo.caption,
        };
        server.store.add_photo(project, &ids[photo.subject], &new).await?;
    }
    Ok(())
}

/// A photo of a toy, encoded.
struct Ready {
    subject: usize,
    name: String,
    source: String,
    picture: media::ReadyPhoto,
    mask: media::ReadyMask,
    caption: String,
}

fn ready(number: usize, photo: mudi_toybox::Photo) -> Result<Ready, ApiError> {
    let name = format!("toy-{:02}.png", number + 1);
    let bytes = png(&photo.rendered.image.into())?;
    let decoded = decode(Path::new(&name), &bytes).map_err(MediaError::from)?;
    let drawn = photo.rendered.masks.into_iter().next().unwrap_or_default();
    let mask = media::mask_of(Path::new(&name), &png(&drawn.into())?, &decoded)?;
    Ok(Ready {
        subject: photo.subject,
        source: digest(&bytes),
        picture: media::photo(&decoded, &bytes)?,
        mask,
        caption: photo.caption,
        name,
    })
}

fn png(image: &DynamicImage) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(MediaError::from)?;
    Ok(bytes.into_inner())
}
