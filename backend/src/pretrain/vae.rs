//! The autoencoder, trained on crops of pictures: it has no notion of where in a picture it looks.

use std::path::Path;

use mudi_diffusion::vae::{VaeDecoder, VaeEncoder};
use mudi_diffusion::{Engine, ParameterKind};
use mudi_domain::rng;
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, on_pool};
use rand::Rng;

use super::data::{scene, to_unit};
use super::earlier::EarlierWeights;
use super::stage::Stage;
use super::state::{State, initial};
use super::{Options, PretrainError, Progress, architecture};

/// Side of a crop, in pixels.
pub(super) const CROP: usize = 48;
pub(super) const BATCH: usize = 24;
/// Weight of the Kullback-Leibler term for each latent value, against a mean absolute error for each pixel value.
const KL_WEIGHT: f32 = 5e-4;
/// Weight of the errors of differences between neighbours, which keep edges sharp.
const EDGE_WEIGHT: f32 = 0.3;
/// Weight of the errors of colour (what is left when grey is taken away): without it, the decoder learns two colours and
/// leaves the others for late.
const CHROMA_WEIGHT: f32 = 4.0;
pub(super) const RATE: f64 = 5e-4;

/// Errors below this count nearly by their squares: absolute errors are content with grey for a long time.
const SMOOTH: f32 = 0.3;

/// One batch of crops, `[BATCH, CROP, CROP, 3]`; four from each picture.
pub(super) fn crops(seed: u64, step: u64) -> Vec<f32> {
    const FROM_EACH: u64 = 4;
    let mut values = Vec::with_capacity(BATCH * CROP * CROP * 3);
    for part in 0..BATCH as u64 / FROM_EACH {
        let index = step * (BATCH as u64 / FROM_EACH) + part;
        let image = scene(seed, index).render().image;
        let mut stream = rng::stream(seed, "crop", index);
        for _ in 0..FROM_EACH {
            let x = stream.random_range(0..=image.width() - CROP as u32);
            let y = stream.random_range(0..=image.height() - CROP as u32);
            values.extend(to_unit(
                &image::imageops::crop_imm(&image, x, y, CROP as u32, CROP as u32).to_image(),
            ));
        }
    }
    values
}

/// Trains to the end, or resumes; the state is in `path`.
pub(super) fn train(options: &Options, path: &Path, progress: &Progress) -> Result<State, PretrainError> {
    let engine = CandleEngine::cpu();
    let config = architecture::vae()?;
    let seed = options.seed;
    let networks = [("vae", "")];
    let mut earlier =
        options.from.as_ref().map(|model| EarlierWeights::open(model, &networks)).transpose()?;
    let mut source = TrainableWeights::new(|name, shape, kind: ParameterKind| match &mut earlier {
        Some(earlier) => earlier.values(name, shape, kind),
        None => initial(seed, name, shape, kind),
    });
    let encoder = VaeEncoder::new(&config, &mut source)?;
    let decoder = VaeDecoder::new(&config, &mut source)?;
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    earlier.map_or(Ok(()), EarlierWeights::finish)?;
    let stage = Stage {
        name: "autoencoder",
        steps: options.vae_steps,
        rate: RATE,
        checkpoint_every: options.checkpoint_every,
        path,
    };
    let learn = |step, pixels: &Vec<f32>| {
        let draw = |moments: &[f32], channels| {
            Sample::draw(moments, channels, &mut rng::stream(seed, "posterior", step))
        };
        on_pool(|| pass(&engine, &encoder, &decoder, pixels, draw))
    };
    stage.learn(&mut state, progress, move |step| Ok(crops(seed, step)), learn, |_| Ok(()))?;
    Ok(state)
}

/// The loss of one batch of crops, and the gradients of every weight.
fn pass(
    engine: &CandleEngine,
    encoder: &VaeEncoder<CandleEngine>,
    decoder: &VaeDecoder<CandleEngine>,
    pixels: &[f32],
    draw: impl Fn(&[f32], usize) -> Sample,
) -> Result<(f64, Gradients), PretrainError> {
    let x = engine.from_slice(pixels, &[BATCH, CROP, CROP, 3])?;
    let moments = encoder.forward(engine, &x)?;
    let shape = engine.shape(&moments);
    let sample = draw(&engine.to_vec(&moments)?, shape[3] / 2);
    let latents = [shape[0], shape[1], shape[2], shape[3] / 2];
    let z = Tensor::leaf(engine.from_slice(&sample.z, &latents)?.value().clone());
    let image = decoder.forward(engine, &z)?;
    let (loss, seed_gradient) = reconstruction(&engine.to_vec(&image)?, pixels, SMOOTH);
    let image_gradient = engine.from_slice(&seed_gradient, &engine.shape(&image))?;
    let mut gradients = backward(&[(&image, image_gradient.value().clone())])?;
    let dz = gradients.take(&z).ok_or(PretrainError::Renderer)?;
    let moments_gradient = sample.gradient(&engine.to_vec(&Tensor::constant(dz))?);
    let moments_gradient = engine.from_slice(&moments_gradient, &shape)?;
    gradients.accumulate(backward(&[(&moments, moments_gradient.value().clone())])?)?;
    Ok((loss, gradients))
}

