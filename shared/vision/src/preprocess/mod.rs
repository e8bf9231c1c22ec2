//! What photos go through before a network reads them.

pub mod resize;

pub use resize::{Filter, resize};

/// Mean and standard deviation of each channel, of pixels in `0..=255`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub deviation: [f32; 3],
}

/// ImageNet's, with which SAM and DINOv2 were trained.
pub const IMAGENET: Normalization =
    Normalization { mean: [123.675, 116.28, 103.53], deviation: [58.395, 57.12, 57.375] };

impl Normalization {
    /// Normalized values of `rgb`, three bytes a pixel, in the same order.
    #[must_use]
    pub fn apply(&self, rgb: &[u8]) -> Vec<f32> {
        rgb.iter()
            .enumerate()
            .map(|(at, &value)| (f32::from(value) - self.mean[at % 3]) / self.deviation[at % 3])
            .collect()
    }
}
