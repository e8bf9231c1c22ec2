//! Pictures with their parameters inside.

use std::path::Path;

use image::RgbImage;
use serde::Serialize;

use super::Settings;
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
    /// Karras' spacing of noise levels, where it was asked for, or is the base's own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub karras: bool,
    /// Classifier-free guidance scale.
    pub guidance: f32,
    /// Strength of the layout.
    pub gamma: f32,
    /// The layout, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<mudi_domain::layout::Layout>,
    /// The base model's name.
    pub base: String,
    /// Strength of the run's LoRA, where it was not 1.
    #[serde(skip_serializing_if = "is_one")]
    pub lora_scale: f32,
    /// LoRAs besides a run's, each with its weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<String>,
    /// The name of the run on the page, which may be deleted before the picture is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Side of the tiles that it was decoded in, where it was not decoded whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae_tile: Option<usize>,
    /// How the base's weights were held, where nobody has asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<&'static str>,
    /// The program and its version.
    pub software: &'static str,
}

impl Parameters {
    /// Those of a picture that was sampled with `settings`, from the seed 0 and without layout or LoRAs where nothing else is said.
    #[must_use]
    pub fn of(settings: &Settings, prompt: &str, negative_prompt: &str, base: &str) -> Self {
        Self {
            prompt: prompt.to_owned(),
            negative_prompt: negative_prompt.to_owned(),
            seed: 0,
            steps: settings.steps,
            sampler: settings.sampler.to_string(),
            karras: settings.karras,
            guidance: settings.guidance,
            gamma: settings.gamma,
            layout: None,
            base: base.to_owned(),
            lora_scale: settings.lora_scale,
            loras: Vec::new(),
            run: None,
            vae_tile: None,
            precision: None,
            software: SOFTWARE,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_one(scale: &f32) -> bool {
    *scale == 1.0
}

/// The program, as pictures name it.
const SOFTWARE: &str = concat!("MuDI Studio ", env!("CARGO_PKG_VERSION"));

/// The keyword of the text chunk.
const KEYWORD: &str = "parameters";

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
        encoder.add_itxt_chunk(KEYWORD.to_owned(), serde_json::to_string(parameters)?)?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    writer.finish()?;
    Ok(bytes)
}

/// The prompt inside a picture that [`write_png`] has written; none in others.
pub(crate) fn prompt_of(png: impl std::io::BufRead + std::io::Seek) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Prompt {
        prompt: String,
    }
    let reader = png::Decoder::new(png).read_info().ok()?;
    let chunk = reader.info().utf8_text.iter().find(|chunk| chunk.keyword == KEYWORD)?;
    serde_json::from_str::<Prompt>(&chunk.get_text().ok()?).ok().map(|parameters| parameters.prompt)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_prompt_is_found_again() {
        let parameters = Parameters {
            prompt: "olis “bear” in the snow".to_owned(),
            negative_prompt: String::new(),
            seed: 1,
            steps: 2,
            sampler: "ddim".to_owned(),
            karras: false,
            guidance: 5.0,
            gamma: 0.0,
            layout: None,
            base: "pocket".to_owned(),
            lora_scale: 1.0,
            loras: Vec::new(),
            run: None,
            vae_tile: None,
            precision: None,
            software: SOFTWARE,
        };
        let image = RgbImage::new(3, 2);
        let written = encode_png(&image, Some(&parameters)).unwrap();
        assert_eq!(prompt_of(Cursor::new(&written)).as_deref(), Some("olis “bear” in the snow"));
        assert_eq!(prompt_of(Cursor::new(encode_png(&image, None).unwrap())), None);
        assert_eq!(prompt_of(Cursor::new(b"no picture")), None);
        assert_eq!(prompt_of(Cursor::new(&written[..40])), None);
    }
}
