//! The masks of the demonstration's photos, made as a user's would be: from the name of the class alone.

use std::io::Cursor;
use std::path::Path;

use image::{GrayImage, ImageFormat};
use mudi_domain::mask::Mask;

use super::DemoError;
use crate::dataset::{Dataset, Photo};
use crate::files::{WriteError, write_atomically};
use crate::segment::{AutoSegmenter, AutomaticError, Networks, THRESHOLD};

/// How making masks went.
pub(super) struct Made {
    /// Intersection over union of each mask that was made with the drawn one.
    ious: Vec<f64>,
    /// Why photos kept the mask that was drawn with them.
    kept: Vec<String>,
}

impl Made {
    /// In sentences, for the report.
    pub(super) fn words(&self) -> String {
        let count = self.ious.len();
        let mean = self.ious.iter().sum::<f64>() / count.max(1) as f64;
        let mut words = match count {
            0 => String::new(),
            1 => format!(
                "One mask was made automatically; it shares {mean:.2} of both together with the drawn one."
            ),
            _ => format!(
                "{count} masks were made automatically, from the name of the class: OWLv2 found the toy, SAM cut it out. On \
                 average they share {mean:.2} of both together with the masks that the toys were drawn with."
            ),
        };
        for reason in &self.kept {
            words += &format!(" A photo keeps its drawn mask: {reason}");
        }
        words.trim_start().to_owned()
    }
}

/// Replaces the masks in the folder `photos`, whose photos come with drawn ones, by those that networks make.
pub(super) fn replace(photos: &Path, networks: &Networks) -> Result<Made, DemoError> {
    let segmenter = AutoSegmenter::load(networks, THRESHOLD)?;
    let data = Dataset::load(photos)?;
    let mut made = Made { ious: Vec::new(), kept: Vec::new() };
    for subject in &data.subjects {
        for photo in &subject.photos {
            match segmenter.mask(&photo.path, &photo.image, subject.subject.class()) {
                Ok(found) => {
                    made.ious.push(iou(&found.mask, &photo.mask));
                    write(photo, found.mask.as_gray())?;
                }
                // Which toy is meant is not guessed.
                Err(error @ (AutomaticError::NotOne { .. } | AutomaticError::Empty { .. })) => {
                    made.kept.push(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(made)
}

fn write(photo: &Photo, mask: &GrayImage) -> Result<(), WriteError> {
    let name = photo.path.file_name().unwrap_or_default().to_string_lossy();
    let path = photo.path.with_file_name(format!("mask_{name}"));
    let mut png = Cursor::new(Vec::new());
    mask.write_to(&mut png, ImageFormat::Png)
        .map_err(|error| WriteError { path: path.clone(), source: std::io::Error::other(error) })?;
    write_atomically(&path, &png.into_inner())
}

fn iou(made: &Mask, drawn: &Mask) -> f64 {
    let (mut meet, mut union) = (0u32, 0u32);
    for (made, drawn) in made.as_gray().iter().zip(drawn.as_gray().iter()) {
        let (made, drawn) = (*made >= 128, *drawn >= 128);
        meet += u32::from(made && drawn);
        union += u32::from(made || drawn);
    }
    if union == 0 { 1.0 } else { f64::from(meet) / f64::from(union) }
}
