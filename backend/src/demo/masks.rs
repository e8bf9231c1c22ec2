//! Masks of the demonstration's photos as a user's would be made, from the name of the class alone, beside the drawn ones.
//! Training takes the drawn ones: what the methods differ in is to be seen, not how well the small networks cut out.

use std::path::Path;

use super::DemoError;
use crate::dataset::Dataset;
use crate::segment::{AutoSegmenter, AutomaticError};

/// How making masks went.
pub(super) struct Made {
    /// Intersection over union of each mask that was made with the drawn one.
    ious: Vec<f64>,
    /// Why photos got none.
    faults: Vec<String>,
}

impl Made {
    /// In sentences, for the report.
    pub(super) fn words(&self) -> String {
        let count = self.ious.len();
        let mean = self.ious.iter().sum::<f64>() / count.max(1) as f64;
        let mut words = match count {
            0 => String::new(),
            1 => format!(
                "Training takes the masks that the toys were drawn with. One was made automatically, too: it shares {mean:.2} \
                 of both together with the drawn one."
            ),
            _ => format!(
                "Training takes the masks that the toys were drawn with. {count} were made automatically, too, from the name \
                 of the class: OWLv2 found the toy, SAM cut it out. On average they share {mean:.2} of both together with the \
                 drawn ones."
            ),
        };
        for fault in &self.faults {
            words += &format!(" No automatic mask: {fault}.");
        }
        words.trim_start().to_owned()
    }
}

/// Makes masks of the photos in the folder `photos`, and compares them with the drawn ones there.
pub(super) fn compare(photos: &Path, segmenter: &AutoSegmenter) -> Result<Made, DemoError> {
    let data = Dataset::load(photos)?;
    let mut made = Made { ious: Vec::new(), faults: Vec::new() };
    for subject in &data.subjects {
        for photo in &subject.photos {
            match segmenter.mask(&photo.path, &photo.image, subject.subject.class()) {
                Ok(found) => made.ious.push(found.mask.iou(&photo.mask)),
                // Which toy is meant is not guessed.
                Err(error @ (AutomaticError::NotOne { .. } | AutomaticError::Empty { .. })) => {
                    made.faults.push(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(made)
}
