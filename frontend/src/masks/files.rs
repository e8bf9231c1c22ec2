//! Photos and masks as files.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, RgbImage};
use mudi_domain::mask::Mask;

use crate::api::ApiError;

/// The mask in a file of the server.
pub(crate) fn decode_mask(png: &[u8]) -> Result<GrayImage, ApiError> {
    let image = image::load_from_memory_with_format(png, ImageFormat::Png);
    image.map(|image| Mask::from_image(&image).into_gray()).map_err(|error| ApiError::Unreadable(error.to_string()))
}

/// The photo in a file of the server, to the same pixels that the server has.
pub(crate) fn decode_photo(file: &[u8]) -> Result<RgbImage, ApiError> {
    let image = image::load_from_memory(file);
    image.map(|image| image.to_rgb8()).map_err(|error| ApiError::Unreadable(error.to_string()))
}

/// A mask as a file.
pub(super) fn encode_mask(mask: &GrayImage) -> Result<Vec<u8>, ApiError> {
    let mut file = Vec::new();
    // The filter that costs least: masks are even.
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Up);
    let (width, height) = mask.dimensions();
    encoder
        .write_image(mask.as_raw(), width, height, ExtendedColorType::L8)
        .map_err(|error| ApiError::Unreadable(error.to_string()))?;
    Ok(file)
}
