//! Masks: how much of each pixel a subject covers.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, Luma};

use crate::geometry::Rect;

#[cfg(test)]
mod tests;

/// The coverage from which on a pixel counts as the subject's, where a yes or no is needed.
pub const THRESHOLD: u8 = 128;

/// A subject's mask: a coverage for each pixel, 0 (outside) to 255 (inside). Soft edges stay soft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(GrayImage);

/// A mask and a photo differ in size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a mask of {}x{} pixels does not fit a photo of {}x{}; draw it at the photo's size",
    mask.0, mask.1, photo.0, photo.1
)]
pub struct SizeMismatch {
    /// The photo's width and height in pixels.
    pub photo: (u32, u32),
    /// The mask's width and height in pixels.
    pub mask: (u32, u32),
}

impl Mask {
    /// A mask that covers nothing.
    #[must_use]
    pub fn empty(width: u32, height: u32) -> Self {
        Self(GrayImage::new(width, height))
    }

    /// A mask that covers everything.
    #[must_use]
    pub fn full(width: u32, height: u32) -> Self {
        Self(GrayImage::from_pixel(width, height, Luma([255])))
    }

    /// The mask whose coverages are the pixels of `coverage`.
    #[must_use]
    pub fn from_gray(coverage: GrayImage) -> Self {
        Self(coverage)
    }

    /// The mask that an image file draws: its alpha where some pixel is not opaque (a subject cut out in an image
    /// editor), else its brightness (white on black). 1- and 16-bit images are scaled to 0..=255.
    #[must_use]
    pub fn from_image(image: &DynamicImage) -> Self {
        if image.color().has_alpha() {
            let rgba = image.to_rgba8();
            if rgba.pixels().any(|pixel| pixel[3] < 255) {
                return Self(GrayImage::from_fn(rgba.width(), rgba.height(), |x, y| {
                    Luma([rgba.get_pixel(x, y)[3]])
                }));
            }
        }
        Self(image.to_luma8())
    }

    /// The coverages as an image.
    #[must_use]
    pub fn as_gray(&self) -> &GrayImage {
        &self.0
    }

    /// The coverages as an image, to draw on.
    pub fn as_gray_mut(&mut self) -> &mut GrayImage {
        &mut self.0
    }

    /// The coverages as an image.
    #[must_use]
    pub fn into_gray(self) -> GrayImage {
        self.0
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.0.width()
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.0.height()
    }

    /// The coverage at (`x`, `y`), 0..=255; 0 outside of the mask.
    #[must_use]
    pub fn coverage(&self, x: u32, y: u32) -> u8 {
        self.0.get_pixel_checked(x, y).map_or(0, |pixel| pixel[0])
    }

    /// The largest coverage, 0..=255; 0 for a mask without pixels.
    #[must_use]
    pub fn peak(&self) -> u8 {
        self.0.as_raw().iter().copied().max().unwrap_or(0)
    }

    /// The smallest rectangle around every pixel of at least [`THRESHOLD`]; `None` where there is no such pixel.
    #[must_use]
    pub fn bounding_box(&self) -> Option<Rect> {
        let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
        for (x, y, pixel) in self.0.enumerate_pixels() {
            if pixel[0] >= THRESHOLD {
                (left, top) = (left.min(x), top.min(y));
                (right, bottom) = (right.max(x), bottom.max(y));
            }
        }
        (left <= right).then(|| Rect::new(left as i32, top as i32, right - left + 1, bottom - top + 1))
    }

    /// Whether no pixel reaches [`THRESHOLD`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peak() < THRESHOLD
    }

    /// Intersection over union with another mask of the same size, of the pixels that reach [`THRESHOLD`], 0..=1; 1 where there
    /// is nothing in both.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let (mut meet, mut union) = (0u32, 0u32);
        for (one, other) in self.0.iter().zip(other.0.iter()) {
            let (one, other) = (*one >= THRESHOLD, *other >= THRESHOLD);
            meet += u32::from(one && other);
            union += u32::from(one || other);
        }
        if union == 0 { 1.0 } else { f64::from(meet) / f64::from(union) }
    }

    /// The share of the image that is covered, 0..=1; a half-covered pixel counts half.
    #[must_use]
    pub fn area_fraction(&self) -> f64 {
        let raw = self.0.as_raw();
        if raw.is_empty() {
            return 0.0;
        }
        let sum: u64 = raw.iter().map(|&coverage| u64::from(coverage)).sum();
        sum as f64 / (255.0 * raw.len() as f64)
    }

    /// The part inside `rect`, as a mask of `rect`'s size; what lies outside of this mask is not covered.
    #[must_use]
    pub fn crop(&self, rect: Rect) -> Self {
        let mut out = GrayImage::new(rect.width, rect.height);
        if let Some(inside) = rect.intersect(&Rect::whole(self.width(), self.height())) {
            for y in inside.y..inside.y + inside.height as i32 {
                for x in inside.x..inside.x + inside.width as i32 {
                    let pixel = *self.0.get_pixel(x as u32, y as u32);
                    out.put_pixel(x.abs_diff(rect.x), y.abs_diff(rect.y), pixel);
                }
            }
        }
        Self(out)
    }

    /// The mask at another size: bilinear, averaging where it shrinks.
    #[must_use]
    pub fn resize(&self, width: u32, height: u32) -> Self {
        if self.0.is_empty() || width == 0 || height == 0 {
            return Self::empty(width, height);
        }
        Self(imageops::resize(&self.0, width, height, FilterType::Triangle))
    }

    /// The mask at latent size: `height` rows of `width` values in 0..=1, row by row.
    ///
    /// Bilinear with pixel centres aligned at one half and without averaging, which is what the reference
    /// implementation of MuDI's loss mask does (`interpolate(mode="bilinear")`). All zero for a mask without pixels.
    #[must_use]
    pub fn to_latent(&self, width: u32, height: u32) -> Vec<f32> {
        if self.0.is_empty() {
            return vec![0.0; width as usize * height as usize];
        }
        let columns = taps(self.width(), width);
        let at = |x: u32, y: u32| f32::from(self.0.get_pixel(x, y)[0]) / 255.0;
        taps(self.height(), height)
            .into_iter()
            .flat_map(|(top, bottom, v)| {
                columns.iter().map(move |&(left, right, u)| {
                    let upper = at(left, top) * (1.0 - u) + at(right, top) * u;
                    let lower = at(left, bottom) * (1.0 - u) + at(right, bottom) * u;
                    upper * (1.0 - v) + lower * v
                })
            })
            .collect()
    }
}

/// For each of `to` positions along an axis of `from` pixels: the two pixels it lies between and the second's weight.
fn taps(from: u32, to: u32) -> Vec<(u32, u32, f32)> {
    (0..to)
        .map(|i| {
            let center = (f64::from(i) + 0.5) * f64::from(from) / f64::from(to) - 0.5;
            let center = center.clamp(0.0, f64::from(from - 1));
            let first = center.floor() as u32;
            (first, (first + 1).min(from - 1), (center - center.floor()) as f32)
        })
        .collect()
}
