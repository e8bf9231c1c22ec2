#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeMap;

use super::*;
use crate::config::parse;

/// SDXL's configuration.
pub(crate) fn sdxl() -> UNetConfig {
    parse(
        r#"{"in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 2, "attention_head_dim": [5, 10, 20], "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048, "use_linear_projection": true, "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816}"#,
    )
    .unwrap()
}

/// SD 1.5's configuration.
pub(crate) fn sd15() -> UNetConfig {
    parse(
        r#"{"in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 2, "attention_head_dim": 8, "cross_attention_dim": 768}"#,
    )
    .unwrap()
}

/// Names of the published checkpoints of SD 1.5 and SDXL.
#[test]
fn the_unets_names_are_those_of_published_checkpoints() {
    for (config, path, expected) in [
        (sd15(), "conv_in", "input_blocks.0.0"),
        (sd15(), "down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        (sd15(), "down_blocks.2.resnets.1.conv_shortcut", "input_blocks.8.0.skip_connection"),
        (sd15(), "down_blocks.3.resnets.1.conv2", "input_blocks.11.0.out_layers.3"),
        (sd15(), "mid_block.resnets.1.time_emb_proj", "middle_block.2.emb_layers.1"),
        (sd15(), "up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"),
        (sd15(), "up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
        (sd15(), "up_blocks.3.attentions.2.proj_out", "output_blocks.11.1.proj_out"),
        (sdxl(), "add_embedding.linear_2", "label_emb.0.2"),
        (sdxl(), "down_blocks.2.attentions.1.proj_in", "input_blocks.8.1.proj_in"),
        (sdxl(), "up_blocks.2.resnets.2.norm1", "output_blocks.8.0.in_layers.0"),
        (sdxl(), "up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
        (sdxl(), "conv_norm_out", "out.0"),
    ] {
        assert_eq!(unet_module(&config, path).as_deref(), Some(expected), "{path}");
    }
    for path in [
        "",
        "conv",
        "down_blocks.3.resnets.0.conv1",
        "up_blocks.x.resnets.0.conv1",
        "mid_block.resnets.2.conv1",
    ] {
        assert_eq!(unet_module(&sdxl(), path), None, "{path}");
    }
}

/// Shapes of a checkpoint's denoiser and autoencoder, as far as detection looks at them.
fn shapes(names: &[(&str, &[usize])]) -> BTreeMap<String, Vec<usize>> {
    names.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
}

#[test]
fn what_is_no_checkpoint_is_told_apart() {
    for (name, word) in [
        ("conv_in.weight", "one network"),
        ("decoder.conv_in.weight", "--vae"),
        ("double_blocks.0.img_attn.qkv.weight", "FLUX"),
        ("anything", "no denoiser"),
        ("model.diffusion_model.input_blocks.0.0.weight", "no text encoder"),
    ] {
        let shapes = shapes(&[(name, &[1, 2, 3, 3])]);
        let error = Checkpoint::detect(&|name: &str| shapes.get(name).cloned()).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("SDXL"), "{name}: {error}");
    }
    for mark in ["edm_mean", "edm_std", "edm_vpred.sigma_max"] {
        let shapes =
            shapes(&[("model.diffusion_model.input_blocks.0.0.weight", &[1, 2, 3, 3]), (mark, &[4])]);
        let error = Checkpoint::detect(&|name: &str| shapes.get(name).cloned()).unwrap_err().to_string();
        assert!(error.contains("EDM"), "{mark}: {error}");
    }
}