/// Latents drawn from the encoder's Gaussians.
pub(super) struct Sample {
    pub(super) z: Vec<f32>,
    moments: Vec<f32>,
    noise: Vec<f32>,
    channels: usize,
}

const LOGVAR_RANGE: (f32, f32) = (-30.0, 20.0);

impl Sample {
    pub(super) fn draw(moments: &[f32], channels: usize, stream: &mut rng::Stream) -> Self {
        let noise = rng::normal(stream, moments.len() / 2);
        let mut z = Vec::with_capacity(noise.len());
        for (moments, noise) in moments.chunks_exact(2 * channels).zip(noise.chunks_exact(channels)) {
            let (mean, logvar) = moments.split_at(channels);
            z.extend(mean.iter().zip(logvar).zip(noise).map(|((mean, logvar), noise)| {
                mean + (0.5 * logvar.clamp(LOGVAR_RANGE.0, LOGVAR_RANGE.1)).exp() * noise
            }));
        }
        Self { z, moments: moments.to_vec(), noise, channels }
    }

    /// The gradient of means and log variances: through the drawn latents, plus the Kullback-Leibler term's.
    fn gradient(&self, dz: &[f32]) -> Vec<f32> {
        let kl = KL_WEIGHT / self.z.len() as f32;
        let c = self.channels;
        let mut out = Vec::with_capacity(self.moments.len());
        for ((moments, noise), dz) in
            self.moments.chunks_exact(2 * c).zip(self.noise.chunks_exact(c)).zip(dz.chunks_exact(c))
        {
            let (mean, logvar) = moments.split_at(c);
            out.extend(dz.iter().zip(mean).map(|(dz, mean)| dz + kl * mean));
            out.extend(dz.iter().zip(noise).zip(logvar).map(|((dz, noise), logvar)| {
                if *logvar < LOGVAR_RANGE.0 || *logvar > LOGVAR_RANGE.1 {
                    return 0.0;
                }
                dz * noise * 0.5 * (0.5 * logvar).exp() + kl * 0.5 * (logvar.exp() - 1.0)
            }));
        }
        out
    }
}

/// Mean absolute error of pixels and of differences between neighbours, by squares below `smooth`, and its gradient.
pub(super) fn reconstruction(found: &[f32], wanted: &[f32], smooth: f32) -> (f64, Vec<f32>) {
    const C: usize = 3;
    let scale = 1.0 / found.len() as f32;
    let error: Vec<f32> = found.iter().zip(wanted).map(|(a, b)| a - b).collect();
    let charbonnier = |e: f32| {
        let root = (e * e + smooth * smooth).sqrt();
        (root - smooth, e / root)
    };
    let mut gradient = vec![0f32; found.len()];
    let mut loss = 0f64;
    for (error, gradient) in error.iter().zip(&mut gradient) {
        let (value, slope) = charbonnier(*error);
        loss += f64::from(value);
        *gradient += slope * scale;
    }
    for (error, gradient) in error.chunks_exact(C).zip(gradient.chunks_exact_mut(C)) {
        let grey = error.iter().sum::<f32>() / C as f32;
        // The differences from grey sum to nothing, so the derivative through the mean cancels.
        for (error, gradient) in error.iter().zip(gradient) {
            *gradient += CHROMA_WEIGHT * scale * (error - grey);
        }
    }
    let image = CROP * CROP * C;
    for at in 0..error.len() {
        let (x, y) = (at % (CROP * C) / C, at % image / (CROP * C));
        for (inside, offset) in [(x + 1 < CROP, C), (y + 1 < CROP, CROP * C)] {
            if inside {
                let slope = EDGE_WEIGHT * scale * charbonnier(error[at + offset] - error[at]).1;
                gradient[at + offset] += slope;
                gradient[at] -= slope;
            }
        }
    }
    (loss * f64::from(scale), gradient)
}
