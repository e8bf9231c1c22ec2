//! The networks of a base model.

use std::collections::BTreeMap;

use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::texts::TextEncoders;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::{Component, Engine, parse};

use crate::coder::{self, Decoder, Encoder};
use crate::error::PreviewError;
use crate::lora::Lora;
use crate::weights::SafetensorsWeights;

/// The contents of a model's files, by their paths in its folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A base model on an engine: SD 1.5, SD 2.1, SDXL and the pocket models.
pub struct Model<E: Engine> {
    pub(crate) texts: TextEncoders<E>,
    pub(crate) unet: UNet<E>,
    pub(crate) encoder: Encoder<E>,
    pub(crate) decoder: Decoder<E>,
    pub(crate) schedule: NoiseSchedule,
}

fn text<'a>(files: &'a Files, name: &str) -> Result<Option<&'a str>, PreviewError> {
    files
        .get(name)
        .map(|bytes| {
            std::str::from_utf8(bytes)
                .map_err(|error| PreviewError::File { name: name.to_owned(), reason: error.to_string() })
        })
        .transpose()
}

fn needed<'a>(files: &'a Files, name: &str) -> Result<&'a str, PreviewError> {
    text(files, name)?.ok_or_else(|| PreviewError::Missing { name: name.to_owned() })
}

pub(crate) fn config<C: serde::de::DeserializeOwned>(files: &Files, folder: &str) -> Result<C, PreviewError> {
    let name = format!("{folder}/config.json");
    parse(needed(files, &name)?).map_err(|error| PreviewError::File { name, reason: error.to_string() })
}

/// Builds a network from the weights called `name`, which are given back before the next one is built.
pub(crate) fn network<E: Engine, N>(
    engine: &E,
    files: &mut Files,
    name: &str,
    build: impl FnOnce(&mut SafetensorsWeights<'_, E>) -> mudi_diffusion::Result<N>,
) -> Result<N, PreviewError> {
    let bytes = files.remove(name).ok_or_else(|| PreviewError::Missing { name: name.to_owned() })?;
    Ok(build(&mut SafetensorsWeights::new(engine, name, &bytes)?)?)
}

/// What is read of a model's folder. Those whose names hold `_2` or `index`, and settings of tokenizers, may be missing; where there is a
/// tiny autoencoder ([`TINY`](crate::TINY)) nobody needs the usual one.
pub const FILES: [&str; 22] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder_2/config.json",
    "text_encoder_2/model.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer_2/vocab.json",
    "tokenizer_2/merges.txt",
    "tokenizer_2/tokenizer_config.json",
    "tokenizer_2/special_tokens_map.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "tokenizer/added_tokens.json",
    "tokenizer_2/added_tokens.json",
    "taesd/config.json",
    "taesd/diffusion_pytorch_model.safetensors",
];

impl<E: Engine> Model<E> {
    /// Builds the networks, and attaches `lora`, the bytes of a file and the alpha of its recipe. Each network's bytes are
    /// given back as soon as the engine has them.
    ///
    /// # Errors
    /// Files that are missing, damaged or do not belong together.
    pub fn load(engine: &E, mut files: Files, lora: Option<(&[u8], f32)>) -> Result<Self, PreviewError> {
        let files = &mut files;
        let mut lora = lora.map(|(bytes, alpha)| Lora::new(engine, bytes, alpha)).transpose()?;
        let first = text_encoder(engine, files, "", &mut lora)?;
        let second = files.contains_key("text_encoder_2/config.json");
        let second = second.then(|| text_encoder(engine, files, "_2", &mut lora)).transpose()?;
        let name = "scheduler/scheduler_config.json";
        let schedule = NoiseSchedule::from_json(needed(files, name)?)
            .map_err(|error| PreviewError::File { name: name.to_owned(), reason: error.to_string() })?;
        let (encoder, decoder) = coder::both(engine, files)?;
        let unet_config: UNetConfig = config(files, "unet")?;
        let pooled = unet_config.has_text_time();
        let texts = TextEncoders::new(first, second, pooled, zeros_for_empty_prompt(files, pooled)?);
        let unet = network(engine, files, "unet/diffusion_pytorch_model.safetensors", |weights| {
            let mut unet = UNet::new(unet_config, weights)?;
            if let Some(lora) = &mut lora {
                lora.attach(engine, Component::Unet, unet.adaptable(), weights)?;
            }
            Ok(unet)
        })?;
        lora.map_or(Ok(()), Lora::finish)?;
        Ok(Self { texts, unet, encoder, decoder, schedule })
    }

    /// Side of the square pictures that it was trained on, in pixels.
    #[must_use]
    pub fn resolution(&self) -> usize {
        self.unet.config.sample_size.unwrap_or(64) * self.decoder.reduction
    }
}

/// A text encoder with its tokenizer and what a LoRA has for it; the second one's folders end in `_2`.
fn text_encoder<E: Engine>(
    engine: &E,
    files: &mut Files,
    suffix: &str,
    lora: &mut Option<Lora<'_, E>>,
) -> Result<(Tokenizer, ClipText<E>), PreviewError> {
    let folder = format!("text_encoder{suffix}");
    let config: ClipTextConfig = config(files, &folder)?;
    let config = if suffix.is_empty() { config } else { config.of_second() };
    let tokenizer = tokenizer(files, &format!("tokenizer{suffix}"))?;
    let weights = format!("{folder}/model.safetensors");
    let component = if suffix.is_empty() { Component::TextEncoder } else { Component::TextEncoder2 };
    let encoder = network(engine, files, &weights, |weights| {
        let mut encoder = ClipText::new(config, weights)?;
        if let Some(lora) = lora {
            lora.attach(engine, component, encoder.adaptable(), weights)?;
        }
        Ok(encoder)
    })?;
    Ok((tokenizer, encoder))
}

/// `force_zeros_for_empty_prompt` of `model_index.json`, which folders made by hand may lack; SDXL's (`pooled`) is then set.
fn zeros_for_empty_prompt(files: &Files, pooled: bool) -> Result<bool, PreviewError> {
    let name = "model_index.json";
    let Some(text) = text(files, name)? else { return Ok(pooled) };
    let index: serde_json::Value = parse(text)
        .map_err(|error| PreviewError::File { name: name.to_owned(), reason: error.to_string() })?;
    Ok(index["force_zeros_for_empty_prompt"].as_bool().unwrap_or(pooled))
}

fn tokenizer(files: &Files, folder: &str) -> Result<Tokenizer, PreviewError> {
    let at = |name: &str| format!("{folder}/{name}");
    let (vocab, merges) = (needed(files, &at("vocab.json"))?, needed(files, &at("merges.txt"))?);
    let config = text(files, &at("tokenizer_config.json"))?;
    let special = text(files, &at("special_tokens_map.json"))?;
    let added = text(files, &at("added_tokens.json"))?;
    Tokenizer::from_folder_json(vocab, merges, config, special, added)
        .map_err(|error| PreviewError::File { name: folder.to_owned(), reason: error.to_string() })
}
