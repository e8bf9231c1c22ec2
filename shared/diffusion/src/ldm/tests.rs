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

/// Shapes of a UNet's modules in a file, as far as detection looks at them.
fn unet_shapes(config: &UNetConfig) -> BTreeMap<String, Vec<usize>> {
    let mut found = BTreeMap::new();
    let mut add = |module: &str, shape: &[usize]| {
        found.insert(format!("{UNET}{}.weight", unet_module(config, module).unwrap()), shape.to_vec());
    };
    let widths = &config.block_out_channels;
    add("conv_in", &[widths[0], config.in_channels, 3, 3]);
    add("conv_out", &[config.out_channels, widths[0], 3, 3]);
    let levels = widths.len();
    let layers = |level: usize| config.layers_per_block.at(level, "").unwrap();
    let down = (0..levels).flat_map(|level| (0..layers(level)).map(move |at| ("down", level, at)));
    let middle = [0, 1].into_iter().map(|at| ("mid", levels - 1, at));
    let up = (0..levels).rev().flat_map(|level| (0..=layers(level)).map(move |at| ("up", level, at)));
    let depths = config.transformers().unwrap();
    let middles = match config.mid_block_type.as_deref() {
        None => 0,
        Some("UNetMidBlock2D") => 1,
        Some(_) => 2,
    };
    for ((way, level, at), depth) in down.chain(middle.take(middles)).chain(up).zip(depths) {
        let width = widths[level];
        let block = match way {
            "down" => format!("down_blocks.{level}"),
            "up" => format!("up_blocks.{}", levels - 1 - level),
            _ => "mid_block".to_owned(),
        };
        add(&format!("{block}.resnets.{at}.conv1"), &[width, width, 3, 3]);
        for index in 0..depth.unwrap_or(0) {
            let transformer = format!("{block}.attentions.{at}");
            let inside = format!("{transformer}.transformer_blocks.{index}");
            add(&format!("{transformer}.proj_in"), &[width, width]);
            add(&format!("{inside}.attn1.to_q"), &[width, width]);
            add(&format!("{inside}.attn2.to_k"), &[width, config.cross_attention_dim.at(0, "").unwrap()]);
        }
        if way == "down" && at + 1 == layers(level) && level + 1 < levels {
            add(&format!("{block}.downsamplers.0.conv"), &[width, width, 3, 3]);
        }
    }
    found
}

/// Tools that convert diffusers' folders have left the projection of the pooled state as it is there, others have turned it over.
#[test]
fn the_projection_of_the_pooled_state_lies_in_two_ways() {
    let mut found = unet_shapes(&sdxl());
    let prefix = "conditioner.embedders.1.model.";
    for (name, shape) in [
        ("token_embedding.weight", &[49_408, 1280][..]),
        ("positional_embedding", &[77, 1280]),
        ("transformer.resblocks.0.mlp.c_fc.weight", &[5120, 1280]),
    ] {
        found.insert(format!("{prefix}{name}"), shape.to_vec());
    }
    for (name, shape, part) in [
        ("text_projection", [1280, 1024], Part::Transposed),
        ("text_projection.weight", [1024, 1280], Part::Whole),
    ] {
        let mut found = found.clone();
        found.insert(format!("{prefix}{name}"), shape.to_vec());
        let read = Checkpoint::detect(&|name: &str| found.get(name).cloned()).unwrap();
        assert_eq!(read.text[0].config.projection_dim, 1024, "{name}");
        let stored = read.stored(Component::TextEncoder, "text_projection.weight");
        assert_eq!(stored, Some(Stored { name: format!("{prefix}{name}"), part }));
    }
}

/// SD 2's last layer is not used, and files that were made of diffusers' folders lack it.
#[test]
fn layers_of_sd_2s_text_encoder_are_those_that_are_used() {
    let prefix = "cond_stage_model.model.";
    for layers in [23, 24] {
        let mut found = unet_shapes(&sd15());
        found.insert(format!("{prefix}token_embedding.weight"), vec![49_408, 1024]);
        found.insert(format!("{prefix}positional_embedding"), vec![77, 1024]);
        for layer in 0..layers {
            found.insert(format!("{prefix}transformer.resblocks.{layer}.mlp.c_fc.weight"), vec![4096, 1024]);
        }
        let read = Checkpoint::detect(&|name: &str| found.get(name).cloned()).unwrap();
        assert_eq!(read.text[0].config.num_hidden_layers, 23, "of {layers}");
    }
}

