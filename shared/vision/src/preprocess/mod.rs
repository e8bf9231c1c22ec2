//! From images to what the networks take, pixel for pixel as the reference's processors do it.
//!
//! What a processor does is part of a network: a resize that rounds otherwise, or does not smooth where it shrinks,
//! moves every embedding and every score.

mod owl;
mod processor;
pub mod resize;
mod smooth;
mod steps;

use image::RgbImage;
use mudi_diffusion::{Engine, Error, Result};

pub use owl::OwlProcessor;
pub use processor::{Edge, Processor, Size};
pub use resize::{Filter, resize, resize_image};
pub use steps::check_sam;

/// Mean and deviation of each channel of ImageNet's photos, of values 0..=1: SAM's, DINO's and DINOv2's.
pub const IMAGENET: Normalization =
    Normalization { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/// The same of CLIP's photos: CLIP's, OpenCLIP's and OWLv2's.
pub const CLIP: Normalization = Normalization {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};

/// What is taken from each channel, and what it is then divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Red, green, blue; of values 0..=1.
    pub mean: [f32; 3],
    /// Red, green, blue; not 0.
    pub deviation: [f32; 3],
}

impl Normalization {
    /// Normalized values of `rgb`, three bytes a pixel, in the same order.
    #[must_use]
    pub fn apply(&self, rgb: &[u8]) -> Vec<f32> {
        let normalized = |(at, &value): (usize, &u8)| self.of(at % 3, f32::from(value) / 255.0);
        rgb.iter().enumerate().map(normalized).collect()
    }

    fn of(&self, channel: usize, value: f32) -> f32 {
        (value - self.mean[channel]) / self.deviation[channel]
    }
}

/// An image as a network takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Red, green and blue of each pixel, row by row; real numbers.
    pub values: Vec<f32>,
}

impl Pixels {
    /// The pixels of an image, 0..=1.
    #[must_use]
    pub fn from_image(image: &RgbImage) -> Self {
        let values = image.as_raw().iter().map(|&value| f32::from(value) / 255.0).collect();
        Self { height: image.height() as usize, width: image.width() as usize, values }
    }

    /// The same, normalized.
    #[must_use]
    pub fn normalized(mut self, by: &Normalization) -> Self {
        for pixel in self.values.as_chunks_mut::<3>().0 {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = by.of(channel, *value);
            }
        }
        self
    }

    /// Images of one size as one tensor `[B, H, W, 3]`.
    ///
    /// # Errors
    /// No image, or images of different sizes.
    pub fn batch<E: Engine>(engine: &E, images: &[Self]) -> Result<E::Tensor> {
        let Some(first) = images.first() else {
            return Err(bad_image("there is none".to_owned()));
        };
        if let Some(other) = images.iter().find(|i| (i.height, i.width) != (first.height, first.width)) {
            return Err(bad_image(format!(
                "sizes differ in one batch: {} x {} and {} x {} pixels",
                first.width, first.height, other.width, other.height
            )));
        }
        let values: Vec<f32> = images.iter().flat_map(|image| image.values.iter().copied()).collect();
        engine.from_slice(&values, &[images.len(), first.height, first.width, 3])
    }
}

fn bad_image(reason: String) -> Error {
    Error::Input { name: "pixel_values", reason }
}

/// Fails for an image without pixels, which has nothing to be resized.
fn check_not_empty(image: &RgbImage) -> Result<()> {
    if image.is_empty() {
        return Err(bad_image(format!("an image of {} x {} pixels is empty", image.width(), image.height())));
    }
    Ok(())
}
