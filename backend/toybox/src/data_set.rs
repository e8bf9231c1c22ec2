//! Photos of toys as a data set on disk, with the truth about each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, ImageFormat, PixelWithColorType};
use mudi_domain::rng::stream;
use mudi_domain::subject::IDENTIFIERS;
use serde::Serialize;
use serde_json::json;

use crate::background::Background;
use crate::caption::random_identifier;
use crate::pose::Pose;
use crate::scene::{Rendered, Scene};
use crate::toy::Toy;

/// One photo of one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// Which of the toys it shows.
    pub subject: usize,
    /// What it shows; one toy.
    pub scene: Scene,
    /// The picture, the mask and the box.
    pub rendered: Rendered,
    /// `A photo of a olis red bear in the garden.`
    pub caption: String,
}

/// Why a data set was not written. Nothing is left half-written.
#[derive(Debug, thiserror::Error)]
pub enum DataSetError {
    /// The folder holds something; it is left as it is.
    #[error("{} is not empty; choose another folder or empty it first", .0.display())]
    NotEmpty(PathBuf),
    /// The path ends in no name (`/`, `..`), so no folder can be put there.
    #[error("{} does not name a folder", .0.display())]
    NoName(PathBuf),
    /// The file system refused.
    #[error(
        "{}: cannot be written ({cause}); check the folder's permissions and the free space of the disk",
        path.display()
    )]
    Io {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A picture could not be encoded.
    #[error("{}: the picture cannot be encoded: {cause}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: image::ImageError,
    },
    /// A value could not be written as JSON.
    #[error("could not write {} as JSON: {cause}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

/// The identifier of the subject at `index`: one of [`IDENTIFIERS`], then made-up words, always the same ones.
#[must_use]
pub fn identifier(index: usize) -> String {
    IDENTIFIERS.get(index).map_or_else(
        || format!("{}{index}", random_identifier(&mut stream(0, "identifier", index as u64))),
        ToString::to_string,
    )
}

/// Which class stands behind a subject's identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// The descriptive class, `olis red bear`: what a base knows of colours already tells the subjects apart.
    #[default]
    Described,
    /// The kind alone, `olis bear`: what tells the subjects apart has to be learnt from the photos.
    Kind,
}

/// The name of the subject at `index`: `olis red bear`, or `olis bear`.
#[must_use]
pub fn subject_name(index: usize, toy: &Toy, naming: Naming) -> String {
    match naming {
        Naming::Described => format!("{} {}", identifier(index), toy.class()),
        Naming::Kind => format!("{} {}", identifier(index), toy.kind.name()),
    }
}

/// Photos of each toy alone, in places that differ; never before the simple background. `size` in pixels.
#[must_use]
pub fn photo_set(toys: &[Toy], naming: Naming, photos_per_toy: usize, seed: u64, size: u32) -> Vec<Photo> {
    let mut photos = Vec::with_capacity(toys.len() * photos_per_toy);
    for (subject, toy) in toys.iter().enumerate() {
        let mut last = Background::Simple;
        for number in 0..photos_per_toy {
            let rng = &mut stream(seed, "toybox photo", (subject * photos_per_toy + number) as u64);
            let background = loop {
                let place = Background::random_place(rng);
                if place != last {
                    break place;
                }
            };
            last = background;
            let scene = Scene::compose(rng, [size; 2], background, vec![toy.clone()]);
            let caption =
                format!("A photo of a {}{}.", subject_name(subject, toy, naming), background.phrase());
            photos.push(Photo { subject, rendered: scene.render(), scene, caption });
        }
    }
    photos
}

/// Writes pictures, masks, `metadata.jsonl` and `truth.json` to the folder `dir`, which must not exist or be empty.
///
/// The files are written to a folder beside it, which is renamed at the end.
///
/// # Errors
/// If `dir` holds something or cannot be written; the error names the path and the cause.
pub fn write_data_set(
    dir: &Path,
    toys: &[Toy],
    naming: Naming,
    photos: &[Photo],
) -> Result<(), DataSetError> {
    let name = dir.file_name().ok_or_else(|| DataSetError::NoName(dir.to_owned()))?;
    let exists = dir.exists();
    if exists && fs::read_dir(dir).map_err(io_error(dir))?.next().is_some() {
        return Err(DataSetError::NotEmpty(dir.to_owned()));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io_error(parent))?;
    let partial = parent.join(format!(".{}.partial-{}", name.to_string_lossy(), std::process::id()));
    let written = write_files(&partial, toys, naming, photos).and_then(|()| {
        if exists {
            fs::remove_dir(dir).map_err(io_error(dir))?;
        }
        fs::rename(&partial, dir).map_err(io_error(dir))
    });
    if written.is_err() {
        // The error that stopped the writing is the one to report, not one from cleaning up after it.
        let _ = fs::remove_dir_all(&partial);
    }
    written
}

