//! The text encoders and the denoiser, trained together on latents of toybox pictures.

use std::path::Path;

use mudi_diffusion::ParameterKind;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_domain::rng;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::TrainableWeights;
use rand::Rng;

use super::data::Size;
use super::earlier::EarlierWeights;
use super::learner::{Batch, Learner};
use super::pool::Pool;
use super::stage::Stage;
use super::state::{State, initial};
use super::{Options, PretrainError, Progress, architecture};

const RATE: f64 = 1e-3;
/// Share of captions that are left empty, for classifier-free guidance.
const EMPTY_CAPTIONS: f64 = 0.1;

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
    let size = Size::at(step);
    for position in 0..size.batch {
        let index = stream.random_range(0..options.pool);
        let caption = if stream.random_bool(EMPTY_CAPTIONS) {
            String::new()
        } else {
            size.scene(options.seed, index).caption(&mut stream)
        };
        made.ids.extend(tokenizer.encode(&caption)?.ids);
        let latent: Vec<f32> = pool.latent(size, index).collect();
        let noise = rng::normal(&mut stream, latent.len());
        // One of each stretch of timesteps: as even in every batch as over all of them.
        let place = (position as f64 + stream.random::<f64>()) / size.batch as f64;
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
    let pass = |step, batch: &Batch| {
        let size = Size::at(step);
        Ok(learner.gradients(&engine, batch, [size.height, size.width])?)
    };
    stage.learn(&mut state, progress, make, pass, |_| Ok(()))?;
    Ok(state)
}
