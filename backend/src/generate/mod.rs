//! Sampling: from noise, or from noise shifted towards a layout of the subjects (MuDI, section 4.2).

mod approximate;
pub(crate) mod picture;
mod start;

pub use approximate::colours;
pub use picture::{Parameters, encode_png, write_png};
pub use start::{Placing, Start, layout_start};

use image::RgbImage;
use mudi_diffusion::Engine;
use mudi_diffusion::schedule::{Sampler, SamplerKind, ScheduleError, guidance, mean_shifted_start};
use mudi_domain::rng;

use crate::base::{Base, BaseError, EncodedPrompts, Texts};
use crate::interrupt::Interrupt;

/// Why no picture was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The base model failed.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The sampler was asked for something that it does not do.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The layout cannot be drawn.
    #[error("the layout cannot be drawn: {0}; mend the layout file, or ask for `--layout random`")]
    Layout(#[from] mudi_domain::layout::LayoutError),
    /// A random layout cannot be made of these subjects.
    #[error("no random layout can be made: {0}")]
    Collage(#[from] mudi_domain::collage::CollageError),
    /// Given noise has another size than the latents.
    #[error("the given noise has {found} values, but {expected} are needed")]
    Noise {
        /// Values that were given.
        found: usize,
        /// Values of one picture's latents.
        expected: usize,
    },
    /// The latents are not made of numbers any more.
    #[error(
        "after step {step} the picture is not made of numbers any more; lower --guidance and the weights of LoRAs, or take another base: this one may be damaged"
    )]
    NotNumbers {
        /// The step, from 1.
        step: usize,
    },
    /// It was asked to stop.
    #[error("sampling was interrupted")]
    Interrupted,
}

/// How pictures are sampled.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Steps of the sampler.
    pub steps: usize,
    /// Classifier-free guidance scale; 1 leaves it out.
    pub guidance: f32,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Karras' spacing of noise levels.
    pub karras: bool,
    /// How strongly the start is shifted towards the layout; 0 is plain sampling.
    pub gamma: f32,
    /// Multiplies the LoRA's own scale.
    pub lora_scale: f32,
    /// Looked at before each step.
    pub interrupt: Interrupt,
}

impl Settings {
    /// Twenty Euler steps at the base's own size, spaced as its schedule has it.
    #[must_use]
    pub fn for_base(base: &Base) -> Self {
        let side = base.resolution();
        let sampler = SamplerKind::default();
        Self {
            size: [side, side],
            steps: 20,
            guidance: 5.0,
            sampler,
            karras: base.schedule.karras(sampler, None),
            gamma: 0.0,
            lora_scale: 1.0,
            interrupt: Interrupt::default(),
        }
    }
}

/// A step that was made.
pub struct Step<'a> {
    /// Its number, from 1.
    pub number: usize,
    noisy: &'a [f32],
    prediction: &'a [f32],
    /// How much of each the clean latents are.
    shares: (f32, f32),
}

impl Step<'_> {
    /// The clean latents that it implies: what the pictures will be like, `[B, h, w, C]`.
    #[must_use]
    pub fn clean(&self) -> Vec<f32> {
        let (of_noisy, of_prediction) = self.shares;
        let pairs = self.noisy.iter().zip(self.prediction);
        pairs.map(|(noisy, prediction)| of_noisy * noisy + of_prediction * prediction).collect()
    }
}

/// The noise that the picture of `seed` starts from.
#[must_use]
pub fn start_noise(seed: u64, len: usize) -> Vec<f32> {
    rng::normal(&mut rng::stream(seed, "start", 0), len)
}

/// Repeats the one text of `text` for a batch.
pub(crate) fn repeated(text: &EncodedPrompts, batch: usize) -> EncodedPrompts {
    EncodedPrompts {
        context: text.context.repeat(batch),
        pooled: text.pooled.as_ref().map(|pooled| pooled.repeat(batch)),
        ..text.clone()
    }
}

/// One text after the other, in one batch.
pub(crate) fn joined(first: &EncodedPrompts, second: &EncodedPrompts) -> EncodedPrompts {
    EncodedPrompts {
        context: [first.context.as_slice(), &second.context].concat(),
        pooled: match (&first.pooled, &second.pooled) {
            (Some(a), Some(b)) => Some([a.as_slice(), b].concat()),
            _ => None,
        },
        ..first.clone()
    }
}

