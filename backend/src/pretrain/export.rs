//! Writing the pocket model as a folder that diffusers loads too.

use std::path::Path;

use candle_core::DType;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_engine_candle::weights::{NamedTensors, to_safetensors};
use serde_json::json;

use super::state::State;
use super::{PretrainError, architecture};
use crate::files::{create_folder, write_atomically};

/// Name of a weights file that diffusers writes.
pub(super) const DIFFUSERS_WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// Name of a weights file that transformers writes.
pub(super) const TRANSFORMERS_WEIGHTS: &str = "model.safetensors";

/// `tokenizer_config.json` of both tokenizers. [`architecture::TOKENS`] long.
pub(super) const TOKENIZER_CONFIG: &str = r#"{
  "tokenizer_class": "CLIPTokenizer",
  "model_max_length": 64,
  "bos_token": "<|startoftext|>",
  "eos_token": "<|endoftext|>",
  "pad_token": "<|endoftext|>",
  "unk_token": "<|endoftext|>"
}
"#;

pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), PretrainError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| PretrainError::Serialize(error.to_string()))?;
    text.push('\n');
    Ok(write_atomically(path, text.as_bytes())?)
}

/// The states of all stages.
#[derive(Clone, Copy)]
pub(super) struct States<'a> {
    pub(super) vae: &'a State,
    pub(super) decoder: &'a State,
    pub(super) diffusion: &'a State,
}

fn write_network(
    folder: &Path,
    file: &str,
    config: &impl serde::Serialize,
    weights: &NamedTensors,
) -> Result<(), PretrainError> {
    create_folder(folder)?;
    write_json(&folder.join("config.json"), config)?;
    let bytes = to_safetensors(weights, None).map_err(PretrainError::Serialize)?;
    Ok(write_atomically(&folder.join(file), &bytes)?)
}

/// Writes `out/vae`, with a decoder that has learnt on.
pub(super) fn vae(
    state: &State,
    decoder: Option<&State>,
    out: &Path,
    scaling_factor: f64,
) -> Result<(), PretrainError> {
    let mut config = architecture::vae()?;
    config.scaling_factor = scaling_factor;
    let mut weights = state.averaged("", DType::F16)?;
    if let Some(decoder) = decoder {
        weights.extend(decoder.averaged("", DType::F16)?);
    }
    write_network(&out.join("vae"), DIFFUSERS_WEIGHTS, &config, &weights)
}

/// Writes the whole model.
pub(super) fn model(
    out: &Path,
    States { vae, decoder, diffusion }: States<'_>,
    scaling_factor: f64,
    tokenizer: &Tokenizer,
    (vocab, merges): (&str, &str),
) -> Result<(), PretrainError> {
    create_folder(out)?;
    self::vae(vae, Some(decoder), out, scaling_factor)?;
    for (folder, second) in [("text_encoder", false), ("text_encoder_2", true)] {
        let config = architecture::text_encoder(tokenizer.vocab_size(), tokenizer.end_id(), second)?;
        let weights = diffusion.averaged(&format!("{folder}."), DType::F16)?;
        write_network(&out.join(folder), TRANSFORMERS_WEIGHTS, &config, &weights)?;
    }
    let weights = diffusion.averaged("unet.", DType::F16)?;
    write_network(&out.join("unet"), DIFFUSERS_WEIGHTS, &architecture::unet()?, &weights)?;
    for folder in ["tokenizer", "tokenizer_2"] {
        let folder = out.join(folder);
        create_folder(&folder)?;
        for (file, text) in
            [("vocab.json", vocab), ("merges.txt", merges), ("tokenizer_config.json", TOKENIZER_CONFIG)]
        {
            write_atomically(&folder.join(file), text.as_bytes())?;
        }
    }
    let scheduler = out.join("scheduler");
    create_folder(&scheduler)?;
    write_json(&scheduler.join("scheduler_config.json"), NoiseSchedule::stable_diffusion().config())?;
    let index = json!({
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": false,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    });
    write_json(&out.join("model_index.json"), &index)
}
