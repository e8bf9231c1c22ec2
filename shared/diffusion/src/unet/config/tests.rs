//! Which configurations are read, and as what.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use super::UNetConfig;
use crate::ldm::tests::sdxl;

#[test]
fn bases_that_cannot_be_used_are_refused_by_field() {
    assert!(sdxl().check_base().is_ok());
    let refused = |field: &str, value: &str| {
        let mut config = serde_json::to_value(sdxl()).unwrap();
        config[field] = serde_json::from_str(value).unwrap();
        let error = serde_json::from_value::<UNetConfig>(config).unwrap().check_base().unwrap_err();
        assert!(error.to_string().contains(field), "{field}: {error}");
    };
    refused("in_channels", "9");
    // Without the way up, which diffusers asks for, too.
    refused("transformer_layers_per_block", "[[0], [2, 2], [4, 4]]");
    refused("reverse_transformer_layers_per_block", "[[4, 4], [2, 1, 1], 1]");
    refused("time_cond_proj_dim", "256");
    refused("num_class_embeds", "1000");
    refused("resnet_out_scale_factor", "1.4142");
    refused("resnet_skip_time_act", "true");
    refused("time_embedding_type", r#""fourier""#);
    // As of GLIGEN.
    refused("attention_type", r#""gated""#);
    refused("mid_block_type", r#""UNetMidBlock2DSimpleCrossAttn""#);
    refused("layers_per_block", "[2, 2]");
    refused("act_fn", r#""gelu""#);
    refused("center_input_sample", "true");
    refused("downsample_padding", "0");
    refused("mid_block_scale_factor", "1.4142");
    refused("time_embedding_act_fn", r#""silu""#);
    refused("timestep_post_act", r#""silu""#);
    refused("time_embedding_dim", "7");
    refused("only_cross_attention", "[false, true, false]");
    // Nothing is made of numbers that no network has.
    refused("layers_per_block", "1000000000");
    refused("transformer_layers_per_block", "[1, 2, 1000000000]");
    refused("block_out_channels", "[320, 640, 1280000]");
    refused("cross_attention_dim", "10000000000");
}

/// Distilled models: fields as of SSD-1B, and of those without a middle block.
#[test]
fn layers_may_have_transformers_of_different_depths_and_the_middle_may_lack() {
    let read = |fields: &str| {
        let mut config = serde_json::to_value(sdxl()).unwrap();
        for (field, value) in serde_json::from_str::<serde_json::Map<_, _>>(fields).unwrap() {
            config[field] = value;
        }
        let config: UNetConfig = serde_json::from_value(config).unwrap();
        config.check_base().unwrap();
        let depths = config.transformers().unwrap().into_iter();
        depths.map(|depth| depth.unwrap_or(0)).collect::<Vec<_>>()
    };
    let (down, up) = ([0, 0, 2, 2, 10, 10], [10, 10, 10, 2, 2, 2, 0, 0, 0]);
    assert_eq!(read("{}"), [&down[..], &[10, 0], &up].concat());
    let ssd = read(
        r#"{"transformer_layers_per_block": [1, [2, 2], [4, 4]], "mid_block_type": "UNetMidBlock2D",
            "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1]}"#,
    );
    assert_eq!(ssd, [0, 0, 2, 2, 4, 4, 0, 4, 4, 10, 2, 1, 1, 0, 0, 0]);
    assert_eq!(read(r#"{"mid_block_type": null}"#), [&down[..], &up].concat());
    assert!(serde_json::to_string(&sdxl()).unwrap().contains("UNetMidBlock2DCrossAttn"));
}

#[test]
fn what_a_configuration_does_not_say_is_diffusers_default() {
    let config: UNetConfig = serde_json::from_str("{}").unwrap();
    let depths = config.transformers().unwrap();
    let attends: Vec<bool> = depths.iter().map(Option::is_some).collect();
    let (down, middle, up) = ([[true; 2]; 3].concat(), [true, false], [[true; 3]; 3].concat());
    assert_eq!(attends, [&down[..], &[false; 2], &middle, &[false; 3], &up].concat());
    assert_eq!(config.cross_attention_dim.at(0, "cross_attention_dim").unwrap(), 1280);
    assert_eq!(config.block_out_channels, [320, 640, 1280, 1280]);
}

#[test]
fn what_diffusers_reads_as_one_value_or_as_several_is_read_as_both() {
    let mut config = serde_json::to_value(sdxl()).unwrap();
    assert!(config.as_object().unwrap().values().all(|value| !value.is_null()), "{config}");
    for (size, side) in [("[64, 96]", Some(64)), ("96", Some(96)), ("null", None)] {
        config["sample_size"] = serde_json::from_str(size).unwrap();
        config["only_cross_attention"] = serde_json::json!([false, false, false]);
        let read: UNetConfig = serde_json::from_value(config.clone()).unwrap();
        assert_eq!(read.sample_size, side, "{size}");
        assert!(read.check_base().is_ok(), "{size}");
    }
    config["sample_size"] = "large".into();
    let error = serde_json::from_value::<UNetConfig>(config).unwrap_err().to_string();
    assert!(error.contains("sample_size"), "{error}");
}
