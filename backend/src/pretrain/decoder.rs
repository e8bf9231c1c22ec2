//! The autoencoder's decoder alone: it learns to draw finer what the encoder says, and latents stay what they are, so that a
//! denoiser that knows them need not learn anew.

use std::path::Path;

use mudi_diffusion::vae::{VaeDecoder, VaeEncoder};
use mudi_diffusion::{Engine, ParameterKind};
use mudi_domain::rng;
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, backward, on_pool};
use rand::Rng;

use super::earlier::EarlierWeights;
use super::stage::Stage;
use super::state::State;
use super::vae::{BATCH, CROP, RATE, Sample, crops, reconstruction};
use super::{Options, PretrainError, Progress, architecture};

/// As [`super::vae`]'s, but sharper: colours are right by now.
const SMOOTH: f32 = 0.05;
/// The most noise on latents, in their standard deviations: a denoiser's are not quite the encoder's.
const NOISE: f32 = 0.1;

/// Trains the decoder of the autoencoder in the run's folder `vae` to the end, or resumes; the state is in `path`.
/// `deviation` is that of latents.
pub(super) fn train(
    options: &Options,
    encoder: &VaeEncoder<CandleEngine>,
    deviation: f32,
    path: &Path,
    progress: &Progress,
) -> Result<State, PretrainError> {
    let engine = CandleEngine::cpu();
    let seed = options.seed;
    let mut earlier = EarlierWeights::open(&options.run, &[("vae", "")])?;
    let mut source =
        TrainableWeights::new(|name, shape, kind: ParameterKind| earlier.values(name, shape, kind));
    let decoder = VaeDecoder::new(&architecture::vae()?, &mut source)?;
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    earlier.finish()?;
    let stage = Stage {
        name: "decoder",
        steps: options.decoder_steps,
        rate: RATE,
        checkpoint_every: options.checkpoint_every,
        path,
    };
    let pass = |step, pixels: &Vec<f32>| {
        on_pool(|| {
            let x = engine.from_slice(pixels, &[BATCH, CROP, CROP, 3])?;
            let moments = encoder.forward(&engine, &x)?;
            let mut shape = engine.shape(&moments);
            shape[3] /= 2;
            let stream = &mut rng::stream(seed, "latents of the decoder", step);
            let mut z = Sample::draw(&engine.to_vec(&moments)?, shape[3], stream).z;
            for crop in z.chunks_exact_mut(shape[1..].iter().product()) {
                let strength = deviation * stream.random_range(0.0..=NOISE);
                let noise = rng::normal(stream, crop.len());
                crop.iter_mut().zip(noise).for_each(|(z, noise)| *z += strength * noise);
            }
            let image = decoder.forward(&engine, &engine.from_slice(&z, &shape)?)?;
            let (loss, gradient) = reconstruction(&engine.to_vec(&image)?, pixels, SMOOTH);
            let gradient = engine.from_slice(&gradient, &engine.shape(&image))?;
            Ok((loss, backward(&[(&image, gradient.value().clone())])?))
        })
    };
    stage.learn(&mut state, progress, move |step| Ok(crops(seed, step)), pass, |_| Ok(()))?;
    Ok(state)
}
