//! The text encoders and the denoiser, trained together on latents of toybox pictures.

use std::path::Path;

use candle_core::{Device, Tensor as Value};
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::vae::VaeEncoder;
use mudi_diffusion::{Engine, ParameterKind};
use mudi_domain::rng;
use mudi_engine_candle::weights::{
    NamedTensors, TrainableWeights, read_safetensors, to_safetensors, values_from_file,
};
use mudi_engine_candle::{CandleEngine, on_pool};
use rand::Rng;
use rayon::prelude::*;

use super::data::{scene, to_unit};
use super::earlier::EarlierWeights;
use super::learner::{Batch, Learner};
use super::stage::Stage;
use super::state::{State, initial};
use super::{Options, PretrainError, Progress, architecture};
use crate::files::write_atomically;

const BATCH: usize = 32;
const RATE: f64 = 1e-3;
/// Share of captions that are left empty, for classifier-free guidance.
const EMPTY_CAPTIONS: f64 = 0.1;
/// Pictures encoded in one go.
const ENCODE_BATCH: usize = 16;

/// Latents of pictures `0..count`, scaled to unit variance, and the factor that did it.
pub(super) struct Pool {
    latents: Vec<f32>,
    each: usize,
    /// The autoencoder's `scaling_factor`.
    pub(super) scaling_factor: f64,
}

impl Pool {
    /// No pictures, of latents with this factor: for where the denoiser is not trained.
    pub(super) fn none(scaling_factor: f64) -> Self {
        Self { latents: Vec::new(), each: 0, scaling_factor }
    }

    /// Encodes the pool's pictures, or reads them back from `path`. Without a `factor` it follows from them.
    pub(super) fn make(
        options: &Options,
        encoder: &VaeEncoder<CandleEngine>,
        factor: Option<f64>,
        path: &Path,
        progress: &Progress,
    ) -> Result<Self, PretrainError> {
        let latents = if path.exists() {
            let tensors = read_safetensors(path)?;
            let value =
                tensors.get("latents").ok_or_else(|| PretrainError::Checkpoint { path: path.to_owned() })?;
            values_from_file(value, ParameterKind::NormScale)?
        } else {
            let latents = Self::encode(options, encoder, progress)?;
            let value = Value::from_vec(latents.clone(), latents.len(), &Device::Cpu)?;
            let file = NamedTensors::from([("latents".to_owned(), value)]);
            write_atomically(path, &to_safetensors(&file, None).map_err(PretrainError::Serialize)?)?;
            latents
        };
        let count = latents.len() as f64;
        let mean = latents.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = latents.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let scaling_factor = factor.unwrap_or(1.0 / variance.sqrt());
        let each = latents.len() / options.pool as usize;
        Ok(Self { latents, each, scaling_factor })
    }

    fn encode(
        options: &Options,
        encoder: &VaeEncoder<CandleEngine>,
        progress: &Progress,
    ) -> Result<Vec<f32>, PretrainError> {
        let engine = CandleEngine::cpu();
        let bar = progress.bar("latents", options.pool.div_ceil(ENCODE_BATCH as u64), 0);
        let mut latents = Vec::new();
        for first in (0..options.pool).step_by(ENCODE_BATCH) {
            let last = (first + ENCODE_BATCH as u64).min(options.pool);
            let images: Vec<Vec<f32>> = (first..last)
                .into_par_iter()
                .map(|index| to_unit(&scene(options.seed, index).render().image))
                .collect();
            let side = architecture::RESOLUTION;
            let x = engine.from_slice(&images.concat(), &[images.len(), side, side, 3])?;
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

    fn latent(&self, index: u64) -> impl Iterator<Item = f32> + '_ {
        let scale = self.scaling_factor as f32;
        self.latents[index as usize * self.each..][..self.each].iter().map(move |v| scale * v)
    }
}

fn batch(
    options: &Options,
    pool: &Pool,
    tokenizer: &Tokenizer,
    schedule: &NoiseSchedule,
    step: u64,
) -> Result<Batch, PretrainError> {
    let mut stream = rng::stream(options.seed, "diffusion", step);
    let mut made = Batch::default();
    let timesteps = schedule.num_train_timesteps();
    for position in 0..BATCH {
        let index = stream.random_range(0..options.pool);
        let caption = if stream.random_bool(EMPTY_CAPTIONS) {
            String::new()
        } else {
            scene(options.seed, index).caption(&mut stream)
        };
        made.ids.extend(tokenizer.encode(&caption)?.ids);
        let latent: Vec<f32> = pool.latent(index).collect();
        let noise = rng::normal(&mut stream, latent.len());
        // One of each stretch of timesteps: as even in every batch as over all of them.
        let place = (position as f64 + stream.random::<f64>()) / BATCH as f64;
        let t = ((place * timesteps as f64) as usize).min(timesteps - 1);
        made.noisy.extend(schedule.add_noise(&latent, &noise, t)?);
        made.noise.extend(noise);
        made.timesteps.push(t as f32);
        // Kinds of toys are decided in noisier timesteps, whose gradients are the smallest.
        made.weights.push(schedule.debiased_weight(t)? as f32);
    }
    Ok(made)
}

/// Trains to the end, or resumes; the state is in `path`.
pub(super) fn train(
    options: &Options,
    tokenizer: &Tokenizer,
    pool: Pool,
    path: &Path,
    progress: &Progress,
) -> Result<State, PretrainError> {
    let engine = CandleEngine::cpu();
    let seed = options.seed;
    let networks =
        [("text_encoder", "text_encoder."), ("text_encoder_2", "text_encoder_2."), ("unet", "unet.")];
    let mut earlier =
        options.from.as_ref().map(|model| EarlierWeights::open(model, &networks)).transpose()?;
    let mut source = TrainableWeights::new(|name, shape, kind: ParameterKind| match &mut earlier {
        Some(earlier) => earlier.values(name, shape, kind),
        None => initial(seed, name, shape, kind),
    });
    let text = [false, true]
        .map(|second| architecture::text_encoder(tokenizer.vocab_size(), tokenizer.end_id(), second));
    let [first, second] = text;
    let learner = Learner::new(architecture::unet()?, first?, second?, &mut source)?;
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    earlier.map_or(Ok(()), EarlierWeights::finish)?;
    let stage = Stage {
        name: "diffusion",
        steps: options.steps,
        rate: RATE,
        checkpoint_every: options.checkpoint_every,
        path,
    };
    let (thread_options, thread_tokenizer) = (options.clone(), tokenizer.clone());
    let schedule = NoiseSchedule::stable_diffusion();
    let make = move |step| batch(&thread_options, &pool, &thread_tokenizer, &schedule, step);
    let pass = |_, batch: &Batch| Ok(learner.gradients(&engine, batch, architecture::RESOLUTION)?);
    stage.learn(&mut state, progress, make, pass, |_| Ok(()))?;
    Ok(state)
}
