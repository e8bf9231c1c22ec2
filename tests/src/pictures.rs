//! Pictures: their bytes, and how near one is to another.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

/// An image's bytes.
///
/// # Panics
/// Where the format does not hold it.
#[must_use]
pub fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("an image in memory");
    bytes.into_inner()
}

/// How near two pictures are, in dB of their peak signal-to-noise ratio.
///
/// # Panics
/// Where they are not of one size.
#[must_use]
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "pictures of one size");
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mean = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0f64.powi(2) / mean.max(1e-9)).log10()
}
