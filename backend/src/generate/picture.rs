//! Pictures with their parameters inside.

use std::path::Path;

use image::RgbImage;
use serde::Serialize;

use crate::files::{WriteError, write_atomically};

/// What a picture was made with, written into its PNG as `parameters`.
#[derive(Clone, Debug, Serialize)]
pub struct Parameters {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt.
    pub negative_prompt: String,
    /// The seed.
    pub seed: u64,
    /// Steps of the sampler.
    pub steps: usize,
    /// The sampler's name.
    pub sampler: String,
    /// Classifier-free guidance scale.
    pub guidance: f32,
    /// Strength of the layout.
    pub gamma: f32,
    /// The layout, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<mudi_domain::layout::Layout>,
    /// The base model's name.
    pub base: String,
    /// The program and its version.
    pub software: &'static str,
}

/// The program, as pictures name it.
pub const SOFTWARE: &str = concat!("MuDI Studio ", env!("CARGO_PKG_VERSION"));

/// Writes a PNG; `parameters` go into a text chunk that other tools read too.
///
/// # Errors
/// [`WriteError`]; nothing half-written is left.
pub fn write_png(path: &Path, image: &RgbImage, parameters: Option<&Parameters>) -> Result<(), WriteError> {
    let encoded = encode_png(image, parameters)
        .map_err(|error| WriteError { path: path.to_owned(), source: std::io::Error::other(error) })?;
    write_atomically(path, &encoded)
}

/// The bytes of a PNG; `parameters` go into a text chunk that other tools read too.
///
/// # Errors
/// Sides of no pixels.
pub fn encode_png(
    image: &RgbImage,
    parameters: Option<&Parameters>,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(parameters) = parameters {
        encoder.add_itxt_chunk("parameters".to_owned(), serde_json::to_string(parameters)?)?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    writer.finish()?;
    Ok(bytes)
}
