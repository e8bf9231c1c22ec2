//! What the model sees while it trains, kept in the run's folder for whoever watches.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::files::{create_folder, write_atomically};
use crate::report::sheet::sheet;

/// A picture that the model is trained on.
#[derive(Debug, Clone)]
pub struct TrainingPicture {
    /// What the model sees.
    pub image: RgbImage,
    /// What it is told of it.
    pub caption: String,
    /// Whether it is a collage; otherwise it is a photo, or a picture of the run itself.
    pub is_collage: bool,
}

/// Pictures of one step, on a sheet, and their captions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// The step, from 1.
    pub(crate) step: u64,
    /// The captions, from left to right.
    pub(crate) captions: Vec<String>,
}

const FOLDER: &str = "seen";

/// The sheet of a step of the run in the folder `out`.
pub(crate) fn shown_file(out: &Path, step: u64) -> PathBuf {
    out.join(FOLDER).join(format!("step-{step:06}.png"))
}

fn note(out: &Path) -> PathBuf {
    out.join(FOLDER).join("latest.json")
}

/// Writes the pictures of `step`, in place of those of an earlier step.
pub(crate) fn write_shown(out: &Path, step: u64, pictures: &[TrainingPicture]) -> Result<(), TrainError> {
    let serialize = |error: &dyn std::fmt::Display| TrainError::Serialize(error.to_string());
    create_folder(&out.join(FOLDER))?;
    let before = read_shown(out);
    let row: Vec<RgbImage> = pictures.iter().map(|picture| picture.image.clone()).collect();
    let mut bytes = std::io::Cursor::new(Vec::new());
    sheet(&[row], 2).write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| serialize(&error))?;
    write_atomically(&shown_file(out, step), &bytes.into_inner())?;
    let captions = pictures.iter().map(|picture| picture.caption.clone()).collect();
    let text = serde_json::to_string(&Shown { step, captions }).map_err(|error| serialize(&error))?;
    write_atomically(&note(out), text.as_bytes())?;
    if let Some(before) = before.filter(|before| before.step != step) {
        // Whoever is just being sent it has it open; where it stays it is only a small file too many.
        let _ = std::fs::remove_file(shown_file(out, before.step));
    }
    Ok(())
}

/// Whether `path`, in a run's folder, is one of the pictures that the next ones take the place of.
pub(crate) fn is_shown(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/') && rest.ends_with(".png"))
}

/// What was shown last in the run in the folder `out`; `None` before anything was.
pub(crate) fn read_shown(out: &Path) -> Option<Shown> {
    serde_json::from_slice(&std::fs::read(note(out)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        assert_eq!(read_shown(out), None);
        let picture = |caption: &str| TrainingPicture {
            image: RgbImage::new(8, 4),
            caption: caption.to_owned(),
            is_collage: false,
        };
        write_shown(out, 3, &[picture("a cat"), picture("a dog")]).unwrap();
        write_shown(out, 3, &[picture("a cat"), picture("a dog")]).unwrap();
        assert_eq!(image::open(shown_file(out, 3)).unwrap().to_rgb8().dimensions(), (22, 8));
        write_shown(out, 12, &[picture("a bear")]).unwrap();
        assert_eq!(read_shown(out), Some(Shown { step: 12, captions: vec!["a bear".to_owned()] }));
        assert!(shown_file(out, 12).is_file() && !shown_file(out, 3).exists());
    }
}
