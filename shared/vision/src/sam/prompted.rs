//! What follows the image encoder: prompts and an image's embedding become masks.

use mudi_diffusion::nn::Builder;
use mudi_diffusion::{Engine, Error, Parameters, Readable, Result};

use super::config::SamConfig;
use super::decoder::MaskDecoder;
use super::prompt::{Prompt, PromptEncoder};

/// The prompt encoder and the mask decoder of a SAM: all that a click needs once the image is embedded.
pub struct SamDecoder<E: Engine> {
    grid: usize,
    image_size: usize,
    /// Channels of the image's embedding.
    width: usize,
    /// Masks for an ambiguous prompt.
    masks: usize,
    prompts: PromptEncoder<E>,
    decoder: MaskDecoder<E>,
}

/// What a prompt gives.
pub struct Prediction<E: Engine> {
    /// Logits, positive on the subject: `[B, masks, S, S]` with `S` of [`SamConfig::mask_size`].
    pub logits: E::Tensor,
    /// The decoder's own estimates of each mask's intersection over union with the truth, `[B, masks]`.
    pub ious: E::Tensor,
}

/// The mask that the decoder thinks best of.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Logits, row by row: a square of [`SamConfig::mask_size`].
    pub logits: Vec<f32>,
    /// The estimate of its intersection over union with the truth.
    pub iou: f32,
}

impl<E: Engine> SamDecoder<E> {
    /// Builds both networks; `parameters` may lack the weights of the image encoder.
    ///
    /// # Errors
    /// A configuration that no SAM can have; weights that are missing or misshapen.
    pub fn new(engine: &E, config: &SamConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let mut root = Builder::new(parameters, "");
        let prompts =
            PromptEncoder::new(engine, config.prompt_encoder_config.clone(), root.at("prompt_encoder"))?;
        let decoder = MaskDecoder::new(config.mask_decoder_config.clone(), root.at("mask_decoder"))?;
        Ok(Self {
            grid: config.grid(),
            image_size: config.image_size(),
            width: config.mask_decoder_config.hidden_size,
            masks: config.mask_decoder_config.num_multimask_outputs,
            prompts,
            decoder,
        })
    }

    /// The shape of one image's embedding: `[1, grid, grid, C]`.
    #[must_use]
    pub fn embedding_shape(&self) -> [usize; 4] {
        [1, self.grid, self.grid, self.width]
    }

    /// Side of the square that images are padded to, in pixels.
    #[must_use]
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// Side of the masks that come out, and of an earlier mask that goes in.
    #[must_use]
    pub fn mask_size(&self) -> usize {
        4 * self.grid
    }

    /// Masks for one prompt in each of the embedded images: three for an ambiguous prompt where `several`, else one.
    ///
    /// # Errors
    /// Embeddings of another shape or number; prompts that are empty or not alike (the same number of points in each, boxes
    /// and earlier masks in all or none).
    pub fn predict(
        &self,
        engine: &E,
        embeddings: &E::Tensor,
        prompts: &[Prompt],
        several: bool,
    ) -> Result<Prediction<E>> {
        let shape = engine.shape(embeddings);
        let needed = [prompts.len(), self.grid, self.grid, self.width];
        if shape != needed {
            let reason = format!("shape {shape:?}, but {} prompts need {needed:?}", prompts.len());
            return Err(Error::Input { name: "image_embeddings", reason });
        }
        let encoded = self.prompts.forward(engine, prompts)?;
        let which = if several { 1..self.masks + 1 } else { 0..1 };
        let positions = self.prompts.grid(engine)?;
        let (logits, ious) = self.decoder.forward(engine, embeddings, &positions, &encoded, which)?;
        Ok(Prediction { logits, ious })
    }
}

impl<E: Readable> SamDecoder<E> {
    /// The best mask for a prompt in one embedded image, of three where the prompt [is
    /// ambiguous](Prompt::is_ambiguous). The device is waited for once.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict), and what the device reports.
    pub async fn best(&self, engine: &E, embedding: &E::Tensor, prompt: &Prompt) -> Result<Best> {
        let prompts = std::slice::from_ref(prompt);
        let found = self.predict(engine, embedding, prompts, prompt.is_ambiguous())?;
        let count = engine.shape(&found.logits).iter().product();
        let logits = engine.reshape(&found.logits, &[1, count])?;
        let mut values = engine.read(&engine.concat(&logits, &found.ious, 1)?).await?;
        let ious = values.split_off(count);
        // The first of those that are alike, as where masks are sorted.
        let mut best = 0;
        for (index, iou) in ious.iter().enumerate() {
            if iou.total_cmp(&ious[best]).is_gt() {
                best = index;
            }
        }
        let each = self.mask_size() * self.mask_size();
        Ok(Best { logits: values[best * each..(best + 1) * each].to_vec(), iou: ious[best] })
    }
}
