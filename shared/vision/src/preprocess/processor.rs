//! Resize, centre crop, normalize: `BitImageProcessor` (DINOv2) and `CLIPImageProcessor` of transformers, and DreamSim's.

use image::{RgbImage, imageops};
use mudi_diffusion::{Error, Result};
use serde::Deserialize;

use super::resize::{Filter, resize_image};
use super::{CLIP, IMAGENET, Normalization, Pixels, bad_image, check_not_empty, steps};

/// What an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// The shorter side gets this length in pixels, the other keeps the shape.
    Shortest(Edge),
    /// Height and width in pixels, whatever the shape.
    Exact {
        /// Pixels down.
        height: u32,
        /// Pixels across.
        width: u32,
    },
}

/// A length as files give it: a number, or an object with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Edge {
    /// Old files.
    Plain(u32),
    /// `{"shortest_edge": 256}`.
    Named {
        /// Pixels.
        shortest_edge: u32,
    },
}

/// The steps from an image to a network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processor {
    /// What it is resized to; `None` keeps its size.
    pub size: Option<Size>,
    /// How.
    pub filter: Filter,
    /// Height and width of the middle that is kept; what is smaller gets a black border. `None` keeps all.
    pub crop: Option<[u32; 2]>,
    /// What the values are normalized by; `None` leaves 0..=1.
    pub normalization: Option<Normalization>,
}

/// The longest side that an image is resized to, in pixels: a thin strip would otherwise grow without bounds.
const LONGEST: u32 = 1 << 15;

impl Processor {
    /// DINOv2's: the shorter side to 256 pixels, the middle 224 x 224.
    #[must_use]
    pub fn dinov2() -> Self {
        Self {
            size: Some(Size::Shortest(Edge::Plain(256))),
            filter: Filter::Bicubic,
            crop: Some([224; 2]),
            normalization: Some(IMAGENET),
        }
    }

    /// CLIP's: the shorter side to 224 pixels, the middle 224 x 224.
    #[must_use]
    pub fn clip() -> Self {
        Self {
            size: Some(Size::Shortest(Edge::Plain(224))),
            filter: Filter::Bicubic,
            crop: Some([224; 2]),
            normalization: Some(CLIP),
        }
    }

    /// DreamSim's: the whole image to 224 x 224 pixels, whatever its shape; each of its networks normalizes by itself.
    #[must_use]
    pub fn dreamsim() -> Self {
        let size = Some(Size::Exact { height: 224, width: 224 });
        Self { size, filter: Filter::Bicubic, crop: None, normalization: None }
    }

    /// The processor that a `preprocessor_config.json` describes.
    ///
    /// # Errors
    /// Text that is no such file, or a step that is not supported.
    pub fn from_json(text: &str) -> Result<Self> {
        steps::check(text, &["do_rescale"])?;
        let file: File = mudi_diffusion::parse(text)?;
        let filter = match file.resample {
            None | Some(3) => Filter::Bicubic,
            Some(2) => Filter::Bilinear,
            Some(other) => {
                let reason = format!("`resample` is {other}; known are 2 (bilinear) and 3 (bicubic)");
                return Err(Error::Config(reason));
            }
        };
        let crop = match file.crop_size {
            _ if !file.do_center_crop => None,
            None => Some([224; 2]),
            Some(Size::Exact { height, width }) => Some([height, width]),
            Some(Size::Shortest(edge)) => Some([edge.pixels(); 2]),
        };
        let size = file.do_resize.then(|| file.size.unwrap_or(Size::Shortest(Edge::Plain(224))));
        let normalization = file.do_normalize.then_some(Normalization {
            mean: file.image_mean.unwrap_or(CLIP.mean),
            deviation: file.image_std.unwrap_or(CLIP.deviation),
        });
        let processor = Self { size, filter, crop, normalization };
        processor.check().map(|()| processor)
    }

    fn check(&self) -> Result<()> {
        let size = match self.size {
            None => [1; 2],
            Some(Size::Shortest(edge)) => [edge.pixels(); 2],
            Some(Size::Exact { height, width }) => [height, width],
        };
        let possible = |side: &u32| (1..=LONGEST).contains(side);
        if !size.iter().chain(&self.crop.unwrap_or([1; 2])).all(possible) {
            let reason = format!("`size` and `crop_size` must be 1 to {LONGEST} pixels");
            return Err(Error::Config(reason));
        }
        let divisible = |by: &Normalization| by.deviation.iter().all(|value| value.is_normal());
        if !self.normalization.as_ref().is_none_or(divisible) {
            return Err(Error::Config("`image_std` must not be 0".to_owned()));
        }
        Ok(())
    }

