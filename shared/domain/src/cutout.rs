//! Cutouts: a subject, cropped to its mask.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage, Rgba, Rgba32FImage};

use crate::mask::{Mask, SizeMismatch};

mod turn;

pub use turn::{Turn, turned_extent};

/// A subject cut out of a photo: image and mask of the same size, the bounding box of the photo's mask.
///
/// Pixels that the mask does not cover at all are white, so no background travels along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutout {
    image: RgbImage,
    mask: Mask,
}

/// Why a photo and a mask make no cutout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutoutError {
    /// Photo and mask differ in size.
    #[error(transparent)]
    Size(#[from] SizeMismatch),
    /// The mask covers nothing.
    #[error("the mask covers nothing (its brightest pixel is {peak} of 255); paint the subject white")]
    Empty {
        /// The mask's largest coverage.
        peak: u8,
    },
}

impl Cutout {
    /// The part of `photo` inside the bounding box of `mask`, which must be of the photo's size.
    ///
    /// # Errors
    /// Where the sizes differ, or no pixel of the mask reaches [`crate::mask::THRESHOLD`].
    pub fn new(photo: &RgbImage, mask: &Mask) -> Result<Self, CutoutError> {
        if photo.dimensions() != mask.as_gray().dimensions() {
            return Err(SizeMismatch { photo: photo.dimensions(), mask: mask.as_gray().dimensions() }.into());
        }
        let Some(rect) = mask.bounding_box() else {
            return Err(CutoutError::Empty { peak: mask.peak() });
        };
        let mask = mask.crop(rect);
        let mut image =
            imageops::crop_imm(photo, rect.x as u32, rect.y as u32, rect.width, rect.height).to_image();
        for (pixel, coverage) in image.pixels_mut().zip(mask.as_gray().as_raw()) {
            if *coverage == 0 {
                *pixel = Rgb([255; 3]);
            }
        }
        Ok(Self { image, mask })
    }

    /// The pixels, white where the mask is 0.
    #[must_use]
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// The mask, of the image's size.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Width in pixels, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.image.width()
    }

    /// Height in pixels, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.image.height()
    }

    /// The cutout at `width` by `height` pixels (each at least 1).
    ///
    /// Bicubic, averaging where it shrinks, and weighted by the mask, so that the background beside a subject never
    /// bleeds into its edge. The filter is a polynomial, so server and browser compute the same bytes.
    #[must_use]
    pub fn scaled(&self, width: u32, height: u32) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        if (width, height) == self.image.dimensions() {
            return self.clone();
        }
        // At half strength: the filter overshoots at hard edges by up to an eighth, and what exceeds 1 would be cut off
        // in one channel and not in another.
        let weighted = Rgba32FImage::from_fn(self.width(), self.height(), |x, y| {
            let Rgb([r, g, b]) = *self.image.get_pixel(x, y);
            let alpha = f32::from(self.mask.coverage(x, y)) / 255.0 * 0.5;
            let [r, g, b] = [r, g, b].map(|channel| f32::from(channel) / 255.0 * alpha);
            Rgba([r, g, b, alpha])
        });
        let scaled = imageops::resize(&weighted, width, height, FilterType::CatmullRom);
        let mut image = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        let mut mask = Mask::empty(width, height);
        for (x, y, Rgba([r, g, b, alpha])) in scaled.enumerate_pixels() {
            let coverage = (alpha * 2.0 * 255.0).round().clamp(0.0, 255.0) as u8;
            if coverage > 0 {
                let color = [r, g, b].map(|c| (c / alpha * 255.0).round().clamp(0.0, 255.0) as u8);
                image.put_pixel(x, y, Rgb(color));
                mask.as_gray_mut().put_pixel(x, y, image::Luma([coverage]));
            }
        }
        Self { image, mask }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};
    use proptest::prelude::*;

    use super::*;

    /// A photo, red inside a disc and green elsewhere, with the disc's mask.
    fn disc(side: u32) -> (RgbImage, Mask) {
        let center = f64::from(side) / 2.0;
        let inside =
            |x: u32, y: u32| (f64::from(x) + 0.5 - center).hypot(f64::from(y) + 0.5 - center) < center * 0.6;
        let photo =
            RgbImage::from_fn(
                side,
                side,
                |x, y| {
                    if inside(x, y) { Rgb([200, 0, 0]) } else { Rgb([0, 200, 0]) }
                },
            );
        let mask = GrayImage::from_fn(side, side, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        (photo, Mask::from_gray(mask))
    }

    #[test]
    fn no_background_bleeds_into_a_scaled_cutout() {
        let (photo, mask) = disc(40);
        let cutout = Cutout::new(&photo, &mask).unwrap();
        assert_eq!((cutout.width(), cutout.height()), (24, 24));
        for side in [1, 7, 11, 24, 53] {
            let scaled = cutout.scaled(side, side);
            for (x, y, pixel) in scaled.image().enumerate_pixels() {
                let expected = if scaled.mask().coverage(x, y) == 0 { [255; 3] } else { [200, 0, 0] };
                let off = pixel.0.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
                assert!(off <= Some(1), "{side}: {pixel:?} at {x},{y}");
            }
            let ratio = scaled.mask().area_fraction() / cutout.mask().area_fraction();
            // One pixel cannot hold the area: the filter weights the middle.
            assert!(side == 1 || (0.97..1.03).contains(&ratio), "{side}: area changed by {ratio}");
        }
    }

    #[test]
    fn what_makes_no_cutout_says_why() {
        let photo = RgbImage::new(4, 4);
        assert_eq!(Cutout::new(&photo, &Mask::empty(4, 4)), Err(CutoutError::Empty { peak: 0 }));
        let error = Cutout::new(&photo, &Mask::full(4, 5)).unwrap_err().to_string();
        assert_eq!(error, "a mask of 4x5 pixels does not fit a photo of 4x4; draw it at the photo's size");
    }

    proptest! {
        #[test]
        fn any_size_scales(w in 1u32..20, h in 1u32..20, to_w in 0u32..40, to_h in 0u32..40, one in any::<u8>()) {
            let photo = RgbImage::from_pixel(w, h, Rgb([one, 7, 250]));
            let scaled = Cutout::new(&photo, &Mask::full(w, h)).unwrap().scaled(to_w, to_h);
            prop_assert_eq!(scaled.image().dimensions(), (to_w.max(1), to_h.max(1)));
            prop_assert!(scaled.mask().as_gray().iter().all(|&coverage| coverage == 255));
        }
    }
}
