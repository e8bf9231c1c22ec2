//! Small bases of each family, with the heads and the vocabulary that checkpoint files imply.
//!
//! Everything here panics where a file cannot be written.

use std::path::Path;

use candle_core::DType;
use mudi_diffusion::Parameters;
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::parse;
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_domain::rng;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{TrainableWeights, named_for_file, to_safetensors};
use serde_json::{Value, json};

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// One of OpenAI's encoders, convolutions around the transformers.
    Sd15,
    /// One of OpenCLIP's encoders, velocity.
    Sd21,
    /// Both encoders, pooled text and sizes.
    Sdxl,
    /// The same with fewer transformers on the way down than up, and none in the middle, as SSD-1B.
    Distilled,
}

impl Family {
    /// Whether it has SDXL's encoders and latents.
    fn is_sdxl(self) -> bool {
        matches!(self, Self::Sdxl | Self::Distilled)
    }
}

/// Tokens of CLIP's vocabulary.
const VOCABULARY: usize = 49_408;

fn unet(family: Family) -> Value {
    let mut config = json!({
        "in_channels": 4, "out_channels": 4, "block_out_channels": [64, 128], "layers_per_block": 1, "sample_size": 16,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "attention_head_dim": [1, 2], "cross_attention_dim": 64, "use_linear_projection": true,
    });
    match family {
        Family::Sd15 => {
            config["attention_head_dim"] = json!(8);
            config["use_linear_projection"] = json!(false);
        }
        Family::Sd21 => {}
        Family::Sdxl | Family::Distilled => {
            config["down_block_types"] = json!(["DownBlock2D", "CrossAttnDownBlock2D"]);
            config["up_block_types"] = json!(["CrossAttnUpBlock2D", "UpBlock2D"]);
            config["transformer_layers_per_block"] = json!([1, 2]);
            config["cross_attention_dim"] = json!(128);
            config["addition_embed_type"] = json!("text_time");
            config["addition_time_embed_dim"] = json!(256);
            config["projection_class_embeddings_input_dim"] = json!(32 + 6 * 256);
        }
    }
    if family == Family::Distilled {
        config["transformer_layers_per_block"] = json!([1, [1]]);
        config["reverse_transformer_layers_per_block"] = json!([[1, 3], 1]);
        config["mid_block_type"] = json!("UNetMidBlock2D");
    }
    config
}

fn text_encoder(activation: &str, projection: Option<usize>) -> Value {
    let class = if projection.is_some() { "CLIPTextModelWithProjection" } else { "CLIPTextModel" };
    json!({
        "architectures": [class], "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 1, "max_position_embeddings": 77, "hidden_act": activation,
        "projection_dim": projection.unwrap_or(64),
    })
}

/// Writes a network with random weights, none of which is 0 or 1.
fn network<N>(
    folder: &Path,
    file: &str,
    config: &Value,
    new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) {
    let mut weights = TrainableWeights::new(|name, shape, _| {
        let count: usize = shape.iter().product();
        let fan_in: usize = shape.iter().skip(1).product();
        let deviation = if shape.len() < 2 { 0.1 } else { (fan_in as f32).powf(-0.5) };
        let middle = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        rng::normal(&mut rng::stream(7, name, 0), count).iter().map(|v| middle + deviation * v).collect()
    });
    new(&mut weights).expect("a configuration that is supported");
    let tensors = named_for_file(&weights.made, DType::F32).expect("tensors in memory");
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("config.json"), config.to_string()).expect("write");
    std::fs::write(folder.join(file), to_safetensors(&tensors, None).expect("a file in memory"))
        .expect("write");
}

/// Writes an autoencoder with levels of these widths, whose latents are multiplied by `scaling`.
pub fn autoencoder(folder: &Path, widths: &[usize], scaling: f64) {
    let config = json!({
        "block_out_channels": widths, "layers_per_block": 1, "latent_channels": 4, "scaling_factor": scaling,
    });
    let typed: VaeConfig = parse(&config.to_string()).expect("a configuration");
    network(folder, "diffusion_pytorch_model.safetensors", &config, |parameters| {
        Ok((VaeEncoder::new(&typed, parameters)?, VaeDecoder::new(&typed, parameters)?))
    });
}

/// Writes a whole base of a family as a folder in diffusers' layout; its tokenizer is CLIP's, `merges` the text of its
/// `merges.txt`.
pub fn write(folder: &Path, family: Family, merges: &str) {
    let config = unet(family);
    let typed: UNetConfig = parse(&config.to_string()).expect("a configuration");
    network(&folder.join("unet"), "diffusion_pytorch_model.safetensors", &config, |parameters| {
        UNet::new(typed, parameters)
    });
    autoencoder(&folder.join("vae"), &[32, 64], if family.is_sdxl() { 0.13025 } else { 0.18215 });
    let encoders = match family {
        Family::Sd15 => vec![("", text_encoder("quick_gelu", None), None)],
        Family::Sd21 => vec![("", text_encoder("gelu", None), Some("!"))],
        Family::Sdxl | Family::Distilled => vec![
            ("", text_encoder("quick_gelu", None), None),
            ("_2", text_encoder("gelu", Some(32)), Some("!")),
        ],
    };
    let vocabulary = mudi_diffusion::tokenizer::Tokenizer::vocabulary(merges).expect("merges");
    for (suffix, config, pad) in encoders {
        let typed: ClipTextConfig = parse(&config.to_string()).expect("a configuration");
        let name = format!("text_encoder{suffix}");
        network(&folder.join(&name), "model.safetensors", &config, |parameters| {
            ClipText::new(typed, parameters)
        });
        let tokenizer = folder.join(format!("tokenizer{suffix}"));
        std::fs::create_dir_all(&tokenizer).expect("a folder");
        let config = json!({ "model_max_length": 77, "pad_token": pad.unwrap_or("<|endoftext|>") });
        for (file, text) in [
            ("vocab.json", &vocabulary),
            ("merges.txt", &merges.to_owned()),
            ("tokenizer_config.json", &config.to_string()),
        ] {
            std::fs::write(tokenizer.join(file), text).expect("write");
        }
    }
    let prediction = if family == Family::Sd21 { "v_prediction" } else { "epsilon" };
    let scheduler = json!({
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "leading",
        "steps_offset": 1, "set_alpha_to_one": false, "prediction_type": prediction,
    });
    std::fs::create_dir_all(folder.join("scheduler")).expect("a folder");
    std::fs::write(folder.join("scheduler/scheduler_config.json"), scheduler.to_string()).expect("write");
    let index = json!({ "force_zeros_for_empty_prompt": family.is_sdxl() });
    std::fs::write(folder.join("model_index.json"), index.to_string()).expect("write");
}
