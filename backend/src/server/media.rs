//! Uploaded images: checked, turned upright, and encoded anew, so that nothing but pixels is kept.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, Pixel, RgbImage};
use mudi_domain::geometry::Rect;
use mudi_domain::mask::Mask;

use super::store::{Keeping, NewMask, StoreError};
use crate::dataset::DatasetError;
use crate::dataset::decode::{Decoded, MAX_BYTES, decode};

/// The longer side of a thumbnail, in pixels.
const THUMBNAIL: u32 = 384;
/// JPEG quality of photos: what it costs cannot be seen.
const PHOTO_QUALITY: u8 = 95;
/// JPEG quality of thumbnails.
const THUMBNAIL_QUALITY: u8 = 82;

/// Why an upload was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    /// It is not an image that can be read.
    #[error(transparent)]
    Image(#[from] DatasetError),
    /// A mask of another size than its photo.
    #[error(
        "the mask has {}x{} pixels but its photo has {}x{}; draw the mask at the photo's size",
        found.0, found.1, photo.0, photo.1
    )]
    MaskSize {
        /// The mask's width and height.
        found: (u32, u32),
        /// The photo's.
        photo: (u32, u32),
    },
    /// It has become larger than what is read again.
    #[error("the photo has {0} bytes as it would be kept; make it smaller than {MAX_BYTES}")]
    Large(u64),
    /// It cannot be encoded.
    #[error("the image cannot be stored: {0}")]
    Encode(#[from] image::ImageError),
}

/// An encoded image.
pub(crate) struct Encoded {
    /// The file's bytes.
    pub(crate) bytes: Vec<u8>,
    /// `jpg` or `png`.
    pub(crate) extension: &'static str,
}

/// A photo to keep.
pub(crate) struct ReadyPhoto {
    /// Upright pixels.
    pub(crate) photo: Encoded,
    /// The photo, small.
    pub(crate) thumbnail: Encoded,
    /// Pixels across and down.
    pub(crate) size: (u32, u32),
}

/// A mask to keep.
pub(crate) struct ReadyMask {
    /// Its pixels.
    mask: Encoded,
    outline: Outline,
}

impl ReadyMask {
    /// Keeps its files.
    pub(crate) async fn keep(self, keeping: &Keeping<'_>) -> Result<NewMask, StoreError> {
        let file = keeping.put(self.mask.bytes, self.mask.extension).await?;
        self.outline.keep(keeping, file).await
    }
}

/// What lists show of a mask, so that nobody reads all of it to see where it is.
pub(crate) struct Outline {
    thumbnail: Encoded,
    bounds: Option<Rect>,
}

impl Outline {
    /// Of a mask.
    pub(crate) fn of(mask: &Mask) -> Result<Self, MediaError> {
        let small = shrunk(mask.as_gray());
        let thumbnail = gray(small.as_ref().unwrap_or_else(|| mask.as_gray()))?;
        Ok(Self { thumbnail, bounds: mask.bounding_box() })
    }

    /// Keeps the small mask of `file`, the mask itself.
    pub(crate) async fn keep(self, keeping: &Keeping<'_>, file: String) -> Result<NewMask, StoreError> {
        let thumbnail = keeping.put(self.thumbnail.bytes, self.thumbnail.extension).await?;
        Ok(NewMask { file, thumbnail, bounds: self.bounds })
    }
}

/// Encodes an uploaded photo, which was decoded from `bytes`. A JPEG stays one, other kinds become PNG.
pub(crate) fn photo(decoded: &Decoded, bytes: &[u8]) -> Result<ReadyPhoto, MediaError> {
    let pixels = decoded.clone().rgb();
    let is_jpeg = bytes.starts_with(&[0xff, 0xd8]);
    let photo = if is_jpeg { jpeg(&pixels, PHOTO_QUALITY)? } else { png(&pixels)? };
    // Jobs and imports read no larger file.
    if photo.bytes.len() as u64 > MAX_BYTES {
        return Err(MediaError::Large(photo.bytes.len() as u64));
    }
    Ok(ReadyPhoto { photo, thumbnail: thumbnail(&pixels)?, size: pixels.dimensions() })
}

/// Decodes a mask that was drawn on an upright photo of `size` pixels.
pub(crate) fn mask(name: &Path, bytes: &[u8], size: (u32, u32)) -> Result<ReadyMask, MediaError> {
    let drawn = decode(name, bytes)?.upright();
    fit(&drawn, size, None)
}

/// Decodes a mask of a data set, which may have been drawn on the photo as its file stores it.
pub(crate) fn mask_of(name: &Path, bytes: &[u8], photo: &Decoded) -> Result<ReadyMask, MediaError> {
    let drawn = decode(name, bytes)?.upright();
    fit(&drawn, photo.upright_size(), Some(photo))
}

/// Encodes a mask.
pub(crate) fn encode_mask(mask: &Mask) -> Result<Encoded, MediaError> {
    gray(mask.as_gray())
}

/// Encodes a mask that is kept.
pub(crate) fn ready_mask(mask: &Mask) -> Result<ReadyMask, MediaError> {
    Ok(ReadyMask { mask: encode_mask(mask)?, outline: Outline::of(mask)? })
}

fn fit(drawn: &DynamicImage, size: (u32, u32), photo: Option<&Decoded>) -> Result<ReadyMask, MediaError> {
    let found = (drawn.width(), drawn.height());
    if found == size {
        return ready_mask(&Mask::from_image(drawn));
    }
    match photo.filter(|photo| found == photo.stored_size()) {
        Some(photo) => {
            let mut turned = drawn.clone();
            turned.apply_orientation(photo.orientation);
            ready_mask(&Mask::from_image(&turned))
        }
        None => Err(MediaError::MaskSize { found, photo: size }),
    }
}

/// The image, small, as JPEG.
pub(crate) fn thumbnail(pixels: &RgbImage) -> Result<Encoded, MediaError> {
    jpeg(shrunk(pixels).as_ref().unwrap_or(pixels), THUMBNAIL_QUALITY)
}

/// The image in a thumbnail's size; none where it is no larger.
fn shrunk<P: Pixel<Subpixel = u8> + 'static>(
    pixels: &ImageBuffer<P, Vec<u8>>,
) -> Option<ImageBuffer<P, Vec<u8>>> {
    let (width, height) = pixels.dimensions();
    let longest = width.max(height);
    if longest <= THUMBNAIL {
        return None;
    }
    let to = |side: u32| (u64::from(side) * u64::from(THUMBNAIL) / u64::from(longest)).max(1) as u32;
    // Averaging is much quicker than a kernel on 24 megapixels, and as good at this size.
    let small = imageops::thumbnail(pixels, to(width) * 2, to(height) * 2);
    Some(imageops::resize(&small, to(width), to(height), FilterType::Triangle))
}

fn jpeg(pixels: &RgbImage, quality: u8) -> Result<Encoded, MediaError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(pixels)?;
    Ok(Encoded { bytes, extension: "jpg" })
}

fn png(pixels: &RgbImage) -> Result<Encoded, MediaError> {
    encode_png(pixels.as_raw(), pixels.dimensions(), ExtendedColorType::Rgb8)
}

fn gray(pixels: &GrayImage) -> Result<Encoded, MediaError> {
    encode_png(pixels.as_raw(), pixels.dimensions(), ExtendedColorType::L8)
}

fn encode_png(
    raw: &[u8],
    (width, height): (u32, u32),
    color: ExtendedColorType,
) -> Result<Encoded, MediaError> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes).write_image(raw, width, height, color)?;
    Ok(Encoded { bytes, extension: "png" })
}