/// A line of `metadata.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    file_name: &'a str,
    mask_path: &'a str,
    text: &'a str,
}

/// A photo in `truth.json`.
#[derive(Serialize)]
struct PhotoTruth<'a> {
    id: &'a str,
    file_name: &'a str,
    mask_path: &'a str,
    #[serde(rename = "box")]
    bounds: Option<[u32; 4]>,
    background: Background,
    pose: Option<&'a Pose>,
    scene: &'a Scene,
}

fn write_files(dir: &Path, toys: &[Toy], naming: Naming, photos: &[Photo]) -> Result<(), DataSetError> {
    fs::create_dir(dir).map_err(io_error(dir))?;
    let ids: Vec<String> = (0..toys.len()).map(subject_id).collect();
    let names: serde_json::Map<_, _> = toys
        .iter()
        .enumerate()
        .map(|(i, toy)| (ids[i].clone(), json!(subject_name(i, toy, naming))))
        .collect();
    let meta_path = dir.join("metadata.jsonl");
    let mut lines = json!({ "id": names }).to_string() + "\n";
    let mut truths = Vec::with_capacity(photos.len());
    let mut taken = vec![0usize; toys.len()];
    let files: Vec<[String; 2]> = photos
        .iter()
        .map(|photo| {
            let file = format!("{}{:02}.png", ids[photo.subject], taken[photo.subject]);
            taken[photo.subject] += 1;
            [file.clone(), format!("mask_{file}")]
        })
        .collect();
    for (photo, [file_name, mask_path]) in photos.iter().zip(&files) {
        let id = &ids[photo.subject];
        write_picture(&dir.join(file_name), &photo.rendered.image)?;
        if let Some(mask) = photo.rendered.masks.first() {
            write_picture(&dir.join(mask_path), mask)?;
        }
        let line = Line { id, file_name, mask_path, text: &photo.caption };
        lines += &serde_json::to_string(&line).map_err(json_error(&meta_path))?;
        lines.push('\n');
        truths.push(PhotoTruth {
            id,
            file_name,
            mask_path,
            bounds: photo.rendered.boxes.first().copied(),
            background: photo.scene.background,
            pose: photo.scene.toys.first().map(|(_, pose)| pose),
            scene: &photo.scene,
        });
    }
    fs::write(&meta_path, lines).map_err(io_error(&meta_path))?;
    let subjects: Vec<_> = toys
        .iter()
        .enumerate()
        .map(|(i, toy)| json!({ "id": ids[i], "name": subject_name(i, toy, naming), "phrase": toy.phrase(), "toy": toy }))
        .collect();
    let truth_path = dir.join("truth.json");
    let truth = serde_json::to_string_pretty(&json!({ "subjects": subjects, "photos": truths }))
        .map_err(json_error(&truth_path))?;
    fs::write(&truth_path, truth + "\n").map_err(io_error(&truth_path))
}

/// Writes a PNG. (The image's own `save` would not notice a disk that is full: the last bytes stay in a buffer, and are
/// written, or not, when that is dropped.)
fn write_picture<P>(path: &Path, image: &ImageBuffer<P, Vec<u8>>) -> Result<(), DataSetError>
where
    P: PixelWithColorType<Subpixel = u8>,
{
    let mut bytes = io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|cause| DataSetError::Picture { path: path.to_owned(), cause })?;
    fs::write(path, bytes.into_inner()).map_err(io_error(path))
}

/// `a` to `z`, then `s26` and so on.
fn subject_id(index: usize) -> String {
    u8::try_from(index)
        .ok()
        .filter(|i| *i < 26)
        .map_or_else(|| format!("s{index}"), |i| char::from(b'a' + i).to_string())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DataSetError {
    let path = path.to_owned();
    |cause| DataSetError::Io { path, cause }
}

fn json_error(path: &Path) -> impl FnOnce(serde_json::Error) -> DataSetError {
    let path = path.to_owned();
    |cause| DataSetError::Json { path, cause }
}
