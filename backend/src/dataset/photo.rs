//! One photo of a subject.

use std::path::PathBuf;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use mudi_domain::cutout::Cutout;
use mudi_domain::geometry::Rect;
use mudi_domain::mask::Mask;

use super::error::DatasetError;

/// A photo with its mask and caption.
#[derive(Debug, Clone)]
pub struct Photo {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The pixels: upright, 8 bit sRGB, at most [`super::LONGEST_SIDE`] on a side.
    pub image: RgbImage,
    /// The subject's mask, of the image's size; at least one pixel reaches the threshold.
    pub mask: Mask,
    /// What a prompt would say of the photo.
    pub caption: String,
}

/// A photo as a training image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// The pixels.
    pub image: RgbImage,
    /// The subject's mask, of the image's size.
    pub mask: Mask,
    /// What of the image is the photo's, of its size; none where all of it is. The rest is white.
    pub photo: Option<Mask>,
}

impl Photo {
    /// The subject, cut out.
    ///
    /// # Errors
    /// Where the mask has been emptied or resized since the photo was read.
    pub fn cutout(&self) -> Result<Cutout, DatasetError> {
        Cutout::new(&self.image, &self.mask)
            .map_err(|source| DatasetError::Cutout { photo: self.path.clone(), source })
    }

    /// The photo as a training image of `size` x `size` pixels (at least 1): [`Self::framed`].
    #[must_use]
    pub fn square(&self, size: u32) -> Framed {
        self.framed([size, size])
    }

    /// The photo as a training image of `[width, height]` pixels (at least 1), with the whole subject in it.
    ///
    /// It is the largest part of the photo with that aspect ratio, moved along the longer side so that the subject is as near
    /// to its middle as the photo allows. A subject that is longer than the part would be cut: then the part is as large as
    /// the subject, and white fills what the photo lacks.
    #[must_use]
    pub fn framed(&self, size: [u32; 2]) -> Framed {
        let [across, down] = size.map(|side| side.max(1));
        let (width, height) = self.image.dimensions();
        let whole = Rect::whole(width, height);
        let subject = self.mask.bounding_box().unwrap_or(whole);
        let ratio = |length: u32, side: u32| f64::from(length) / f64::from(side);
        let scale = ratio(width, across)
            .min(ratio(height, down))
            .max(ratio(subject.width, across))
            .max(ratio(subject.height, down));
        let [wide, high] = [across, down].map(|side| ((scale * f64::from(side)).round() as u32).max(1));
        let x = window(width, wide, subject.x, subject.width);
        let y = window(height, high, subject.y, subject.height);
        let mut image = RgbImage::from_pixel(wide, high, Rgb([255; 3]));
        imageops::replace(&mut image, &self.image, -i64::from(x), -i64::from(y));
        let part = Rect::new(x, y, wide, high);
        let photo = (wide > width || high > height)
            .then(|| Mask::full(width, height).crop(part).resize(across, down));
        Framed {
            image: imageops::resize(&image, across, down, FilterType::CatmullRom),
            mask: self.mask.crop(part).resize(across, down),
            photo,
        }
    }
}

/// Where a window of `side` pixels begins on an axis of `length` pixels, so that it holds all of a subject that begins
/// at `start`; negative where the window is longer than the axis.
fn window(length: u32, side: u32, start: i32, extent: u32) -> i32 {
    let slack = length as i32 - side as i32;
    if slack < 0 {
        return slack / 2;
    }
    (start + (extent as i32 - side as i32) / 2).clamp(0, slack)
}
