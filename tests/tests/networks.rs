//! Every network against diffusers and transformers, on the same random weights.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use mudi_diffusion::Parameters;
use mudi_diffusion::clip::ClipText;
use mudi_diffusion::taesd::{TaesdConfig, TaesdDecoder, TaesdEncoder};
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_diffusion::vae::{VaeDecoder, VaeEncoder};
use mudi_engine_candle::{CandleEngine, Tensor, nchw};
use mudi_tests::golden::{assert_close, engines, fixture, network, tensors, values};

fn unet_against(base: &str, golden: &str) {
    engines().iter().for_each(|engine| unet_on(engine, base, golden));
}

fn unet_on(engine: &CandleEngine, base: &str, golden: &str) {
    let golden = tensors(&format!("{base}/golden/{golden}.safetensors"));
    let unet =
        network(engine, &format!("{base}/unet"), "diffusion_pytorch_model.safetensors", true, UNet::new);
    let added = golden.get("text_embeds").map(|embeds| AddedConditioning {
        text_embeds: Tensor::constant(embeds.clone()),
        time_ids: values(&golden["time_ids"]),
    });
    let input = UNetInput {
        sample: nchw::to_channels_last(&golden["sample"]).unwrap(),
        timesteps: values(&golden["timestep"]),
        encoder_hidden_states: Tensor::constant(golden["encoder_hidden_states"].clone()),
        added,
        lora_scale: 1.0,
    };
    let output = unet.forward(engine, &input).unwrap();
    let output = nchw::to_channels_first(&output).unwrap();
    assert_eq!(output.dims(), golden["out.sample"].dims());
    assert_close(base, &values(&output), &values(&golden["out.sample"]));
}

#[test]
fn sdxl_unet() {
    unet_against("sdxl-tiny", "unet");
}

#[test]
fn sdxl_unet_with_sizes_that_do_not_halve() {
    unet_against("sdxl-tiny", "unet_odd");
}

#[test]
fn sd15_unet() {
    unet_against("sd15-tiny", "unet");
}

#[test]
fn sd21_unet() {
    unet_against("sd21-tiny", "unet");
}

fn text_encoder_against(base: &str, folder: &str, golden: &str, true_eos: bool) {
    engines().iter().for_each(|engine| text_encoder_on(engine, base, folder, golden, true_eos));
}

fn text_encoder_on(engine: &CandleEngine, base: &str, folder: &str, golden: &str, true_eos: bool) {
    let golden = tensors(&format!("{base}/golden/{golden}.safetensors"));
    let mut encoder = network(engine, &format!("{base}/{folder}"), "model.safetensors", true, ClipText::new);
    if true_eos {
        let vocabulary = std::fs::read_to_string(fixture(&format!("{base}/tokenizer_2/vocab.json"))).unwrap();
        let vocabulary: serde_json::Value = serde_json::from_str(&vocabulary).unwrap();
        encoder.config.eos_token_id = vocabulary["<|endoftext|>"].as_u64().unwrap() as u32;
    }
    let ids: Vec<u32> = values(&golden["input_ids"]).iter().map(|&id| id as u32).collect();
    let batch = golden["input_ids"].dims()[0];
    let text = encoder.forward(engine, &ids, batch).unwrap();
    let mut compared = 0;
    for (name, tensor) in [
        ("out.hidden_states", Some(&text.penultimate)),
        ("out.last_hidden_state", Some(&text.last)),
        ("out.text_embeds", text.pooled.as_ref()),
    ] {
        let (Some(expected), Some(found)) = (golden.get(name), tensor) else { continue };
        assert_close(&format!("{base} {folder} {name}"), &values(found.value()), &values(expected));
        compared += 1;
    }
    // What is pooled without a projection is nobody's input.
    let given = golden.keys().filter(|name| name.starts_with("out.") && *name != "out.pooler_output");
    assert_eq!(compared, given.count(), "{base} {folder}");
    assert_eq!(golden.contains_key("out.text_embeds"), text.pooled.is_some());
}

#[test]
fn text_encoders() {
    text_encoder_against("sdxl-tiny", "text_encoder", "text_encoder", false);
    text_encoder_against("sdxl-tiny", "text_encoder_2", "text_encoder_2", false);
    text_encoder_against("sd15-tiny", "text_encoder", "text_encoder", false);
    text_encoder_against("sd21-tiny", "text_encoder", "text_encoder", false);
}

#[test]
fn text_encoder_pools_at_the_end_token_of_its_configuration() {
    text_encoder_against("sdxl-tiny", "text_encoder_2", "text_encoder_2_true_eos", true);
}

#[test]
fn vae() {
    engines().iter().for_each(vae_on);
}

fn vae_on(engine: &CandleEngine) {
    let weights = "diffusion_pytorch_model.safetensors";
    let encoder = network(engine, "sdxl-tiny/vae", weights, false, |config, p| VaeEncoder::new(&config, p));
    let golden = tensors("sdxl-tiny/golden/vae_encoder.safetensors");
    let moments = encoder.forward(engine, &nchw::to_channels_last(&golden["sample"]).unwrap()).unwrap();
    let moments = nchw::to_channels_first(&moments).unwrap();
    let channels = moments.dims()[1] / 2;
    for (name, from) in [("out.sample", 0), ("out.logvar", channels)] {
        let found = moments.narrow(1, from, channels).unwrap();
        assert_close(&format!("vae encoder {name}"), &values(&found), &values(&golden[name]));
    }

    let decoder = network(engine, "sdxl-tiny/vae", weights, false, |config, p| VaeDecoder::new(&config, p));
    let golden = tensors("sdxl-tiny/golden/vae_decoder.safetensors");
    let image = decoder.forward(engine, &nchw::to_channels_last(&golden["sample"]).unwrap()).unwrap();
    let image = nchw::to_channels_first(&image).unwrap();
    assert_close("vae decoder", &values(&image), &values(&golden["out.sample"]));
}

#[test]
fn taesd() {
    engines().iter().for_each(taesd_on);
}

fn taesd_on(engine: &CandleEngine) {
    let new = |config: TaesdConfig, parameters: &mut dyn Parameters<CandleEngine>| {
        Ok((TaesdEncoder::new(&config, parameters)?, TaesdDecoder::new(&config, parameters)?))
    };
    let (encoder, decoder) =
        network(engine, "taesd-tiny/vae", "diffusion_pytorch_model.safetensors", true, new);
    let golden = tensors("taesd-tiny/golden.safetensors");
    let latents = encoder.forward(engine, &nchw::to_channels_last(&golden["pixels"]).unwrap()).unwrap();
    let latents = nchw::to_channels_first(&latents).unwrap();
    assert_close("taesd encoder", &values(&latents), &values(&golden["out.latents"]));
    let image = decoder.forward(engine, &nchw::to_channels_last(&golden["latents"]).unwrap()).unwrap();
    let image = nchw::to_channels_first(&image).unwrap();
    assert_close("taesd decoder", &values(&image), &values(&golden["out.sample"]));
}
