//! Detect-and-Compare on files: photos of the subjects on one side, images that should show them on the other.
//!
//! The score itself is [`mudi_domain::compare`]; here are the networks that find and embed, and the crops between.

pub(crate) mod crops;
mod error;
mod folder;
mod judge;
mod matrix;
mod page;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use image::RgbImage;
use mudi_domain::compare::{Comparison, Norm, Outcome, Similarities};
use mudi_domain::geometry::UnitBox;
use mudi_domain::statistics::Estimate;
use serde::{Serialize, Serializer};

pub use error::EvaluateError;
pub use folder::images;
pub use judge::{Eyes, Judge};

use crate::vision::EmbedderKind;

/// The page's file name.
pub const HTML_NAME: &str = "evaluation.html";
/// The numbers' file name.
pub const JSON_NAME: &str = "evaluation.json";

/// The score from which an image of so many subjects counts as right: decided on rendered scenes whose truth is known (`mudi probe
/// metric`), not on generated pictures. It belongs to the networks that ship.
///
/// The matrices' distance adds up over `subjects` squared entries, so pictures of more subjects score less though each is drawn as
/// well. The thresholds for three to five let about as few scenes pass that are not right as that for two does.
#[must_use]
pub const fn right_from(subjects: usize) -> f64 {
    match subjects {
        0..=3 => 0.65,
        4 => 0.6,
        _ => 0.55,
    }
}

/// How images are judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Options {
    /// What the detector is asked for; empty for the classes of the subjects.
    pub queries: Vec<String>,
    /// What a detection's score must exceed, 0..=1. MuDI takes 0.4.
    pub threshold: f32,
    /// Of two detections that overlap by more than this (intersection over union) the surer one counts; 1 keeps all, as the
    /// released code does.
    pub overlap: f64,
    /// How the matrices' difference is measured.
    pub norm: Norm,
}

/// As MuDI's code does, for the published detector.
impl Default for Options {
    fn default() -> Self {
        Self { queries: Vec::new(), threshold: 0.4, overlap: 1.0, norm: Norm::default() }
    }
}

/// A subject that was found in an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Where, in shares of the image.
    pub bounds: UnitBox,
    /// What it was asked for as.
    pub query: String,
    /// How surely it is that, 0..=1.
    pub score: f32,
}

/// What one embedder says of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Which.
    pub embedder: EmbedderKind,
    /// Score, matching and matrices. Matchings count in the order of [`Judged::found`].
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The outcome in words.
    pub explanation: String,
    /// The plain multi-subject similarity of the whole image.
    pub multi_subject_similarity: f64,
}

/// One image, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Its file.
    #[serde(serialize_with = "lossily")]
    pub file: PathBuf,
    /// The prompt that it was made with, where this program has written it into the file.
    pub prompt: Option<String>,
    /// What was detected, the surest first.
    pub found: Vec<Found>,
    /// What each embedder says.
    pub verdicts: Vec<Verdict>,
}

/// A path that is no UTF-8 costs no evaluation: what is no text in it is replaced.
fn lossily<S: Serializer>(file: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&file.display())
}

impl Judged {
    /// The score by the first embedder.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.verdicts.first().map_or(0.0, |verdict| verdict.comparison.score)
    }

    /// How many subjects it was compared with.
    #[must_use]
    pub fn subjects(&self) -> usize {
        match self.verdicts.first().map(|verdict| &verdict.comparison.outcome) {
            Some(Outcome::Matched { detection_of, .. }) => detection_of.len(),
            Some(Outcome::Count { subjects, .. }) => *subjects,
            None => 0,
        }
    }

    /// Whether it counts as right: every subject once, and none mixed with another.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.score() >= right_from(self.subjects())
    }
}

/// What one embedder says of all images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Which.
    pub embedder: EmbedderKind,
    /// How alike the subjects' photos are.
    pub references: Similarities,
    /// Mean score.
    pub score: Option<Estimate>,
    /// Mean of the plain multi-subject similarity.
    pub multi_subject_similarity: Option<Estimate>,
}

/// All images of a folder, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// How.
    pub options: Options,
    /// The subjects' names, in the order of rows and columns.
    pub subjects: Vec<String>,
    /// What is odd about the images, in sentences.
    pub notes: Vec<String>,
    /// Share of images in which as many subjects were detected as there are.
    pub all_found: Option<Estimate>,
    /// What each embedder says.
    pub summaries: Vec<Summary>,
    /// Each image, in the order of file names.
    pub images: Vec<Judged>,
}

/// A subject as the page shows it.
pub(crate) struct Cast {
    pub(crate) name: String,
    /// The crops of its photos, as they were embedded but no larger than a page needs.
    pub(crate) crops: Vec<RgbImage>,
}
