//! The text encoders and the denoiser as one network that learns: a batch's loss and the gradients of every weight.

use std::ops::Range;

use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::nn::Builder;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetConfig, UNetInput};
use mudi_diffusion::{Engine, Error, ParameterKind, Parameters, Result};
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, part_of};

/// Everything that one step is computed from.
#[derive(Clone, Default)]
pub(crate) struct Batch {
    /// Tokens of the captions, one caption after the other.
    pub(crate) ids: Vec<u32>,
    /// Noisy latents, `[B, h, w, C]`.
    pub(crate) noisy: Vec<f32>,
    /// The noise in them.
    pub(crate) noise: Vec<f32>,
    /// One for each sample.
    pub(crate) timesteps: Vec<f32>,
    /// What each sample's error counts, one for each sample.
    pub(crate) weights: Vec<f32>,
}

impl Batch {
    /// Some of the samples.
    fn part(&self, part: Range<usize>) -> Self {
        let count = self.timesteps.len();
        let values = |all: &[f32]| part_of(all, &part, count);
        Self {
            ids: part_of(&self.ids, &part, count),
            noisy: values(&self.noisy),
            noise: values(&self.noise),
            timesteps: values(&self.timesteps),
            weights: values(&self.weights),
        }
    }
}

/// A source whose names are put below a prefix, so that one state holds several networks.
struct Below<'a, 'b> {
    source: &'a mut TrainableWeights<'b>,
    prefix: &'static str,
}

impl Parameters<CandleEngine> for Below<'_, '_> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<Tensor> {
        let mut root: Builder<'_, CandleEngine> = Builder::new(self.source, self.prefix);
        root.parameter(name, shape, kind)
    }

    fn contains(&self, name: &str) -> bool {
        Parameters::<CandleEngine>::contains(self.source, name)
    }
}

/// The networks.
pub(crate) struct Learner {
    text_encoder: ClipText<CandleEngine>,
    text_encoder_2: ClipText<CandleEngine>,
    pub(crate) unet: UNet<CandleEngine>,
}

impl Learner {
    /// Networks whose weights come from `source`, under the names of the folders that they are saved in.
    pub(crate) fn new(
        unet: UNetConfig,
        first: ClipTextConfig,
        second: ClipTextConfig,
        source: &mut TrainableWeights<'_>,
    ) -> Result<Self> {
        Ok(Self {
            text_encoder: ClipText::new(first, &mut Below { source, prefix: "text_encoder" })?,
            text_encoder_2: ClipText::new(second, &mut Below { source, prefix: "text_encoder_2" })?,
            unet: UNet::new(unet, &mut Below { source, prefix: "unet" })?,
        })
    }

    /// The mean squared error of the predicted noise, and the gradients of its weighted mean; `size` is the pictures' height and width,
    /// in pixels.
    pub(crate) fn gradients(
        &self,
        engine: &CandleEngine,
        batch: &Batch,
        size: [usize; 2],
    ) -> Result<(f64, Gradients)> {
        let count = batch.timesteps.len();
        let mut loss = 0.0;
        let mut gradients = Gradients::default();
        for part in engine.on_parts(count, |part| self.pass(engine, &batch.part(part), count, size)) {
            let (part_loss, part_gradients) = part?;
            loss += part_loss;
            gradients.accumulate(part_gradients)?;
        }
        Ok((loss, gradients))
    }

    /// What some samples of a batch of `all` add to the loss and the gradients.
    fn pass(
        &self,
        engine: &CandleEngine,
        batch: &Batch,
        all: usize,
        size: [usize; 2],
    ) -> Result<(f64, Gradients)> {
        let count = batch.timesteps.len();
        let channels = self.unet.config.in_channels;
        // How many pixels a latent stands for, along either side.
        let cells = batch.noisy.len() / (count * channels);
        let reduction = ((size[0] * size[1] / cells) as f64).sqrt().round() as usize;
        let shape = [count, size[0] / reduction, size[1] / reduction, channels];
        let text = self.text_encoder.forward(engine, &batch.ids, count)?;
        let text_2 = self.text_encoder_2.forward(engine, &batch.ids, count)?;
        let pooled = text_2.pooled.ok_or_else(|| Error::Input {
            name: "text_embeds",
            reason: "the second text encoder has no projection".to_owned(),
        })?;
        let [height, width] = size.map(|side| side as f32);
        let input = UNetInput {
            sample: engine.from_slice(&batch.noisy, &shape)?,
            timesteps: batch.timesteps.clone(),
            encoder_hidden_states: engine.concat(&text.penultimate, &text_2.penultimate, 2)?,
            added: Some(AddedConditioning {
                text_embeds: pooled,
                time_ids: [height, width, 0.0, 0.0, height, width].repeat(count),
            }),
            lora_scale: 0.0,
        };
        let output = self.unet.forward(engine, &input)?;
        let found = engine.to_vec(&output)?;
        let mut gradient: Vec<f32> = found.iter().zip(&batch.noise).map(|(a, b)| a - b).collect();
        let each = found.len() / count;
        let loss = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / (all * each) as f64;
        for (gradient, weight) in gradient.chunks_exact_mut(each).zip(&batch.weights) {
            let scale = 2.0 * weight / (all * each) as f32;
            gradient.iter_mut().for_each(|g| *g *= scale);
        }
        let gradient = engine.from_slice(&gradient, &shape)?;
        Ok((loss, backward(&[(&output, gradient.value().clone())])?))
    }
}
