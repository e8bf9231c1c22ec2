//! Segment Anything (Kirillov et al., 2023) and MobileSAM (Zhang et al., 2023): masks from points, boxes and earlier masks.
//!
//! The image is embedded once ([`Sam::embed`]), which takes nearly all of the time; each prompt then is quick
//! ([`Sam::predict`]). Weights are asked for by the names of the authors' checkpoints; [`names`] reads transformers' files.

mod config;
mod decoder;
pub mod mask;
pub mod names;
mod neck;
mod photo;
mod positions;
mod prompt;
mod tiny_vit;
mod two_way;
mod vit;

use mudi_diffusion::nn::Builder;
use mudi_diffusion::{Engine, Error, Parameters, Result};

pub use config::{DecoderConfig, PromptConfig, Published, SamConfig, TinyVitConfig, VitConfig};
pub use photo::Fit;
pub use prompt::{Point, Prompt};

use decoder::MaskDecoder;
use prompt::PromptEncoder;
use tiny_vit::TinyViT;
use vit::Vit;

enum ImageEncoder<E: Engine> {
    Vit(Vit<E>),
    TinyViT(TinyViT<E>),
}

/// The three networks of a SAM.
pub struct Sam<E: Engine> {
    /// Its configuration.
    pub config: SamConfig,
    encoder: ImageEncoder<E>,
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

impl<E: Engine> Sam<E> {
    /// Builds the networks.
    ///
    /// # Errors
    /// A configuration that no SAM can have; weights that are missing or misshapen.
    pub fn new(engine: &E, config: SamConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        let mut root = Builder::new(parameters, "");
        let encoder = match &config.tiny_vit_config {
            Some(tiny) => ImageEncoder::TinyViT(TinyViT::new(engine, tiny, root.at("image_encoder"))?),
            None => ImageEncoder::Vit(Vit::new(config.vision_config.clone(), root.at("image_encoder"))?),
        };
        let prompts =
            PromptEncoder::new(engine, config.prompt_encoder_config.clone(), root.at("prompt_encoder"))?;
        let decoder = MaskDecoder::new(config.mask_decoder_config.clone(), root.at("mask_decoder"))?;
        Ok(Self { config, encoder, prompts, decoder })
    }

    /// The embedding, `[B, grid, grid, C]`, of normalized images `pixels [B, S, S, 3]`, `S` being
    /// [`SamConfig::image_size`].
    ///
    /// # Errors
    /// Images of another size.
    pub fn embed(&self, engine: &E, pixels: &E::Tensor) -> Result<E::Tensor> {
        let (side, shape) = (self.config.image_size(), engine.shape(pixels));
        if shape.len() != 4 || shape[0] == 0 || shape[1..] != [side, side, 3] {
            let reason = format!("shape {shape:?}, but this model reads [batch, {side}, {side}, 3]");
            return Err(Error::Input { name: "pixel_values", reason });
        }
        match &self.encoder {
            ImageEncoder::Vit(encoder) => encoder.forward(engine, pixels),
            ImageEncoder::TinyViT(encoder) => encoder.forward(engine, pixels),
        }
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
        let (grid, width) = (self.config.grid(), self.config.mask_decoder_config.hidden_size);
        let shape = engine.shape(embeddings);
        if shape != [prompts.len(), grid, grid, width] {
            let reason = format!(
                "shape {shape:?}, but {} prompts need {:?}",
                prompts.len(),
                [prompts.len(), grid, grid, width,]
            );
            return Err(Error::Input { name: "image_embeddings", reason });
        }
        let encoded = self.prompts.forward(engine, prompts)?;
        let which = if several { 1..self.config.mask_decoder_config.num_multimask_outputs + 1 } else { 0..1 };
        let positions = self.prompts.grid(engine)?;
        let (logits, ious) = self.decoder.forward(engine, embeddings, &positions, &encoded, which)?;
        Ok(Prediction { logits, ious })
    }
}
