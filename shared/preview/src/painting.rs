//! Sampling, with a picture after each step.

use mudi_diffusion::schedule::{Sampler, SamplerKind, mean_shifted_start};
use mudi_diffusion::texts::TextStates;
use mudi_diffusion::unet::{AddedConditioning, UNetInput};
use mudi_diffusion::{Engine, Readable};
use mudi_domain::rng;

use crate::error::PreviewError;
use crate::model::Model;

/// A layout as it is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Canvas {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[height, width, 3]`, 0 to 255.
    pub pixels: Vec<u8>,
    /// Where subjects are, at the size of latents: `[height / r, width / r]`, 0 to 1.
    pub mask: Vec<f32>,
}

/// What is to be painted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The text.
    pub prompt: String,
    /// What guidance leads away from; empty for nothing.
    pub negative: String,
    /// The layout, for a mean-shifted start.
    pub canvas: Option<Canvas>,
    /// How strongly the start is shifted towards it.
    pub gamma: f32,
    /// Seed of the noise.
    pub seed: u64,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Karras' spacing of noise levels; none as the model's schedule has it.
    pub karras: Option<bool>,
    /// Steps of the sampler.
    pub steps: usize,
    /// Classifier-free guidance scale; 1 and less leave it out.
    pub guidance: f32,
    /// Multiplies the LoRA's own scale.
    pub lora_scale: f32,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

/// A model, and what it has encoded last.
pub struct Painter<E: Engine> {
    engine: E,
    model: Model<E>,
    text: Option<(TextKey, TextStates<E>)>,
}

/// What texts depend on: prompt, what guidance leads away from, whether there is guidance, and the LoRA's scale.
type TextKey = (String, String, bool, f32);

/// A picture on its way.
pub struct Painting<E: Engine> {
    wish: Wish,
    sampler: Sampler,
    text: TextStates<E>,
    /// Height and width of latents.
    size: [usize; 2],
    latents: Latents<E>,
    step: usize,
}

/// Where latents are: those of the start are made on the device, later ones by the sampler.
enum Latents<E: Engine> {
    Start(E::Tensor),
    Known(Vec<f32>),
}

impl<E: Engine> Painting<E> {
    /// Steps that have been made.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }

    /// Whether all steps have been made.
    #[must_use]
    pub fn done(&self) -> bool {
        self.step >= self.wish.steps
    }
}

