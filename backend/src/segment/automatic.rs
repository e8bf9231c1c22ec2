//! Masks from the name of a class: a detector finds the subject, a segmenter cuts it out (MuDI, section 3: "automatically
//! segmented by OWLv2 and SAM").

use std::path::{Path, PathBuf};

use image::RgbImage;
use mudi_domain::geometry::{Rect, UnitBox};
use mudi_domain::mask::Mask;
use mudi_vision::owl::{Detection, suppress};
use mudi_vision::sam::Prompt;

use super::{SegmentError, Segmenter};
use crate::vision::{Detector, VisionError};

/// The score that a detection in a photo must exceed, MuDI's.
pub const THRESHOLD: f32 = 0.2;
/// Two boxes that share more of both together than this are of one subject.
const OVERLAP: f64 = 0.5;
/// Below this score nobody need know of a detection.
const NEGLIGIBLE: f32 = 0.05;
/// By how much a box grows at each edge before it prompts the segmenter, in shares of the photo's sides (MuDI's code).
const GROWTH: f64 = 0.05;

/// The folders of the networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    /// OWLv2's.
    pub detector: PathBuf,
    /// SAM's.
    pub segmenter: PathBuf,
}

/// Something that the detector found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct FoundBox {
    /// Where, in pixels of the photo.
    #[serde(rename = "box")]
    pub bounds: Rect,
    /// How surely it is what was asked for, 0..=1.
    pub score: f32,
}

impl std::fmt::Display for FoundBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Rect { x, y, width, height } = self.bounds;
        write!(f, "{x},{y},{width},{height} (score {:.2})", self.score)
    }
}

/// Why a photo got no mask by itself.
#[derive(Debug, thiserror::Error)]
pub enum AutomaticError {
    /// The detector, or what it is asked.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// The segmenter.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Nothing was found, or several subjects were: which is meant is not guessed.
    #[error(
        "{}: {} for `{class}`{}{}; {}point at the subject with `mudi segment --box` or --point, and name the mask as `mask_path`",
        photo.display(),
        match found.len() { 0 => "nothing was found".to_owned(), count => format!("{count} subjects were found") },
        listed(found),
        nearly(nearest.as_ref()),
        if found.is_empty() { "ask for it by a plainer word (`mudi segment --class dog`), or " } else { "" }
    )]
    NotOne {
        /// The photo.
        photo: PathBuf,
        /// What was asked for.
        class: String,
        /// What was found, the surest first.
        found: Vec<FoundBox>,
        /// Where nothing was: what came nearest to it, and the score that it would have needed.
        nearest: Option<(FoundBox, f32)>,
    },
    /// The segmenter keeps nothing of the box.
    #[error(
        "{}: the segmenter sees no subject in the box {found}; draw the mask, or make it with `mudi segment --point`",
        photo.display()
    )]
    Empty {
        /// The photo.
        photo: PathBuf,
        /// Where the subject should be.
        found: FoundBox,
    },
}

fn listed(found: &[FoundBox]) -> String {
    let boxes: Vec<String> = found.iter().map(ToString::to_string).collect();
    if boxes.is_empty() { String::new() } else { format!(", at {}", boxes.join(" and at ")) }
}

fn nearly(nearest: Option<&(FoundBox, f32)>) -> String {
    nearest.map_or_else(String::new, |(found, needed)| {
        format!(
            " (the surest guess, {found}, is not above {needed:.2}, which `mudi segment --threshold` sets)"
        )
    })
}

/// A mask that was made from a class's name.
#[derive(Clone, Debug)]
pub struct Automatic {
    /// The mask, of the photo's size.
    pub mask: Mask,
    /// What the detector found.
    pub found: FoundBox,
    /// The segmenter's estimate of the mask's intersection over union with the truth.
    pub iou: f32,
    /// How little the mask depends on the threshold, 0..=1.
    pub stability: f32,
}

/// Both networks, loaded.
pub struct AutoSegmenter {
    detector: Detector,
    segmenter: Segmenter,
    threshold: f32,
}

impl AutoSegmenter {
    /// Loads both; detections must exceed `threshold` (0..=1).
    ///
    /// # Errors
    /// A folder that does not hold its network; the message names the file.
    pub fn load(networks: &Networks, threshold: f32) -> Result<Self, AutomaticError> {
        let detector = Detector::load(&networks.detector)?;
        Ok(Self { detector, segmenter: Segmenter::load(&networks.segmenter)?, threshold })
    }

