//! The latents that the denoiser learns from: pictures of each size, encoded once.

use std::path::Path;

use candle_core::{Device, Tensor as Value};
use mudi_diffusion::vae::VaeEncoder;
use mudi_diffusion::{Engine, ParameterKind};
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors, values_from_file};
use mudi_engine_candle::{CandleEngine, on_pool};
use rayon::prelude::*;

use super::data::{SIZES, Size, to_unit};
use super::{Options, PretrainError, Progress};
use crate::files::write_atomically;

/// Pixels encoded in one go: 16 of the first size's pictures.
const ENCODE_PIXELS: usize = 16 * SIZES[0].pixels();

/// Latents of pictures `0..count` of each size, and the factor that scales them to unit variance.
pub(super) struct Pool {
    /// In the order of [`SIZES`], not yet scaled.
    latents: Vec<Vec<f32>>,
    pictures: usize,
    /// The autoencoder's `scaling_factor`.
    pub(super) scaling_factor: f64,
}

impl Pool {
    /// No pictures, of latents with this factor: for where the denoiser is not trained.
    pub(super) fn none(scaling_factor: f64) -> Self {
        Self { latents: Vec::new(), pictures: 0, scaling_factor }
    }

    /// Encodes the pool's pictures, or reads them back from `path`. Without a `factor` it follows from the first size.
    pub(super) fn make(
        options: &Options,
        encoder: &VaeEncoder<CandleEngine>,
        factor: Option<f64>,
        path: &Path,
        progress: &Progress,
    ) -> Result<Self, PretrainError> {
        if !path.exists() {
            let mut file = NamedTensors::new();
            for size in &SIZES {
                let latents = encode(options, size, encoder, progress)?;
                let count = latents.len();
                file.insert(name(size), Value::from_vec(latents, count, &Device::Cpu)?);
            }
            write_atomically(path, &to_safetensors(&file, None).map_err(PretrainError::Serialize)?)?;
        }
        let tensors = read_safetensors(path)?;
        let latents = SIZES.iter().map(|size| {
            let value = tensors
                .get(&name(size))
                .ok_or_else(|| PretrainError::Checkpoint { path: path.to_owned() })?;
            Ok(values_from_file(value, ParameterKind::NormScale)?)
        });
        let latents = latents.collect::<Result<Vec<Vec<f32>>, PretrainError>>()?;
        let count = latents[0].len() as f64;
        let mean = latents[0].iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = latents[0].iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let scaling_factor = factor.unwrap_or(1.0 / variance.sqrt());
        Ok(Self { latents, pictures: options.pool as usize, scaling_factor })
    }

    /// The scaled latents of picture `index` of a size.
    pub(super) fn latent(&self, size: &Size, index: u64) -> impl Iterator<Item = f32> + '_ {
        let scale = self.scaling_factor as f32;
        let at = SIZES.iter().position(|other| name(other) == name(size)).unwrap_or(0);
        let each = self.latents[at].len() / self.pictures;
        self.latents[at][index as usize * each..][..each].iter().map(move |v| scale * v)
    }
}

/// What the file calls the latents of a size.
fn name(size: &Size) -> String {
    format!("latents-{size}")
}

fn encode(
    options: &Options,
    size: &Size,
    encoder: &VaeEncoder<CandleEngine>,
    progress: &Progress,
) -> Result<Vec<f32>, PretrainError> {
    let engine = CandleEngine::cpu();
    let together = (ENCODE_PIXELS / size.pixels()).max(1) as u64;
    let bar = progress.bar("latents", options.pool.div_ceil(together), 0);
    let mut latents = Vec::new();
    for first in (0..options.pool).step_by(together as usize) {
        let last = (first + together).min(options.pool);
        let images: Vec<Vec<f32>> = (first..last)
            .into_par_iter()
            .map(|index| to_unit(&size.scene(options.seed, index).render().image))
            .collect();
        let x = engine.from_slice(&images.concat(), &[images.len(), size.height, size.width, 3])?;
        let moments = on_pool(|| encoder.forward(&engine, &x))?;
        let channels = engine.shape(&moments)[3] / 2;
        for moments in engine.to_vec(&moments)?.chunks_exact(2 * channels) {
            latents.extend_from_slice(&moments[..channels]);
        }
        bar.step(&[]);
    }
    bar.finish();
    Ok(latents)
}