/// Samples a picture for each of `starts`, all of one prompt, as latents `[B, h, w, C]`. `progress` is called after each
/// step.
///
/// # Errors
/// [`GenerateError`].
pub fn sample(
    base: &Base,
    [positive, other]: &Texts,
    settings: &Settings,
    starts: &[Start],
    progress: impl FnMut(&Step<'_>),
) -> Result<Vec<f32>, GenerateError> {
    let batch = starts.len();
    if batch == 0 {
        return Ok(Vec::new());
    }
    let [h, w] = base.latent_size(settings.size[0], settings.size[1])?;
    let each = h * w * base.vae.config.latent_channels;
    let positive = repeated(positive, batch);
    let text = if is_guided(settings) { joined(&repeated(other, batch), &positive) } else { positive };
    let sampler = Sampler::new(settings.sampler, &base.schedule, settings.steps, settings.karras)?;
    let mut latents = Vec::with_capacity(batch * each);
    for start in starts {
        let noise = start.noise.clone().unwrap_or_else(|| start_noise(start.seed, each));
        if noise.len() != each {
            return Err(GenerateError::Noise { found: noise.len(), expected: each });
        }
        match &start.mean {
            Some(mean) => latents.extend(mean_shifted_start(mean, settings.gamma, &noise, &sampler)?),
            None => latents.extend(mean_shifted_start(&vec![0.0; each], 0.0, &noise, &sampler)?),
        }
    }
    let seeds = starts.iter().map(|start| start.seed).collect();
    Denoising { base, text, settings, sampler, seeds }.run(0, latents, progress)
}

/// What takes noise from a batch of latents.
pub(crate) struct Denoising<'a> {
    pub(crate) base: &'a Base,
    /// The prompt of each sample; where there is guidance, before them what it leads away from, as often.
    pub(crate) text: EncodedPrompts,
    pub(crate) settings: &'a Settings,
    pub(crate) sampler: Sampler,
    /// Of each sample, for a sampler with noise of its own.
    pub(crate) seeds: Vec<u64>,
}

impl Denoising<'_> {
    /// Takes the steps from `first` on, of latents `[B, h, w, C]` with the noise of that step. `progress` is called after each.
    pub(crate) fn run(
        mut self,
        first: usize,
        mut latents: Vec<f32>,
        mut progress: impl FnMut(&Step<'_>),
    ) -> Result<Vec<f32>, GenerateError> {
        let Self { base, text, settings, sampler, seeds } = &mut self;
        let batch = seeds.len();
        let each = latents.len() / batch.max(1);
        let guided = is_guided(settings);
        for step in first..settings.steps {
            if settings.interrupt.is_set() {
                return Err(GenerateError::Interrupted);
            }
            let mut scaled = latents.clone();
            sampler.scale_model_input(&mut scaled, step)?;
            if guided {
                scaled = scaled.repeat(2);
            }
            let timestep = sampler.timesteps()[step];
            let count = if guided { 2 * batch } else { batch };
            let parts = base.engine.on_parts(count, |part| -> Result<Vec<f32>, BaseError> {
                let scaled = &scaled[part.start * each..part.end * each];
                let (timesteps, text) = (vec![timestep; part.len()], text.part(part, count));
                let input = base.input(scaled, settings.size, timesteps, &text, settings.lora_scale)?;
                Ok(base.engine.to_vec(&base.unet.forward(&base.engine, &input)?.detached())?)
            });
            let output = parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
            let prediction = if guided {
                let (without, with) = output.split_at(batch * each);
                guidance(without, with, settings.guidance)?
            } else {
                output
            };
            let noise: Option<Vec<f32>> = sampler.needs_noise().then(|| {
                let drawn = |&seed: &u64| rng::normal(&mut rng::stream(seed, "ancestral", step as u64), each);
                seeds.iter().flat_map(drawn).collect()
            });
            let (of_noisy, of_prediction) = base.schedule.prediction_type().clean(sampler.alpha_bar(step));
            let shares = (of_noisy as f32, of_prediction as f32);
            sampler.step(step, &prediction, &mut latents, noise.as_deref())?;
            if latents.iter().any(|value| !value.is_finite()) {
                return Err(GenerateError::NotNumbers { step: step + 1 });
            }
            let noisy = &scaled[..batch * each];
            progress(&Step { number: step + 1, noisy, prediction: &prediction, shares });
        }
        Ok(latents)
    }
}

/// Less than the prompt alone is no guidance: turbo models are published with a scale of 0, which means that.
fn is_guided(settings: &Settings) -> bool {
    settings.guidance > 1.0
}

/// Samples and decodes.
///
/// # Errors
/// [`GenerateError`].
pub fn pictures(
    base: &Base,
    texts: &Texts,
    settings: &Settings,
    starts: &[Start],
    progress: impl FnMut(&Step<'_>),
) -> Result<Vec<RgbImage>, GenerateError> {
    let latents = sample(base, texts, settings, starts, progress)?;
    let size = base.latent_size(settings.size[0], settings.size[1])?;
    Ok(base.decode_latents(&latents, size)?)
}
