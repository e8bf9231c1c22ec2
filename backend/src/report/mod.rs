//! The report of a comparison: `report.html`, one file that needs nothing else, and its numbers as `report.json`.

pub mod chart;
pub(crate) mod html;
mod page;
pub(crate) mod pictures;
pub mod sheet;
#[cfg(test)]
mod tests;
mod verdict;

use std::path::Path;

use image::{GrayImage, RgbImage};
use serde::{Serialize, Serializer};

use crate::files::{WriteError, write_atomically};

/// The page's file name.
pub const HTML_NAME: &str = "report.html";
/// The numbers' file name.
pub const JSON_NAME: &str = "report.json";

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// One of its files cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Its numbers cannot be put into JSON.
    #[error("the report's numbers cannot be put into JSON ({0})")]
    Json(#[from] serde_json::Error),
}

/// All that a report shows. Pictures are in the page only, never in the JSON.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// The seed that everything was derived from.
    pub seed: u64,
    /// The name of the model that the methods started from.
    pub base: String,
    /// The subjects that the methods learned.
    pub subjects: Vec<SubjectCard>,
    /// How their masks were made; may be empty.
    pub masks: String,
    /// How pictures were judged; may be empty.
    pub judging: String,
    /// What each method did, in the order to compare.
    pub methods: Vec<MethodSection>,
    /// The prompts; the first is the one that the comparison at the top shows.
    pub prompts: Vec<String>,
    /// What the pictures were steered away from; may be empty.
    pub negative_prompt: String,
    /// How long the parts took.
    pub times: Vec<TimeRow>,
    /// The most memory that the program held, where known.
    pub peak_memory_bytes: Option<u64>,
    /// The command that makes this report again.
    pub command: String,
}

/// A subject and its photos.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SubjectCard {
    /// Its id in the data set.
    pub id: String,
    /// Its name in prompts.
    pub name: String,
    /// Its photos.
    #[serde(skip)]
    pub photos: Vec<RgbImage>,
    /// The mask of each photo, white where the subject is; may be shorter than the photos.
    #[serde(skip)]
    pub masks: Vec<GrayImage>,
}

/// What one method did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MethodSection {
    /// The method's name, as in "DreamBooth", "Cut-Mix" or "MuDI".
    pub name: String,
    /// What it does, in a sentence.
    pub explanation: String,
    /// Pictures that the model was trained on, each with its caption. The JSON has the captions.
    #[serde(serialize_with = "captions")]
    pub seen_in_training: Vec<(RgbImage, String)>,
    /// The loss of each training step. A value that is not finite is `null` in the JSON.
    pub losses: Vec<f32>,
    /// How long training took.
    pub training_seconds: f64,
    /// The generated pictures, one grid for each way to generate.
    pub grids: Vec<Grid>,
}

/// Pictures that were generated in one way: a row for each prompt, a column for each seed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grid {
    /// How strongly the layout shifts the mean of the first noise; none for plain noise.
    pub gamma: Option<f32>,
    /// The layout of each column's seed; empty where there is none.
    #[serde(skip)]
    pub layouts: Vec<RgbImage>,
    /// The pictures of each prompt.
    pub rows: Vec<GridRow>,
    /// How long generating them took.
    pub seconds: f64,
}

/// The pictures of one prompt.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GridRow {
    /// The prompt.
    pub prompt: String,
    /// The pictures.
    #[serde(skip)]
    pub images: Vec<RgbImage>,
    /// The seed of each picture.
    pub seeds: Vec<u64>,
    /// How each picture was judged; empty where none was.
    pub scores: Vec<PictureScore>,
}

/// How well a picture shows the subjects.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PictureScore {
    /// The Detect-and-Compare score; 1 is right.
    pub score: f64,
    /// Whether that is enough.
    pub right: bool,
    /// What was found, in words.
    pub words: String,
}

/// How long something took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TimeRow {
    /// What took the time.
    pub what: String,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// The page: pictures, styles and charts are all inside.
    #[must_use]
    pub fn html(&self) -> String {
        page::page(self)
    }

    /// The numbers and texts, without the pictures.
    ///
    /// # Errors
    /// None in practice; the type leaves it open.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Writes [`HTML_NAME`] and [`JSON_NAME`] into the folder `dir`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), ReportError> {
        write_atomically(&dir.join(JSON_NAME), self.json()?.as_bytes())?;
        write_atomically(&dir.join(HTML_NAME), self.html().as_bytes())?;
        Ok(())
    }
}

/// The captions alone.
fn captions<S: Serializer>(seen: &[(RgbImage, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(seen.iter().map(|(_, caption)| caption))
}
