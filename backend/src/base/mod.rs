//! A base model, loaded for training and generation.

mod error;
mod prompts;
mod sizes;
mod source;
mod tiles;
mod vae;

use std::path::{Path, PathBuf};

pub use error::BaseError;
use image::RgbImage;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::{Component, Engine};
use mudi_domain::recipe::Recipe;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::lora::{self, Attachment};
use mudi_engine_candle::weights::Precision;
pub use prompts::{EncodedPrompts, TextEncoders, TextStates, Texts, Tokens};
pub use sizes::Sizes;
pub use source::{Source, load_file, load_network, read_config};
pub(crate) use source::{
    VELOCITY_FLAG, ZERO_SNR_FLAG, checkpoint_schedule, is_around_checkpoint, load_tokenizer, read_text,
    weights_file,
};
pub use vae::Vae;

/// How weights are held under a recipe.
#[must_use]
pub fn precision(chosen: mudi_domain::recipe::Precision) -> Precision {
    match chosen {
        mudi_domain::recipe::Precision::Single => Precision::Single,
        mudi_domain::recipe::Precision::Half => Precision::Half,
        mudi_domain::recipe::Precision::Bf16 => Precision::Bf16,
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
    /// What guidance leads away from where nothing else is asked for; see [`Source::negative_prompt`].
    pub negative_prompt: &'static str,
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

    /// Encodes a prompt and what guidance leads away from (the base's own where none is given), lets the text encoders go, and loads the
    /// rest of a base model: so less has to be in memory at a time. A LoRA is attached to all of it; its scale is multiplied by the number beside it where the
    /// prompt is encoded.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn for_prompt(
        source: &Source,
        precision: Precision,
        prompt: &str,
        negative: Option<&str>,
        lora: Option<(&Attachment, f32)>,
    ) -> Result<(Self, Texts), BaseError> {
        let engine = source.engine();
        let mut encoders = TextEncoders::load(engine, source, precision)?;
        if let Some((lora, _)) = lora {
            encoders.attach(lora)?;
        }
        let scale = lora.map_or(1.0, |(_, scale)| scale);
        let negative = negative.map_or_else(|| source.negative_prompt(), Ok)?;
        let texts = encoders.encode_pair(engine, prompt, negative, scale)?;
        drop(encoders);
        crate::allocator::give_back();
        let mut base = Self::without_text(source, precision)?;
        if let Some((lora, _)) = lora {
            base.attach(lora)?;
        }
        Ok((base, texts))
    }

    /// Loads a base model without its text encoders.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn without_text(source: &Source, precision: Precision) -> Result<Self, BaseError> {
        let engine = source.engine().clone();
        let unet_config = source.unet_config()?;
        let schedule = source.schedule()?;
        let negative_prompt = source.negative_prompt()?;
        let vae = Vae::load(&engine, source, precision)?;
        let unet = source
            .load(&engine, Component::Unet, precision, |parameters| UNet::new(unet_config, parameters))?;
        crate::allocator::give_back();
        Ok(Self { engine, path: source.path().to_owned(), unet, vae, schedule, text: None, negative_prompt })
    }

    /// Attaches a LoRA to the networks that are in memory. What it has for text encoders that are not is of no use any more: texts are
    /// encoded with them before they are let go.
    ///
    /// # Errors
    /// [`BaseError::Lora`].
    pub fn attach(&mut self, lora: &Attachment) -> Result<(), BaseError> {
        lora.attach(Component::Unet, self.unet.adaptable())?;
        self.text.as_mut().map_or(Ok(()), |text| text.attach(lora))
    }

    /// Takes every LoRA away.
    pub fn detach(&mut self) {
        lora::detach(self.unet.adaptable());
        self.text.iter_mut().for_each(TextEncoders::detach);
    }

    /// The sizes of its pictures.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes::new(&self.unet.config, self.vae.config.reduction())
    }

    /// Side of the square pictures that it was trained on, in pixels.
    #[must_use]
    pub fn resolution(&self) -> usize {
        self.sizes().side
    }

    /// Height and width of the collages by which `recipe` teaches it, in pixels, and of the pictures that are then drawn.
    #[must_use]
    pub fn size_for(&self, recipe: &Recipe) -> [usize; 2] {
        self.sizes().size_for(Some(recipe), None)
    }

    /// Height and width of latents for a picture.
    ///
    /// # Errors
    /// [`BaseError::Size`].
    pub fn latent_size(&self, height: usize, width: usize) -> Result<[usize; 2], BaseError> {
        self.vae.latent_size(height, width)
    }

    /// Encodes a prompt and what guidance leads away from, with the LoRA that is attached.
    ///
    /// # Errors
    /// [`BaseError::Text`] and [`BaseError::Network`]; a base without its text encoders.
    pub fn encode_pair(&self, prompt: &str, negative: &str) -> Result<Texts, BaseError> {
        self.encode_pair_with(prompt, negative, 1.0)
    }

    /// The same with the LoRA's own scale multiplied by `lora_scale`.
    ///
    /// # Errors
    /// Those of [`encode_pair`](Self::encode_pair).
    pub fn encode_pair_with(
        &self,
        prompt: &str,
        negative: &str,
        lora_scale: f32,
    ) -> Result<Texts, BaseError> {
        match &self.text {
            Some(text) => text.encode_pair(&self.engine, prompt, negative, lora_scale),
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
        let text = text.on(&self.engine, timesteps.len())?;
        self.input_of(latents, [height, width], timesteps, text, lora_scale)
    }

    /// The same with texts that the engine has.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn input_of(
        &self,
        latents: &[f32],
        [height, width]: [usize; 2],
        timesteps: Vec<f32>,
        text: TextStates,
        lora_scale: f32,
    ) -> Result<UNetInput<CandleEngine>, BaseError> {
        let batch = timesteps.len();
        let [h, w] = self.latent_size(height, width)?;
        let sample = self.engine.from_slice(latents, &[batch, h, w, self.unet.config.in_channels])?;
        let (height, width) = (height as f32, width as f32);
        let added = text.pooled.map(|text_embeds| AddedConditioning {
            text_embeds,
            time_ids: [height, width, 0.0, 0.0, height, width].repeat(batch),
        });
        Ok(UNetInput { sample, timesteps, encoder_hidden_states: text.context, added, lora_scale })
    }

    /// Means of the latents of pictures of one size, times the scaling factor: `[B, h, w, C]` row by row.
    ///
    /// # Errors
    /// [`BaseError::Size`]; engine errors.
    pub fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<f32>, BaseError> {
        self.vae.encode(images)
    }

    /// Pictures of latents `[B, h, w, C]` that were scaled by the scaling factor.
    ///
    /// # Errors
    /// Engine errors; [`BaseError::NoPicture`].
    pub fn decode_latents(&self, latents: &[f32], size: [usize; 2]) -> Result<Vec<RgbImage>, BaseError> {
        self.vae.decode(latents, size)
    }
}