    /// Everything in `image` that `class` names, the surest first, each once.
    ///
    /// # Errors
    /// A class that the detector cannot be asked for; an image without pixels.
    pub fn find(&self, image: &RgbImage, class: &str) -> Result<Vec<FoundBox>, AutomaticError> {
        let found = self.detections(image, class)?;
        Ok(self.counted(&found).iter().map(|detection| found_box(image, detection)).collect())
    }

    /// What the detector takes for the class at least a little, the surest first. A box beside the image shows nothing of it: the square
    /// that the network sees is larger.
    fn detections(&self, image: &RgbImage, class: &str) -> Result<Vec<Detection>, AutomaticError> {
        let questions = self.detector.ask(&[class])?;
        let mut found = self.detector.detect(image, &questions, NEGLIGIBLE.min(self.threshold))?;
        let whole = Rect::whole(image.width(), image.height());
        found.retain(|detection| {
            detection.bounds.to_pixels(whole.width, whole.height).intersect(&whole).is_some()
        });
        Ok(found)
    }

    /// Those that are sure enough, each once.
    fn counted(&self, found: &[Detection]) -> Vec<Detection> {
        let sure = found.partition_point(|detection| detection.score > self.threshold);
        suppress(&found[..sure], OVERLAP)
    }

    /// The mask of the only subject of `class` in `image`; `photo` is what messages call it.
    ///
    /// # Errors
    /// [`AutomaticError::NotOne`] where there is none or more than one, and what networks fail with.
    pub fn mask(&self, photo: &Path, image: &RgbImage, class: &str) -> Result<Automatic, AutomaticError> {
        let all = self.detections(image, class)?;
        let detections = self.counted(&all);
        let [detection] = detections.as_slice() else {
            let nearest = all.first().filter(|_| detections.is_empty());
            return Err(AutomaticError::NotOne {
                photo: photo.to_owned(),
                class: class.to_owned(),
                found: detections.iter().map(|detection| found_box(image, detection)).collect(),
                nearest: nearest.map(|nearest| (found_box(image, nearest), self.threshold)),
            });
        };
        let found = found_box(image, detection);
        let prompt = Prompt { bounds: Some(grown(image, &detection.bounds)), ..Prompt::default() };
        let embedded = self.segmenter.embed(image)?;
        let best = self.segmenter.masks(&embedded, &prompt, false)?.into_iter().next();
        match best.filter(|best| !best.mask.is_empty()) {
            Some(best) => Ok(Automatic { mask: best.mask, found, iou: best.iou, stability: best.stability }),
            None => Err(AutomaticError::Empty { photo: photo.to_owned(), found }),
        }
    }
}

/// A detection in pixels, cut to the image.
fn found_box(image: &RgbImage, detection: &Detection) -> FoundBox {
    let bounds = detection.bounds.to_pixels(image.width(), image.height());
    let whole = Rect::whole(image.width(), image.height());
    FoundBox { bounds: bounds.intersect(&whole).unwrap_or(bounds), score: detection.score }
}

/// Left, top, right and bottom of a box that has grown, in pixels of the image.
fn grown(image: &RgbImage, bounds: &UnitBox) -> [f32; 4] {
    let grown = bounds.grow(GROWTH);
    let (right, bottom) = (grown.x + grown.width, grown.y + grown.height);
    let [width, height] = [image.width(), image.height()].map(f64::from);
    [grown.x * width, grown.y * height, right * width, bottom * height].map(|edge| edge as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_grow_within_the_photo() {
        let image = RgbImage::new(200, 100);
        let bounds = UnitBox { x: 0.02, y: 0.5, width: 0.5, height: 0.3 };
        let expected = [0.0, 45.0, 114.0, 85.0];
        assert!(grown(&image, &bounds).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn messages_say_what_is_where() {
        let found = |x, score| FoundBox { bounds: Rect::new(x, 2, 3, 4), score };
        let error = |found, nearest| {
            AutomaticError::NotOne { photo: "a.png".into(), class: "cat".to_owned(), found, nearest }
                .to_string()
        };
        let text = error(vec![found(1, 0.87), found(9, 0.5)], None);
        assert!(
            text.starts_with(
                "a.png: 2 subjects were found for `cat`, at 1,2,3,4 (score 0.87) and at 9,2,3,4 (score 0.50);"
            ),
            "{text}"
        );
        assert!(error(Vec::new(), None).starts_with("a.png: nothing was found for `cat`;"));
        let text = error(Vec::new(), Some((found(1, 0.15), 0.2)));
        assert!(text.contains("`cat` (the surest guess, 1,2,3,4 (score 0.15), is not above 0.20"), "{text}");
    }
}