/// Some versions of diffusers' conversion have left the names of the attention's layers as they are there.
#[test]
fn the_autoencoders_attention_is_found_by_both_names() {
    for (query, out) in [("q", "proj_out"), ("to_q", "to_out.0")] {
        let query = format!("mid.attn_1.{query}.weight");
        let mut found = shapes(&[
            ("encoder.conv_in.weight", &[128, 3, 3, 3]),
            ("encoder.down.0.block.0.conv1.weight", &[128, 128, 3, 3]),
            ("encoder.mid.attn_1.norm.weight", &[512]),
            ("decoder.conv_in.weight", &[512, 4, 3, 3]),
            ("decoder.conv_out.weight", &[3, 128, 3, 3]),
        ]);
        found.insert(format!("encoder.{query}"), vec![512, 512]);
        let (config, names) = detect_vae(&|name: &str| found.get(name).cloned()).unwrap();
        assert!(config.mid_block_add_attention, "{query}");
        let stored =
            |name: &str| vae_stored(&config, names, &format!("decoder.mid_block.attentions.0.{name}"));
        assert_eq!(stored("to_q.weight").unwrap().name, format!("decoder.{query}"));
        assert_eq!(stored("to_out.0.bias").unwrap().name, format!("decoder.mid.attn_1.{out}.bias"));
        assert_eq!(stored("group_norm.bias").unwrap().name, "decoder.mid.attn_1.norm.bias");
    }
}

/// Distilled models have fewer transformers in some places, or none in the middle.
#[test]
fn the_depths_of_a_files_transformers_are_read_off_its_tensors() {
    let configured = |fields: &str| {
        let mut config = serde_json::to_value(sdxl()).unwrap();
        for (field, value) in serde_json::from_str::<serde_json::Map<_, _>>(fields).unwrap() {
            config[field] = value;
        }
        serde_json::from_value::<UNetConfig>(config).unwrap()
    };
    // SDXL, SSD-1B, and one without a middle.
    let ssd = r#"{"transformer_layers_per_block": [1, [2, 2], [4, 4]], "mid_block_type": "UNetMidBlock2D",
        "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1]}"#;
    let koala =
        r#"{"layers_per_block": 1, "transformer_layers_per_block": [1, 2, 5], "mid_block_type": null}"#;
    let text = "conditioner.embedders.0.transformer.text_model.";
    for fields in ["{}", ssd, koala] {
        let config = configured(fields);
        let mut found = unet_shapes(&config);
        for (name, shape) in [
            ("embeddings.token_embedding.weight", [49_408, 768]),
            ("embeddings.position_embedding.weight", [77, 768]),
            ("encoder.layers.0.mlp.fc1.weight", [3072, 768]),
        ] {
            found.insert(format!("{text}{name}"), shape.to_vec());
        }
        let read = Checkpoint::detect(&|name: &str| found.get(name).cloned()).unwrap();
        assert_eq!(read.unet.transformers().unwrap(), config.transformers().unwrap(), "{fields}");
        assert_eq!(read.unet.mid_block_type, config.mid_block_type, "{fields}");
        assert_eq!(read.unet.layers_per_block, config.layers_per_block, "{fields}");
        assert!(!read.holds_vae && read.vae.latent_channels == 4 && read.vae.reduction() == 8, "{fields}");
        // As some old tools named them.
        let short: BTreeMap<_, _> =
            found.into_iter().map(|(name, shape)| (name.replace(".text_model.", "."), shape)).collect();
        assert_eq!(Checkpoint::detect(&|name: &str| short.get(name).cloned()).unwrap().text.len(), 1);
    }
    // What should have a middle and has none is no distilled model.
    let mut found = unet_shapes(&sdxl());
    found.retain(|name, _| !name.contains("middle_block"));
    found.insert(format!("{text}embeddings.token_embedding.weight"), vec![49_408, 768]);
    found.insert(format!("{text}embeddings.position_embedding.weight"), vec![77, 768]);
    found.insert(format!("{text}encoder.layers.0.mlp.fc1.weight"), vec![3072, 768]);
    let error = Checkpoint::detect(&|name: &str| found.get(name).cloned()).unwrap_err().to_string();
    assert!(error.contains("unknown blocks"), "{error}");
}

#[test]
fn what_is_no_checkpoint_is_told_apart() {
    for (name, word) in [
        ("conv_in.weight", "one network"),
        ("decoder.conv_in.weight", "--vae"),
        ("input_blocks.0.0.weight", "a denoiser alone"),
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
