//! Photos and masks as files. The decoders are named one by one: those of other formats need not be downloaded.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageError, RgbImage};
use mudi_domain::mask::Mask;

use crate::api::ApiError;

/// The first bytes of a PNG.
const PNG: &[u8] = b"\x89PNG";

fn unreadable(error: &ImageError) -> ApiError {
    ApiError::Unreadable(error.to_string())
}

fn decode(file: &[u8]) -> Result<DynamicImage, ApiError> {
    let image = if file.starts_with(PNG) {
        PngDecoder::new(Cursor::new(file)).and_then(DynamicImage::from_decoder)
    } else {
        JpegDecoder::new(Cursor::new(file)).and_then(DynamicImage::from_decoder)
    };
    image.map_err(|error| unreadable(&error))
}

/// The mask in a file of the server.
pub(crate) fn decode_mask(file: &[u8]) -> Result<GrayImage, ApiError> {
    decode(file).map(|image| Mask::from_image(&image).into_gray())
}

/// The photo in a file of the server, to the same pixels that the server has.
pub(crate) fn decode_photo(file: &[u8]) -> Result<RgbImage, ApiError> {
    decode(file).map(|image| image.to_rgb8())
}

/// A mask as a file.
pub(super) fn encode_mask(mask: &GrayImage) -> Result<Vec<u8>, ApiError> {
    let mut file = Vec::new();
    // The filter that costs least: masks are even.
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Up);
    let (width, height) = mask.dimensions();
    let written = encoder.write_image(mask.as_raw(), width, height, ExtendedColorType::L8);
    written.map_err(|error| unreadable(&error))?;
    Ok(file)
}
