#![allow(clippy::unwrap_used, reason = "tests may panic")]

use super::*;
use crate::ldm::tests::{sd15, sdxl};

fn layer(component: Component, path: &str) -> Layer {
    Layer { component, path: path.to_owned() }
}

/// Names as they stand in files that the tools have published, with the layer that each means.
#[test]
fn names_of_published_files_are_found() {
    let q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q";
    let out = "up_blocks.0.attentions.2.transformer_blocks.9.attn2.to_out.0";
    let te = "text_model.encoder.layers.11.self_attn.q_proj";
    let all = [
        layer(Component::Unet, q),
        layer(Component::Unet, out),
        layer(Component::TextEncoder, te),
        layer(Component::TextEncoder2, te),
    ];
    let layers = Layers::new(all.clone(), &sdxl());
    for (name, expected) in [
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", &all[0]),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight", &all[0]),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight", &all[0]),
        ("diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_A.weight", &all[0]),
        (
            "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
            &all[0],
        ),
        (
            "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
            &all[0],
        ),
        ("lora_unet_output_blocks_2_1_transformer_blocks_9_attn2_to_out_0.hada_w1_a", &all[1]),
        ("lycoris_up_blocks_0_attentions_2_transformer_blocks_9_attn2_to_out_0.lokr_w1", &all[1]),
        (
            "text_encoders.clip_h.transformer.text_model.encoder.layers.11.self_attn.q_proj.lora_up.weight",
            &all[2],
        ),
        ("unet.up_blocks.0.attentions.2.transformer_blocks.9.attn2.processor.to_out_lora.up.weight", &all[1]),
        ("lora_te1_text_model_encoder_layers_11_self_attn_q_proj.alpha", &all[2]),
        ("text_encoder.text_model.encoder.layers.11.self_attn.q_proj.lora_linear_layer.up.weight", &all[2]),
        ("text_encoder.encoder.layers.11.self_attn.q_proj.lora_A.weight", &all[2]),
        ("text_encoder.text_model.encoder.layers.11.self_attn.to_q_lora.up.weight", &all[2]),
        ("base_model.model.text_model.encoder.layers.11.self_attn.q_proj.lora_A.weight", &all[2]),
        ("base_model.model.encoder.layers.11.self_attn.q_proj.lora_B.weight", &all[2]),
        ("text_encoder_2.text_model.encoder.layers.11.self_attn.to_q_lora.down.weight", &all[3]),
        ("lora_te2_text_model_encoder_layers_11_self_attn_q_proj.lokr_w1", &all[3]),
        ("text_encoder_2.text_model.encoder.layers.11.self_attn.q_proj.lora_B.weight", &all[3]),
    ] {
        let (module, _) = split(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(layers.find(&module), Some(expected), "{name}");
    }
    assert!(layers.find("lora_unet_input_blocks_5_1_transformer_blocks_0_attn1_to_q").is_none());
    assert_eq!(layers.context(), Some(2048));
}

#[test]
fn what_is_written_is_found_again() {
    for unet in [sdxl(), sd15()] {
        let all = [
            layer(Component::Unet, "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj"),
            layer(Component::Unet, "up_blocks.1.upsamplers.0.conv"),
            layer(Component::TextEncoder, "text_model.encoder.layers.0.mlp.fc2"),
        ];
        let layers = Layers::new(all.clone(), &unet);
        for layer in &all {
            assert_eq!(layers.find(&layer.peft()), Some(layer));
            assert_eq!(layers.find(&layer.kohya(&unet)), Some(layer));
        }
    }
    let up = layer(Component::Unet, "up_blocks.1.upsamplers.0.conv");
    assert_eq!(up.kohya(&sdxl()), "lora_unet_output_blocks_5_2_conv");
    assert_eq!(up.kohya(&sd15()), "lora_unet_up_blocks_1_upsamplers_0_conv");
}

#[test]
fn other_tensors_are_not_parts() {
    for name in [
        "",
        "alpha",
        "unet.conv_in.weight",
        "a.lora_A",
        "a.processor.to_q_lora.middle.weight",
        "a.self_attn.to_q_lora.alpha",
    ] {
        assert_eq!(split(name), None, "{name}");
    }
    for (old, now) in [("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")] {
        let (layer, part) = split(&format!("text_encoder.a.self_attn.{old}_lora.down.weight")).unwrap();
        assert_eq!((layer, part), (format!("text_encoder.a.self_attn.{now}"), Part::Down));
    }
    let (layer, part) = split("unet.a.lora.lora_magnitude_vector.weight").unwrap();
    assert_eq!((layer.as_str(), part), ("unet.a", Part::Magnitude));
}
