//! The miniatures' architectures: the published networks', with smaller numbers.

use mudi_diffusion::vae::VaeConfig;
use mudi_vision::dino::Dinov2Config;
use mudi_vision::owl::{OwlConfig, OwlTextConfig, OwlVisionConfig};
use mudi_vision::sam::{DecoderConfig, PromptConfig, SamConfig, VitConfig};
use serde_json::json;

use crate::probe::reader::{Answers, ReaderConfig};

/// Side of OWLv2's and SAM's input, in pixels: that of the toybox's and pocket's pictures.
pub const SIDE: usize = 96;
/// Patches along a side of OWLv2's input.
pub const GRID: usize = SIDE / 8;
/// Side of DINOv2's input, in pixels: crops of toys.
pub const CROP: usize = 64;
/// Tokens of a text that OWLv2 reads, with start and end.
pub const TOKENS: usize = 16;

/// OWLv2 with patches of 8 pixels, for a vocabulary of `vocabulary` tokens. Its text tower is pocket's text encoder, its image
/// tower has the shape of [`dinov2`].
#[must_use]
pub fn owlv2(vocabulary: usize) -> OwlConfig {
    const TEXT: usize = 96;
    let blocks = dinov2();
    OwlConfig {
        text_config: OwlTextConfig {
            vocab_size: vocabulary,
            hidden_size: TEXT,
            intermediate_size: 4 * TEXT,
            num_hidden_layers: 3,
            num_attention_heads: 3,
            max_position_embeddings: TOKENS,
            hidden_act: "gelu".to_owned(),
            ..OwlTextConfig::default()
        },
        vision_config: OwlVisionConfig {
            hidden_size: blocks.hidden_size,
            intermediate_size: blocks.mlp_ratio * blocks.hidden_size,
            num_hidden_layers: blocks.num_hidden_layers,
            num_attention_heads: blocks.num_attention_heads,
            image_size: SIDE,
            patch_size: blocks.patch_size,
            hidden_act: blocks.hidden_act,
            ..OwlVisionConfig::default()
        },
        projection_dim: TEXT,
        ..OwlConfig::default()
    }
}

/// SAM with patches of 6 pixels, all of whose layers see the whole image; masks have 64 x 64 positions.
#[must_use]
pub fn sam() -> SamConfig {
    const WIDTH: usize = 128;
    const PATCH: usize = 6;
    SamConfig {
        vision_config: VitConfig {
            hidden_size: WIDTH,
            output_channels: WIDTH,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            image_size: SIDE,
            patch_size: PATCH,
            mlp_ratio: 3.0,
            use_rel_pos: false,
            window_size: 0,
            global_attn_indexes: vec![0, 1, 2, 3],
            num_pos_feats: WIDTH / 2,
            ..VitConfig::default()
        },
        tiny_vit_config: None,
        prompt_encoder_config: PromptConfig {
            hidden_size: WIDTH,
            image_size: SIDE,
            patch_size: PATCH,
            ..PromptConfig::default()
        },
        mask_decoder_config: DecoderConfig {
            hidden_size: WIDTH,
            mlp_dim: 2 * WIDTH,
            num_attention_heads: 4,
            iou_head_hidden_dim: WIDTH,
            ..DecoderConfig::default()
        },
    }
}

/// DINOv2 with patches of 8 pixels.
#[must_use]
pub fn dinov2() -> Dinov2Config {
    Dinov2Config {
        hidden_size: 128,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        mlp_ratio: 3,
        image_size: CROP,
        patch_size: 8,
        use_mask_token: false,
        ..Dinov2Config::default()
    }
}

/// The probe classifier: from 96 x 96 pixels to 12 x 12 cells.
///
/// # Errors
/// None in practice: the configuration is fixed.
pub(crate) fn reader() -> Result<ReaderConfig, mudi_diffusion::Error> {
    let encoder: VaeConfig = serde_json::from_value(json!({
        "block_out_channels": [16, 32, 64, 128], "layers_per_block": 1, "norm_num_groups": 8,
        "latent_channels": Answers::COUNT / 2, "use_quant_conv": false, "use_post_quant_conv": false,
    }))
    .map_err(|error| mudi_diffusion::Error::Config(error.to_string()))?;
    Ok(ReaderConfig::new(SIDE, encoder))
}