    /// The input that the network takes for `image`.
    ///
    /// # Errors
    /// An image without pixels, or one so thin that its longer side would have more than 32,768.
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels> {
        check_not_empty(image)?;
        let (width, height) = match self.size {
            None => image.dimensions(),
            Some(Size::Exact { height, width }) => (width, height),
            Some(Size::Shortest(edge)) => shortest(image.dimensions(), edge.pixels())?,
        };
        let resized = resize_image(image, width, height, self.filter);
        let cropped = match self.crop {
            None => resized,
            Some([height, width]) => center_crop(&resized, width, height),
        };
        let pixels = Pixels::from_image(&cropped);
        Ok(match &self.normalization {
            None => pixels,
            Some(normalization) => pixels.normalized(normalization),
        })
    }
}

impl Edge {
    fn pixels(self) -> u32 {
        match self {
            Self::Plain(pixels) | Self::Named { shortest_edge: pixels } => pixels,
        }
    }
}

/// Width and height with a shorter side of `edge` pixels; the longer one is rounded down, as the reference does.
fn shortest((width, height): (u32, u32), edge: u32) -> Result<(u32, u32)> {
    let (short, long) = (width.min(height), width.max(height));
    let longer = u64::from(edge) * u64::from(long) / u64::from(short);
    let longer = u32::try_from(longer).ok().filter(|&longer| longer <= LONGEST).ok_or_else(|| {
        bad_image(format!("an image of {width} x {height} pixels is too thin; crop it to its subject"))
    })?;
    Ok(if width <= height { (edge, longer) } else { (longer, edge) })
}

/// The middle of `image`; of an odd rest the larger part is cut off below and on the right. A black border around what is
/// smaller.
fn center_crop(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let inset = |have: u32, want: u32| (have.saturating_sub(want) / 2, want.saturating_sub(have) / 2);
    let ((from_x, to_x), (from_y, to_y)) = (inset(image.width(), width), inset(image.height(), height));
    let kept =
        imageops::crop_imm(image, from_x, from_y, width.min(image.width()), height.min(image.height()));
    let mut out = RgbImage::new(width, height);
    imageops::replace(&mut out, &*kept, i64::from(to_x), i64::from(to_y));
    out
}

/// `preprocessor_config.json`.
#[derive(Deserialize)]
struct File {
    #[serde(default = "yes")]
    do_resize: bool,
    #[serde(default = "yes")]
    do_center_crop: bool,
    #[serde(default = "yes")]
    do_normalize: bool,
    size: Option<Size>,
    crop_size: Option<Size>,
    resample: Option<u32>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_files_are_read() {
        let dinov2 = r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_convert_rgb": true,
            "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
            "image_processor_type": "BitImageProcessor", "image_std": [0.229, 0.224, 0.225], "resample": 3,
            "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}}"#;
        let mut expected = Processor::dinov2();
        expected.size = Some(Size::Shortest(Edge::Named { shortest_edge: 256 }));
        assert_eq!(Processor::from_json(dinov2).unwrap(), expected);
        let clip = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3, "size": 224}"#;
        assert_eq!(Processor::from_json(clip).unwrap(), Processor::clip());
    }

    #[test]
    fn impossible_files_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"size": 0}"#,
            r#"{"size": 1000000000}"#,
            r#"{"resample": 1}"#,
            r#"{"image_std": [1, 0, 1]}"#,
            r#"{"do_rescale": false}"#,
            r#"{"rescale_factor": 0.00784313725490196}"#,
        ] {
            assert!(Processor::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_middle_is_kept_and_what_is_missing_is_black() {
        let image = RgbImage::from_fn(5, 2, |x, y| image::Rgb([x as u8 + 1, y as u8, 0]));
        let cropped = center_crop(&image, 2, 5);
        let reds: Vec<u8> = cropped.pixels().map(|pixel| pixel[0]).collect();
        assert_eq!(reds, [0, 0, 2, 3, 2, 3, 0, 0, 0, 0]);
    }

    #[test]
    fn images_that_cannot_be_resized_are_refused() {
        assert!(Processor::dinov2().apply(&RgbImage::new(0, 3)).is_err());
        let strip = Processor::dinov2().apply(&RgbImage::new(20_000, 1)).unwrap_err();
        assert!(strip.to_string().contains("20000 x 1"), "{strip}");
        assert_eq!(Processor::dinov2().apply(&RgbImage::new(1, 1)).unwrap().values.len(), 224 * 224 * 3);
    }
}
