//! What befalls pictures on their way to a network: pocket's pictures are softer than renders, photos are noisy and compressed.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage, imageops};
use mudi_domain::rng::{self, Stream};
use rand::Rng;

/// Perhaps softer, noisier, smaller and back, or compressed; the size and what stands where stay.
pub(super) fn worn(image: RgbImage, stream: &mut Stream) -> RgbImage {
    let mut image = image;
    if stream.random_bool(0.3) {
        image = imageops::blur(&image, stream.random_range(0.3..1.0));
    }
    if stream.random_bool(0.15) {
        let share = stream.random_range(0.5..0.9f32);
        let (width, height) = image.dimensions();
        let less = |side: u32| ((side as f32 * share) as u32).max(1);
        let small = imageops::resize(&image, less(width), less(height), imageops::FilterType::Triangle);
        image = imageops::resize(&small, width, height, imageops::FilterType::CatmullRom);
    }
    if stream.random_bool(0.3) {
        let deviation = stream.random_range(1.0..10.0f32);
        let noise = rng::normal(stream, image.len());
        for (value, noise) in image.iter_mut().zip(noise) {
            *value = (f32::from(*value) + deviation * noise).round().clamp(0.0, 255.0) as u8;
        }
    }
    if stream.random_bool(0.15) {
        image = compressed(&image, stream.random_range(40..=90)).unwrap_or(image);
    }
    image
}

/// As JPEG leaves it; `None` where the encoder fails, which for a picture in memory it does not.
fn compressed(image: &RgbImage, quality: u8) -> Option<RgbImage> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).ok()?;
    image::load_from_memory_with_format(bytes.get_ref(), ImageFormat::Jpeg).ok().map(|back| back.to_rgb8())
}
