//! The pocket model's architecture: SDXL's, with smaller numbers.

use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::unet::UNetConfig;
use mudi_diffusion::vae::VaeConfig;
use serde_json::json;

/// Side of the pictures, in pixels.
pub const RESOLUTION: usize = 96;
/// Tokens of a caption, with start and end.
pub const TOKENS: usize = 64;
/// Size of the vocabulary that is asked for; captions have fewer different words.
pub const VOCABULARY: usize = 1024;
const TEXT_WIDTH: usize = 96;

/// Parses a configuration that this file itself writes.
fn config<C: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<C, mudi_diffusion::Error> {
    serde_json::from_value(value).map_err(|error| mudi_diffusion::Error::Config(error.to_string()))
}

/// The autoencoder: 96 x 96 pixels to 24 x 24 latents of 4 channels.
///
/// # Errors
/// None in practice: the configuration is fixed.
pub fn vae() -> Result<VaeConfig, mudi_diffusion::Error> {
    config(json!({
        "block_out_channels": [16, 32, 64],
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
        "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 4, "sample_size": RESOLUTION,
        "scaling_factor": 1.0,
    }))
}

/// The first or (with projection) the second text encoder, for a vocabulary of `vocabulary` tokens.
///
/// # Errors
/// None in practice: the configuration is fixed.
pub fn text_encoder(
    vocabulary: usize,
    end_id: u32,
    second: bool,
) -> Result<ClipTextConfig, mudi_diffusion::Error> {
    config(json!({
        "architectures": [if second { "CLIPTextModelWithProjection" } else { "CLIPTextModel" }],
        "vocab_size": vocabulary, "hidden_size": TEXT_WIDTH, "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": 3, "num_attention_heads": 3, "max_position_embeddings": TOKENS,
        "hidden_act": if second { "gelu" } else { "quick_gelu" }, "projection_dim": TEXT_WIDTH,
        "eos_token_id": end_id,
    }))
}

/// The denoiser.
///
/// # Errors
/// None in practice: the configuration is fixed.
pub fn unet() -> Result<UNetConfig, mudi_diffusion::Error> {
    config(json!({
        "in_channels": 4, "out_channels": 4, "block_out_channels": [64, 128, 192],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "layers_per_block": 1, "attention_head_dim": [2, 4, 6], "transformer_layers_per_block": [1, 1, 1],
        "cross_attention_dim": 2 * TEXT_WIDTH, "use_linear_projection": true, "norm_num_groups": 32,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 16,
        "projection_class_embeddings_input_dim": TEXT_WIDTH + 6 * 16,
        "sample_size": RESOLUTION / vae()?.reduction(),
    }))
}
