//! Segment Anything (Kirillov et al., 2023) and MobileSAM (Zhang et al., 2023): masks from points, boxes and earlier masks.
//!
//! The image is embedded once ([`Sam::embed`]), which takes nearly all of the time; each prompt then is quick
//! ([`SamDecoder`], which a browser can run without the rest). Weights are asked for by the names of the authors'
//! checkpoints; [`names`] reads transformers' files.

mod config;
mod decoder;
pub mod embedding;
pub mod mask;
pub mod names;
mod neck;
mod photo;
mod positions;
mod prompt;
mod prompted;
mod tiny_vit;
mod two_way;
mod vit;

use mudi_diffusion::nn::Builder;
use mudi_diffusion::{Engine, Error, Parameters, Result};

pub use config::{DecoderConfig, PromptConfig, Published, SamConfig, TinyVitConfig, VitConfig};
pub use photo::Fit;
pub use prompt::{Point, Prompt};
pub use prompted::{Best, Prediction, SamDecoder};

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
    /// What makes masks of an embedding.
    pub decoder: SamDecoder<E>,
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
        let decoder = SamDecoder::new(engine, &config, parameters)?;
        Ok(Self { config, encoder, decoder })
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

    /// [`SamDecoder::predict`].
    ///
    /// # Errors
    /// As there.
    pub fn predict(
        &self,
        engine: &E,
        embeddings: &E::Tensor,
        prompts: &[Prompt],
        several: bool,
    ) -> Result<Prediction<E>> {
        self.decoder.predict(engine, embeddings, prompts, several)
    }
}