impl<E: Readable> Painter<E> {
    /// A painter with that model.
    pub fn new(engine: E, model: Model<E>) -> Self {
        Self { engine, model, text: None }
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The model.
    pub fn model(&self) -> &Model<E> {
        &self.model
    }

    /// Encodes the text and the layout of a wish. Nothing is waited for.
    ///
    /// # Errors
    /// Wishes that the model cannot fulfil; engine errors.
    pub fn begin(&mut self, wish: Wish) -> Result<Painting<E>, PreviewError> {
        let guided = wish.guidance > 1.0;
        let key = (wish.prompt.clone(), wish.negative.clone(), guided, wish.lora_scale);
        let text = match &self.text {
            Some((known, text)) if *known == key => text.clone(),
            _ => {
                let text = self.encode_texts(&wish, guided)?;
                self.text = Some((key, text.clone()));
                text
            }
        };
        let model = &self.model;
        let karras = model.schedule.karras(wish.sampler, wish.karras);
        let sampler = Sampler::new(wish.sampler, &model.schedule, wish.steps, karras)?;
        let own = [model.resolution(); 2];
        let [height, width] = wish.canvas.as_ref().map_or(own, |canvas| [canvas.height, canvas.width]);
        let reduction = model.decoder.reduction;
        if [height, width].iter().any(|side| *side == 0 || !side.is_multiple_of(reduction)) {
            return Err(PreviewError::Wish(format!(
                "the layout has {width} x {height} pixels; multiples of {reduction} are needed"
            )));
        }
        let size = [height / reduction, width / reduction];
        let latents = Latents::Start(self.start(&wish, &sampler, size)?);
        Ok(Painting { wish, sampler, text, size, latents, step: 0 })
    }

    /// The prompt's states, after those of what guidance leads away from where there is any.
    fn encode_texts(&self, wish: &Wish, guided: bool) -> Result<TextStates<E>, PreviewError> {
        let (engine, texts) = (&self.engine, &self.model.texts);
        let prompt = texts.prompt(&wish.prompt)?;
        if !guided {
            return Ok(texts.encode(engine, &[&prompt], wish.lora_scale)?);
        }
        let mut tokens = [prompt, texts.prompt(&wish.negative)?];
        texts.level(&mut tokens);
        let [prompt, negative] = &tokens;
        let positive = texts.encode(engine, &[prompt], wish.lora_scale)?;
        let negative = texts.encode_negative(engine, negative, wish.lora_scale)?;
        Ok(TextStates {
            context: engine.concat(&negative.context, &positive.context, 0)?,
            pooled: match (&negative.pooled, &positive.pooled) {
                (Some(negative), Some(positive)) => Some(engine.concat(negative, positive, 0)?),
                _ => None,
            },
        })
    }

    /// Latents of the start, `[1, h, w, C]`: noise, shifted towards the encoded layout where there is one.
    fn start(&self, wish: &Wish, sampler: &Sampler, [h, w]: [usize; 2]) -> Result<E::Tensor, PreviewError> {
        let (engine, model) = (&self.engine, &self.model);
        let channels = model.decoder.channels;
        let noise = rng::normal(&mut rng::stream(wish.seed, "start", 0), h * w * channels);
        let deviation = sampler.init_noise_sigma();
        let noise: Vec<f32> = noise.iter().map(|v| v * deviation).collect();
        let noise = engine.from_slice(&noise, &[1, h, w, channels])?;
        let Some(canvas) = wish.canvas.as_ref().filter(|_| wish.gamma != 0.0) else { return Ok(noise) };
        let Canvas { width, height, .. } = *canvas;
        if canvas.pixels.len() != height * width * 3 || canvas.mask.len() != h * w {
            return Err(PreviewError::Wish(format!(
                "a layout of {width} x {height} pixels has {} values and a mask of {}; expected {} and {}",
                canvas.pixels.len(),
                canvas.mask.len(),
                height * width * 3,
                h * w,
            )));
        }
        // Where the server refuses a layout, because nothing of it would be seen, it is refused here.
        mean_shifted_start(&[], wish.gamma, &[], sampler)?;
        let pixels: Vec<f32> = canvas.pixels.iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
        let pixels = engine.from_slice(&pixels, &[1, height, width, 3])?;
        let mean = model.encoder.latents(engine, &pixels, channels)?;
        let strength = wish.gamma * sampler.init_signal() * model.decoder.scaling as f32;
        let mask: Vec<f32> =
            canvas.mask.iter().flat_map(|mask| std::iter::repeat_n(mask * strength, channels)).collect();
        let mask = engine.from_slice(&mask, &[1, h, w, channels])?;
        Ok(engine.add(&engine.mul(&mean, &mask)?, &noise)?)
    }

    /// Makes the next step; what the finished picture will be like, by what is known so far.
    ///
    /// # Errors
    /// Engine errors; a painting that is done; [`PreviewError::NotNumbers`].
    pub async fn step(&self, painting: &mut Painting<E>) -> Result<Picture, PreviewError> {
        let engine = &self.engine;
        let (wish, at) = (&painting.wish, painting.step);
        let Some(&timestep) = painting.sampler.timesteps().get(at).filter(|_| at < wish.steps) else {
            return Err(PreviewError::Wish("the picture is finished".to_owned()));
        };
        let [h, w] = painting.size;
        let channels = self.model.decoder.channels;
        let shape = [1, h, w, channels];
        let count = h * w * channels;
        let latents = match &painting.latents {
            Latents::Start(latents) => latents.clone(),
            Latents::Known(latents) => engine.from_slice(latents, &shape)?,
        };
        // Scaling is the same for all values.
        let mut scale = [1.0];
        painting.sampler.scale_model_input(&mut scale, at)?;
        let scaled = if scale == [1.0] { latents.clone() } else { engine.scale(&latents, scale[0])? };
        let prediction = self.predict(painting, &scaled, timestep)?;
        // Everything comes back at once: waiting for the device is what takes time.
        let mut together = engine.reshape(&prediction, &[1, count])?;
        let start = match &painting.latents {
            Latents::Start(_) => {
                together = engine.concat(&together, &engine.reshape(&latents, &[1, count])?, 1)?;
                count
            }
            Latents::Known(_) => 0,
        };
        // The last step's picture is that of the latents which it leads to.
        let last = at + 1 == wish.steps;
        let mut picture = None;
        if !last {
            let expected = self.expected(&scaled, &prediction, painting.sampler.alpha_bar(at))?;
            let decoded = self.decode(&expected)?;
            let size = engine.shape(&decoded);
            let flat = engine.reshape(&decoded, &[1, size.iter().product()])?;
            together = engine.concat(&together, &flat, 1)?;
            picture = Some(size);
        }
        let values = engine.read(&together).await?;
        let (prediction, rest) = values.split_at(count);
        let (start, decoded) = rest.split_at(start);
        let mut after = match &mut painting.latents {
            Latents::Start(_) => start.to_vec(),
            Latents::Known(known) => std::mem::take(known),
        };
        let noise = painting
            .sampler
            .needs_noise()
            .then(|| rng::normal(&mut rng::stream(painting.wish.seed, "ancestral", at as u64), count));
        painting.sampler.step(at, prediction, &mut after, noise.as_deref())?;
        painting.step += 1;
        if !are_numbers(&after) {
            return Err(PreviewError::NotNumbers { step: painting.step });
        }
        let picture = match picture {
            Some(size) => pixels(decoded, &size),
            None => {
                let decoded = self.decode(&engine.from_slice(&after, &shape)?)?;
                let values = engine.read(&decoded).await?;
                // Of those on the way one may be black; latents of a later step can be decoded.
                if !are_numbers(&values) {
                    return Err(PreviewError::NotNumbers { step: painting.step });
                }
                pixels(&values, &engine.shape(&decoded))
            }
        };
        painting.latents = Latents::Known(after);
        Ok(picture)
    }

    /// What the UNet says of `scaled` latents, with guidance: `[1, h, w, C]`.
    fn predict(
        &self,
        painting: &Painting<E>,
        scaled: &E::Tensor,
        timestep: f32,
    ) -> Result<E::Tensor, PreviewError> {
        let engine = &self.engine;
        let guidance = painting.wish.guidance;
        let guided = guidance > 1.0;
        let batch = if guided { 2 } else { 1 };
        let reduction = self.model.decoder.reduction as f32;
        let [height, width] = painting.size.map(|length| length as f32 * reduction);
        let input = UNetInput {
            sample: if guided { engine.concat(scaled, scaled, 0)? } else { scaled.clone() },
            timesteps: vec![timestep; batch],
            encoder_hidden_states: painting.text.context.clone(),
            added: painting.text.pooled.clone().map(|text_embeds| AddedConditioning {
                text_embeds,
                time_ids: [height, width, 0.0, 0.0, height, width].repeat(batch),
            }),
            lora_scale: painting.wish.lora_scale,
        };
        let output = self.model.unet.forward(engine, &input)?;
        if !guided {
            return Ok(output);
        }
        // Without, plus guidance times with less without.
        let without = engine.scale(&engine.slice(&output, 0, 0, 1)?, 1.0 - guidance)?;
        let with = engine.scale(&engine.slice(&output, 0, 1, 1)?, guidance)?;
        Ok(engine.add(&without, &with)?)
    }

    /// The clean latents that a prediction implies for noisy ones of unit variance.
    fn expected(
        &self,
        noisy: &E::Tensor,
        prediction: &E::Tensor,
        alpha_bar: f64,
    ) -> Result<E::Tensor, PreviewError> {
        let (of_noisy, of_prediction) = self.model.schedule.prediction_type().clean(alpha_bar);
        let engine = &self.engine;
        let noisy = engine.scale(noisy, of_noisy as f32)?;
        Ok(engine.add(&noisy, &engine.scale(prediction, of_prediction as f32)?)?)
    }

    /// Pixels of latents, `[1, H, W, 3]`, about -1..=1.
    fn decode(&self, latents: &E::Tensor) -> Result<E::Tensor, PreviewError> {
        Ok(self.model.decoder.pixels(&self.engine, latents)?)
    }
}

/// Whether a device has not run out of numbers: those of 16 bits end at 65,504.
pub(crate) fn are_numbers(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

pub(crate) fn pixels(values: &[f32], shape: &[usize]) -> Picture {
    let pixels = values.iter().map(|v| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect();
    Picture { width: shape[2], height: shape[1], pixels }
}
