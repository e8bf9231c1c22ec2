//! A base model, loaded for training and generation.

mod error;
mod prompts;
mod source;
mod tiles;
mod vae;

use std::path::{Path, PathBuf};

pub use error::BaseError;
use image::RgbImage;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::{Component, Engine};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::Precision;
pub use prompts::{EncodedPrompts, TextEncoders, Texts};
pub use source::{Source, load_network, read_config};
pub(crate) use source::{load_tokenizer, read_text, weights_file};
pub use vae::Vae;

/// How weights are held under a recipe.
#[must_use]
pub fn precision(chosen: mudi_domain::recipe::Precision) -> Precision {
    match chosen {
        mudi_domain::recipe::Precision::Single => Precision::Single,
        mudi_domain::recipe::Precision::Half => Precision::Half,
    }
}

/// A base model in memory.
pub struct Base {
    /// The engine that runs it.
    pub engine: CandleEngine,
    /// Its folder or file.
    pub path: PathBuf,
    /// The denoiser.
    pub unet: UNet<CandleEngine>,
    /// The autoencoder.
    pub vae: Vae,
    /// The noise schedule that it was trained with.
    pub schedule: NoiseSchedule,
    /// The text encoders, where they are in memory.
    pub text: Option<TextEncoders>,
}

impl Base {
    /// Loads a folder in diffusers' layout or a checkpoint file: SD 1.5, SD 2.1, SDXL and the pocket models.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn load(path: &Path, precision: Precision) -> Result<Self, BaseError> {
        Self::from_source(&Source::open(path)?, precision)
    }

    /// Loads a base model, with the LoRAs and the autoencoder that `source` has been given.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn from_source(source: &Source, precision: Precision) -> Result<Self, BaseError> {
        let text = TextEncoders::load(source.engine(), source, precision)?;
        Ok(Self { text: Some(text), ..Self::without_text(source, precision)? })
    }

    /// Encodes a prompt and what guidance leads away from, lets the text encoders go, and loads the rest of a base model: so
    /// less has to be in memory at a time.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn for_prompt(
        source: &Source,
        precision: Precision,
        prompt: &str,
        negative: &str,
    ) -> Result<(Self, Texts), BaseError> {
        let engine = source.engine();
        let texts = TextEncoders::load(engine, source, precision)?.encode_pair(engine, prompt, negative)?;
        crate::allocator::give_back();
        Ok((Self::without_text(source, precision)?, texts))
    }

    /// Loads a base model without its text encoders.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn without_text(source: &Source, precision: Precision) -> Result<Self, BaseError> {
        let engine = source.engine().clone();
        let unet_config = source.unet_config()?;
        let schedule = source.schedule()?;
        let vae = Vae::load(&engine, source, precision)?;
        let unet = source
            .load(&engine, Component::Unet, precision, |parameters| UNet::new(unet_config, parameters))?;
        crate::allocator::give_back();
        Ok(Self { engine, path: source.path().to_owned(), unet, vae, schedule, text: None })
    }

    /// Side of the square pictures that it was trained on, in pixels.
    #[must_use]
    pub fn resolution(&self) -> usize {
        let latent = self.unet.config.sample_size.unwrap_or(64);
        latent * self.vae.config.reduction()
    }

    /// Height and width of latents for a picture.
    ///
    /// # Errors
    /// [`BaseError::Size`].
    pub fn latent_size(&self, height: usize, width: usize) -> Result<[usize; 2], BaseError> {
        self.vae.latent_size(height, width)
    }

    /// Encodes a prompt and what guidance leads away from.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`]; a base without its text encoders.
    pub fn encode_pair(&self, prompt: &str, negative: &str) -> Result<Texts, BaseError> {
        match &self.text {
            Some(text) => text.encode_pair(&self.engine, prompt, negative),
            None => Err(BaseError::Missing { path: self.path.join(Component::TextEncoder.folder()) }),
        }
    }

    /// The UNet's input for noisy latents `[B, h, w, C]`, with the sizes of a square or rectangular picture (in pixels)
    /// as SDXL is told them: original and target size the picture's, no crop.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn input(
        &self,
        latents: &[f32],
        [height, width]: [usize; 2],
        timesteps: Vec<f32>,
        text: &EncodedPrompts,
        lora_scale: f32,
    ) -> Result<UNetInput<CandleEngine>, BaseError> {
        let engine = &self.engine;
        let batch = timesteps.len();
        let [h, w] = self.latent_size(height, width)?;
        let sample = engine.from_slice(latents, &[batch, h, w, self.unet.config.in_channels])?;
        let states = engine.from_slice(&text.context, &[batch, text.tokens, text.width])?;
        let added = match &text.pooled {
            Some(pooled) => {
                let (height, width) = (height as f32, width as f32);
                Some(AddedConditioning {
                    text_embeds: engine.from_slice(pooled, &[batch, pooled.len() / batch])?,
                    time_ids: [height, width, 0.0, 0.0, height, width].repeat(batch),
                })
            }
            None => None,
        };
        Ok(UNetInput { sample, timesteps, encoder_hidden_states: states, added, lora_scale })
    }

    /// Means of the latents of pictures of one size, times the scaling factor: `[B, h, w, C]` row by row.
    ///
    /// # Errors
    /// [`BaseError::Size`]; engine errors.
    pub fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<f32>, BaseError> {
        self.vae.encode(&self.engine, images)
    }

    /// Pictures of latents `[B, h, w, C]` that were scaled by the scaling factor.
    ///
    /// # Errors
    /// Engine errors; [`BaseError::NoPicture`].
    pub fn decode_latents(&self, latents: &[f32], size: [usize; 2]) -> Result<Vec<RgbImage>, BaseError> {
        self.vae.decode(&self.engine, latents, size)
    }
}
