//! Pictures as a base model's autoencoder leaves them: a little softer, as those that it generates.

use std::path::Path;

use image::RgbImage;
use mudi_diffusion::Engine;
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, on_pool};

use crate::base::{BaseError, Source, Vae};

/// The base's autoencoder, there and back.
pub(crate) struct Softener {
    engine: CandleEngine,
    vae: Vae,
}

impl Softener {
    /// Loads the autoencoder of a base model's folder.
    pub(crate) fn load(base: &Path) -> Result<Self, BaseError> {
        let engine = CandleEngine::cpu();
        let vae = Vae::load(&engine, &Source::open(base)?, Precision::Single)?;
        Ok(Self { engine, vae })
    }

    /// What comes back of pictures of one size.
    pub(crate) fn soften(&self, images: &[RgbImage]) -> mudi_diffusion::Result<Vec<RgbImage>> {
        let Some(first) = images.first() else { return Ok(Vec::new()) };
        let (width, height) = first.dimensions();
        let engine = &self.engine;
        let pixels: Vec<f32> =
            images.iter().flat_map(|image| image.iter().map(|&v| f32::from(v) / 127.5 - 1.0)).collect();
        let x = engine.from_slice(&pixels, &[images.len(), height as usize, width as usize, 3])?;
        let pixels = on_pool(|| {
            let moments = self.vae.encoder.forward(engine, &x)?;
            let means = engine.slice(&moments, 3, 0, self.vae.config.latent_channels)?;
            engine.to_vec(&self.vae.decoder.forward(engine, &means)?)
        })?;
        let to_byte = |v: &f32| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
        let each = (width * height * 3) as usize;
        Ok(pixels
            .chunks_exact(each)
            .filter_map(|pixels| RgbImage::from_raw(width, height, pixels.iter().map(to_byte).collect()))
            .collect())
    }
}
