//! From a photo to what the image encoder reads, and from places in the photo to places in that.

use super::mask::fitted;
use super::{Point, Prompt};
use crate::preprocess::{Filter, IMAGENET, resize};

/// A photo's size, and how it lies in the encoder's square: its longer side fills it, its top left corner is the square's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Height and width of the photo, in pixels.
    pub size: [usize; 2],
    /// Side of the encoder's square, in pixels.
    pub image_size: usize,
}

impl Fit {
    /// Height and width of the photo in the square, in pixels.
    #[must_use]
    pub fn fitted(&self) -> [usize; 2] {
        fitted(self.size, self.image_size)
    }

    /// The photo's pixels (`rgb`, three bytes each, row by row) as the encoder reads them, `[S, S, 3]`: resized, normalized,
    /// and padded with zeros.
    ///
    /// # Panics
    /// Where `rgb` is not as long as the size says.
    #[must_use]
    pub fn pixels(&self, rgb: &[u8]) -> Vec<f32> {
        let [height, width] = self.fitted();
        let values = IMAGENET.apply(&resize(rgb, self.size, [height, width], Filter::Bilinear));
        let mut pixels = vec![0f32; 3 * self.image_size * self.image_size];
        for (row, values) in pixels.chunks_exact_mut(3 * self.image_size).zip(values.chunks_exact(3 * width))
        {
            row[..values.len()].copy_from_slice(values);
        }
        pixels
    }

    /// A place in the photo, `(x, y)` in pixels, as a place in the square.
    fn place(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [height, width] = self.fitted();
        [x * (width as f32 / self.size[1] as f32), y * (height as f32 / self.size[0] as f32)]
    }

    /// A prompt whose points and box are in the photo's pixels, with them in the square's; an earlier mask is in the
    /// square already.
    #[must_use]
    pub fn prompt(&self, prompt: &Prompt) -> Prompt {
        let point = |point: &Point| {
            let [x, y] = self.place([point.x, point.y]);
            Point { x, y, on_subject: point.on_subject }
        };
        let bounds = prompt.bounds.map(|[left, top, right, bottom]| {
            let ([left, top], [right, bottom]) = (self.place([left, top]), self.place([right, bottom]));
            [left, top, right, bottom]
        });
        Prompt { points: prompt.points.iter().map(point).collect(), bounds, mask: prompt.mask.clone() }
    }
}
