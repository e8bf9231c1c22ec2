//! Between pictures and latents.

use image::RgbImage;
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_diffusion::{Component, Engine};
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, on_pool};

use super::tiles::{Canvas, places};
use super::{BaseError, Source};

/// Both halves of an autoencoder. On a graphics card they compute in `f32` whatever the denoiser computes in: what bf16 rounds is seen in
/// pictures and learnt from latents, and the most memory that they take at a time is that of norms, which are in `f32` in any case.
pub struct Vae {
    engine: CandleEngine,
    /// Its configuration.
    pub config: VaeConfig,
    /// Pixels to latents.
    pub encoder: VaeEncoder<CandleEngine>,
    /// Latents to pixels.
    pub decoder: VaeDecoder<CandleEngine>,
    /// Side of the tiles that pictures are encoded and decoded in, in pixels; none for whole ones. Tiles take less memory, and colours may
    /// differ a little between them.
    pub tile: Option<usize>,
}

impl Vae {
    /// Loads the autoencoder of a base model, or the one that was named in its place.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn load(engine: &CandleEngine, source: &Source, precision: Precision) -> Result<Self, BaseError> {
        let config = source.vae_config()?;
        let engine = engine.in_single();
        let precision = if engine.device().is_cpu() { precision } else { Precision::Single };
        let mut weights = source.weights(&engine, Component::Vae, precision)?;
        let (encoder, decoder) = weights.build(|parameters| {
            Ok((VaeEncoder::new(&config, parameters)?, VaeDecoder::new(&config, parameters)?))
        })?;
        weights.finish()?;
        Ok(Self { engine, config, encoder, decoder, tile: None })
    }

    /// Height and width of latents for a picture.
    ///
    /// # Errors
    /// [`BaseError::Size`].
    pub fn latent_size(&self, height: usize, width: usize) -> Result<[usize; 2], BaseError> {
        let reduction = self.config.reduction();
        if height == 0 || width == 0 || !height.is_multiple_of(reduction) || !width.is_multiple_of(reduction)
        {
            return Err(BaseError::Size { width, height, multiple: reduction });
        }
        Ok([height / reduction, width / reduction])
    }

    /// Means of the latents of pictures of one size, times the scaling factor: `[B, h, w, C]` row by row.
    ///
    /// # Errors
    /// [`BaseError::Size`]; engine errors.
    pub fn encode(&self, images: &[&RgbImage]) -> Result<Vec<f32>, BaseError> {
        let engine = &self.engine;
        let Some(first) = images.first() else { return Ok(Vec::new()) };
        let (width, height) = (first.width() as usize, first.height() as usize);
        self.latent_size(height, width)?;
        let channels = self.config.latent_channels;
        let scale = self.config.scaling_factor as f32;
        let reduction = self.config.reduction();
        let [h, w] = [height / reduction, width / reduction];
        let tile = self.tile_of([h, w]);
        let mut latents = Vec::new();
        // One at a time: the memory of one is enough.
        for image in images {
            let mut canvas = Canvas::new([h, w, channels]);
            for rows in places(h, tile) {
                for columns in places(w, tile) {
                    let [down, across] = [rows.len() * reduction, columns.len() * reduction];
                    let part: Vec<f32> = (rows.start * reduction..rows.end * reduction)
                        .flat_map(|row| {
                            let first = (row * width + columns.start * reduction) * 3;
                            &image.as_raw()[first..first + across * 3]
                        })
                        .map(|&v| f32::from(v) / 127.5 - 1.0)
                        .collect();
                    let x = engine.from_slice(&part, &[1, down, across, 3])?;
                    let moments = engine.to_vec(&on_pool(|| self.encoder.forward(engine, &x))?)?;
                    let means = moments.chunks_exact(2 * channels).flat_map(|m| &m[..channels]);
                    canvas.add(rows.clone(), columns, &means.copied().collect::<Vec<f32>>());
                }
            }
            latents.extend(canvas.finish().into_iter().map(|v| scale * v));
        }
        Ok(latents)
    }

    /// Side of a tile in latents; that of the whole where there are no tiles.
    fn tile_of(&self, [h, w]: [usize; 2]) -> usize {
        self.tile.map_or(h.max(w), |tile| (tile / self.config.reduction()).max(1))
    }

    /// Pictures of latents `[B, h, w, C]` that were scaled by the scaling factor.
    ///
    /// # Errors
    /// Engine errors; [`BaseError::NoPicture`].
    pub fn decode(&self, latents: &[f32], [h, w]: [usize; 2]) -> Result<Vec<RgbImage>, BaseError> {
        let engine = &self.engine;
        let channels = self.config.latent_channels;
        let scale = self.config.scaling_factor as f32;
        let reduction = self.config.reduction();
        let (height, width) = (h * reduction, w * reduction);
        let tile = self.tile_of([h, w]);
        let mut pictures = Vec::new();
        // One at a time: the memory of one is enough.
        for latents in latents.chunks_exact(h * w * channels) {
            let mut canvas = Canvas::new([height, width, 3]);
            for rows in places(h, tile) {
                for columns in places(w, tile) {
                    let part: Vec<f32> = rows
                        .clone()
                        .flat_map(|row| {
                            &latents[(row * w + columns.start) * channels..][..columns.len() * channels]
                        })
                        .map(|value| value / scale)
                        .collect();
                    let z = engine.from_slice(&part, &[1, rows.len(), columns.len(), channels])?;
                    let pixels = on_pool(|| self.decoder.forward(engine, &z))?;
                    let pixels = engine.to_vec(&pixels)?;
                    let [rows, columns] =
                        [rows.clone(), columns].map(|range| range.start * reduction..range.end * reduction);
                    canvas.add(rows, columns, &pixels);
                }
            }
            let pixels = canvas.finish();
            if pixels.iter().any(|v| !v.is_finite()) {
                return Err(BaseError::NoPicture);
            }
            let bytes = pixels.iter().map(|v| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect();
            pictures.extend(RgbImage::from_raw(width as u32, height as u32, bytes));
        }
        Ok(pictures)
    }
}
