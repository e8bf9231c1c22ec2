//! A project to look around in: two toys that are easily mixed up, with photos, masks and captions.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use mudi_domain::api::{Access, Project};
use mudi_domain::rng;
use mudi_domain::subject::{Subject, SubjectId};
use mudi_toybox::{Naming, photo_set, similar_pair, subject_name};
use uuid::Uuid;

use super::Server;
use super::http::problem::ApiError;
use super::media::{self, MediaError, ReadyPhoto};
use super::store::{PhotoRow, ProjectRows, SubjectRow, new_id, now};
use crate::dataset::decode::decode;
use crate::digest::sha256;

const NAME: &str = "Sample: two bears";
/// With colours in their names, as people should name theirs.
const NAMING: Naming = Naming::Described;
/// Photos of each toy.
const PHOTOS: usize = 5;
/// Side of the photos, in pixels: enough to look well, little to train on.
const SIDE: u32 = 256;

/// Makes the sample project; all of it or nothing.
pub(super) async fn make(server: &Server) -> Result<Project, ApiError> {
    let project = new_id();
    match fill(server, project).await {
        Ok(()) => Ok(server.store.project(project, Access::Owner).await?),
        Err(error) => {
            // What was written has no row yet.
            server.store.sweep(project).await?;
            Err(error)
        }
    }
}

async fn fill(server: &Server, project: Uuid) -> Result<(), ApiError> {
    // The toys of the demonstration: a brown and a teal bear.
    let (first, second) = similar_pair(&mut rng::stream(0, "demo", 0));
    let toys = [first, second];
    let mut rows = ProjectRows::default();
    for (index, (id, toy)) in ["a", "b"].into_iter().zip(&toys).enumerate() {
        let subject = Subject::new(SubjectId::new(id)?, &subject_name(index, toy, NAMING))?;
        let (id, name) = (subject.id().to_string(), subject.name().to_owned());
        rows.subjects.push(SubjectRow { id, name, next_photo: Some(0) });
    }
    let drawn = tokio::task::spawn_blocking(move || {
        photo_set(&toys, NAMING, PHOTOS, 0, SIDE)
            .into_iter()
            .enumerate()
            .map(|(n, photo)| ready(n, photo))
            .collect()
    });
    let drawn: Result<Vec<_>, ApiError> = drawn.await?;
    let drawn = drawn?;
    let keeping = server.store.keeping_new(project).await;
    for Ready { subject, name, source, picture, mask, caption } in drawn {
        let ReadyPhoto { photo, thumbnail, size: (width, height) } = picture;
        let subject = &mut rows.subjects[subject];
        let number = subject.next_photo;
        subject.next_photo = number.map(|number| number + 1);
        let mask = mask.keep(&keeping).await?;
        rows.photos.push(PhotoRow {
            id: new_id(),
            subject: subject.id.clone(),
            number,
            name,
            source,
            file: keeping.put(photo.bytes, photo.extension).await?,
            thumbnail: keeping.put(thumbnail.bytes, thumbnail.extension).await?,
            mask: Some(mask.file.clone()),
            width,
            height,
            caption,
            created: now(),
            outlined: Some(mask),
        });
    }
    Ok(server.store.add_project(project, NAME, &rows).await?)
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
        source: sha256(&bytes),
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
