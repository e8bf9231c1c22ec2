//! Bases as their users have them: one file, shards, half precision, another autoencoder; and what is wrong with some.

#[path = "checkpoints/found.rs"]
mod found;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use mudi::base::Source;
use mudi::export::{Held, write_checkpoint};
use mudi_diffusion::schedule::{PredictionType, TimestepSpacing};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{FileWeights, NamedTensors, read_safetensors, to_safetensors};
use mudi_tests::bases::{Family, write};
use mudi_tests::golden::{fixture, tensors, values};
use mudi_tests::workshop::{Workshop, copy_folder, ok, refused};
use serde_json::{Value, json};

const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";

/// A base of a family in the workshop's folder `base`.
fn base(shop: &Workshop, family: Family) -> String {
    let merges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/assets/clip/merges.txt");
    let base = shop.path("base");
    write(Path::new(&base), family, &std::fs::read_to_string(merges).expect("CLIP's merges"));
    base
}

/// A copy of SDXL in miniature in the workshop's folder `copy`.
fn copy(shop: &Workshop) -> String {
    let copy = shop.path("copy");
    copy_folder(&fixture("sdxl-tiny"), Path::new(&copy));
    copy
}

fn save(path: &str, tensors: &NamedTensors) {
    std::fs::write(path, to_safetensors(tensors, None).expect("a file in memory")).expect("write");
}

/// The denoiser's answer for the fixture's inputs.
fn answer(shop: &Workshop, arguments: &[&str]) -> Vec<f32> {
    let inputs = fixture("sdxl-tiny/golden/unet.safetensors").display().to_string();
    let out = shop.path("out.safetensors");
    let common = ["forward", "--network", "unet", "--inputs", &inputs, "--out", &out];
    ok(&[&common[..], arguments].concat());
    values(&read_safetensors(Path::new(&out)).expect("the outputs")["sample"])
}

/// The denoiser's answer is the reference's.
fn answers(shop: &Workshop, base: &str) {
    let golden = tensors("sdxl-tiny/golden/unet.safetensors");
    let expected = values(&golden["out.sample"]);
    let error = mudi_tests::golden::error_of_range(&answer(shop, &["--base", base]), &expected);
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn a_checkpoint_file_is_the_folder_that_it_was_made_of() {
    for family in [Family::Sd15, Family::Sd21, Family::Sdxl, Family::Distilled] {
        let shop = Workshop::new();
        let base = base(&shop, family);
        let (file, back) = (shop.path("one.safetensors"), shop.path("back"));
        ok(&["merge", "--base", &base, "--out", &file, "--dtype", "f32"]);
        ok(&["merge", "--base", &file, "--out", &back, "--dtype", "f32"]);
        for part in ["unet", "vae", "text_encoder", "text_encoder_2"] {
            let name = if part.starts_with("text") { "model" } else { "diffusion_pytorch_model" };
            let path = |folder: &str| Path::new(folder).join(part).join(format!("{name}.safetensors"));
            if !path(&base).exists() {
                assert!(!path(&back).exists(), "{family:?} {part}");
                continue;
            }
            let (expected, found) = (
                read_safetensors(&path(&base)).expect("weights"),
                read_safetensors(&path(&back)).expect("weights"),
            );
            assert_eq!(
                expected.keys().collect::<Vec<_>>(),
                found.keys().collect::<Vec<_>>(),
                "{family:?} {part}"
            );
            for (name, expected) in &expected {
                assert!(values(expected) == values(&found[name]), "{family:?} {part} {name}");
            }
        }
        let prediction =
            std::fs::read_to_string(format!("{back}/scheduler/scheduler_config.json")).expect("text");
        assert_eq!(prediction.contains("v_prediction"), family == Family::Sd21);
        // The same picture from both, in half precision too.
        let picture = |base: &str, out: &str, precision: &str| {
            let out = shop.path(out);
            let small = ["--prompt", "a red bear", "--steps", "2", "--count", "1", "--size", "32", "--quiet"];
            let given =
                ["generate", "--base", base, "--out", &out, "--no-metadata", "--precision", precision];
            ok(&[&given[..], &small[..]].concat());
            std::fs::read(format!("{out}/0000.png")).expect("a picture")
        };
        let whole = picture(&base, "from-folder", "single");
        assert!(whole == picture(&file, "from-file", "single"), "{family:?}");
        // Of a file in f32 both round to bf16.
        let halved = picture(&base, "half", "half");
        assert!(halved == picture(&file, "bf16", "bf16") && halved != whole, "{family:?}");
        let pixels = |png: &[u8]| image::load_from_memory(png).expect("a picture").to_rgb8().into_raw();
        let furthest = pixels(&halved).iter().zip(pixels(&whole)).map(|(a, b)| a.abs_diff(b)).max();
        assert!(furthest <= Some(12), "{family:?}: {furthest:?}");
        refused(&["merge", "--base", &base, "--out", &file], &["one.safetensors", "exists already"]);
    }
}

/// Sets fields of a configuration of the base.
fn configure(base: &str, file: &str, fields: &Value) {
    let path = Path::new(base).join(file);
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("text")).expect("JSON");
    for (field, value) in fields.as_object().expect("fields") {
        config[field] = value.clone();
    }
    std::fs::write(path, config.to_string()).expect("write");
}

/// diffusers takes null for a value, and one number of layers for granted where it reads kohya's LoRAs.
#[test]
fn a_folder_that_was_made_of_a_file_says_every_field() {
    for family in [Family::Sd15, Family::Sd21, Family::Sdxl] {
        let shop = Workshop::new();
        let base = base(&shop, family);
        let (file, back) = (shop.path("one.safetensors"), shop.path("back"));
        ok(&["merge", "--base", &base, "--out", &file]);
        ok(&["merge", "--base", &file, "--out", &back]);
        let config = |path: &str| -> Value {
            let text = std::fs::read_to_string(Path::new(&back).join(path)).expect("text");
            let config: Value = serde_json::from_str(&text).expect("JSON");
            let fields = config.as_object().expect("fields");
            assert!(fields.values().all(|value| !value.is_null() && *value != json!([])), "{path}: {text}");
            config
        };
        let unet = config("unet/config.json");
        assert_eq!(unet["layers_per_block"], 1, "{family:?}");
        assert_eq!(unet["mid_block_type"], "UNetMidBlock2DCrossAttn");
        assert_eq!(unet["upcast_attention"] == true, family == Family::Sd21, "{family:?}");
        let vae = config("vae/config.json");
        assert_eq!(vae["down_block_types"], json!(["DownEncoderBlock2D", "DownEncoderBlock2D"]));
        assert_eq!(vae["up_block_types"], json!(["UpDecoderBlock2D", "UpDecoderBlock2D"]));
        // The autoencoder of these has two levels.
        let sides = [&vae, &unet].map(|config| config["sample_size"].as_u64());
        assert_eq!(sides[0], sides[1].map(|latent| 2 * latent), "{family:?}");
        assert_eq!(config("text_encoder/config.json")["eos_token_id"], 2);
        assert_eq!(config("scheduler/scheduler_config.json")["timestep_spacing"], "leading");
    }
}

#[test]
fn a_checkpoint_file_says_what_its_base_predicts() {
    let shop = Workshop::new();
    let base = base(&shop, Family::Sdxl);
    let schedule = |fields: Value| configure(&base, "scheduler/scheduler_config.json", &fields);
    let out = |name: &str| PathBuf::from(shop.path(name));
    let write = |name: &str| {
        let source = Source::open(Path::new(&base)).expect("a base");
        write_checkpoint(&source, Held::F16, &out(name)).map_err(|error| error.to_string())
    };
    let said = |name: &str| {
        let path = out(name);
        let file = FileWeights::open(&CandleEngine::cpu(), &path).expect("a file");
        let marks = ["v_pred", "ztsnr"].map(|mark| file.shape(mark).map(<[usize]>::to_vec));
        let config = Source::open(&path).expect("a base").schedule().expect("a schedule").config().clone();
        (marks, config.prediction_type, config.rescale_betas_zero_snr, config.timestep_spacing)
    };
    let empty = || Some(vec![0]);
    let leading = Some(TimestepSpacing::Leading);
    assert_eq!(write("noise.safetensors"), Ok(None));
    assert_eq!(said("noise.safetensors"), ([None, None], PredictionType::Epsilon, false, leading));

    schedule(json!({ "prediction_type": "v_prediction" }));
    assert_eq!(write("velocity.safetensors"), Ok(None));
    assert_eq!(said("velocity.safetensors"), ([empty(), None], PredictionType::VPrediction, false, leading));

    // Only trailing spacing begins with the pure noise that such a base was trained on.
    schedule(json!({ "rescale_betas_zero_snr": true }));
    let note = write("zero.safetensors").expect("a file").expect("a note");
    assert!(note.contains("leading with offset 1") && note.contains("trailing"), "{note}");
    let expected = ([empty(), empty()], PredictionType::VPrediction, true, Some(TimestepSpacing::Trailing));
    assert_eq!(said("zero.safetensors"), expected);
    schedule(json!({ "timestep_spacing": "trailing" }));
    assert_eq!(write("trailing.safetensors"), Ok(None));
    assert_eq!(said("trailing.safetensors"), expected);
    schedule(json!({ "use_karras_sigmas": true }));
    let note = write("karras.safetensors").expect("a file").expect("a note");
    assert!(note.contains("use_karras_sigmas") && note.contains("--karras"), "{note}");

    for (fields, word) in
        [(json!({ "beta_end": 0.02 }), "betas"), (json!({ "prediction_type": "sample" }), "clean")]
    {
        schedule(fields);
        let error = write("never.safetensors").expect_err("no file");
        assert!(error.contains(word) && error.contains("folder") && error.contains("base"), "{error}");
        assert!(!out("never.safetensors").exists());
    }
}

/// Readers know heads, groups, activations and scaling of the published models, and take them for granted.
#[test]
fn what_a_checkpoint_file_would_be_mistaken_for_is_refused() {
    let shop = Workshop::new();
    let base = base(&shop, Family::Sdxl);
    let out = shop.path("never.safetensors");
    for (file, field, other, word) in [
        ("unet", "attention_head_dim", json!([2, 4]), "heads"),
        ("unet", "norm_num_groups", json!(16), "groups"),
        ("unet", "norm_eps", json!(1e-6), "variances"),
        ("unet", "freq_shift", json!(1), "timesteps"),
        ("vae", "norm_num_groups", json!(16), "groups"),
        ("vae", "scaling_factor", json!(0.18215), "scaled"),
        ("text_encoder", "num_attention_heads", json!(2), "heads"),
        ("text_encoder_2", "hidden_act", json!("quick_gelu"), "activation"),
    ] {
        let path = format!("{file}/config.json");
        let own = std::fs::read_to_string(Path::new(&base).join(&path)).expect("text");
        configure(&base, &path, &json!({ field: other }));
        refused(&["merge", "--base", &base, "--out", &out], &["base", word, "folder"]);
        assert!(!Path::new(&out).exists(), "{file} {field}");
        std::fs::write(Path::new(&base).join(&path), own).expect("write");
    }
    ok(&["merge", "--base", &base, "--out", &out]);
}

#[test]
fn shards_and_variants_are_found() {
    let shop = Workshop::new();
    let copy = copy(&shop);
    let whole = format!("{copy}/{WEIGHTS}");
    let all = read_safetensors(Path::new(&whole)).expect("weights");
    std::fs::remove_file(&whole).expect("remove");
    // In two shards.
    let mut map = serde_json::Map::new();
    let mut shards = [NamedTensors::new(), NamedTensors::new()];
    for (index, (name, value)) in all.iter().enumerate() {
        map.insert(
            name.clone(),
            format!("diffusion_pytorch_model-0000{}-of-00002.safetensors", index % 2 + 1).into(),
        );
        shards[index % 2].insert(name.clone(), value.clone());
    }
    let shard =
        |number: usize| format!("{copy}/unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors");
    save(&shard(1), &shards[0]);
    save(&shard(2), &shards[1]);
    let index = format!("{copy}/unet/diffusion_pytorch_model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "metadata": {}, "weight_map": map }).to_string())
        .expect("write");
    answers(&shop, &copy);
    // What may be wrong with them.
    let inputs = fixture("sdxl-tiny/golden/unet.safetensors").display().to_string();
    let out = shop.path("never.safetensors");
    let arguments = ["forward", "--base", &copy, "--network", "unet", "--inputs", &inputs, "--out", &out];
    std::fs::remove_file(shard(2)).expect("remove");
    refused(&arguments, &["00002-of-00002.safetensors", "missing", "again"]);
    let outside = serde_json::json!({ "weight_map": { "conv_in.weight": "../../../etc/passwd" } });
    std::fs::write(&index, outside.to_string()).expect("write");
    refused(&arguments, &["index.json", "not the name of a file"]);
    std::fs::remove_file(&index).expect("remove");
    std::fs::write(format!("{copy}/unet/diffusion_pytorch_model.bin"), "x").expect("write");
    refused(&arguments, &["diffusion_pytorch_model.bin", "pickle", "safetensors"]);
    // In half precision, under its own name.
    let half =
        all.iter().map(|(name, value)| (name.clone(), value.to_dtype(DType::F16).expect("a type"))).collect();
    let [fp16, bf16] =
        ["fp16", "bf16"].map(|variant| format!("{copy}/unet/diffusion_pytorch_model.{variant}.safetensors"));
    save(&fp16, &half);
    assert_eq!(answer(&shop, &["--base", &copy]).len(), 2 * 4 * 16 * 24);
    // Under any other, where nothing else is there.
    std::fs::rename(&fp16, &bf16).expect("rename");
    assert_eq!(answer(&shop, &["--base", &copy]).len(), 2 * 4 * 16 * 24);
}

#[test]
fn another_autoencoder_takes_the_place_of_the_bases_own() {
    let shop = Workshop::new();
    let copy = copy(&shop);
    let inputs = fixture("sdxl-tiny/golden/vae_decoder.safetensors").display().to_string();
    let out = shop.path("out.safetensors");
    let decoded = |vae: &str| {
        let common = ["forward", "--network", "vae_decoder", "--inputs", &inputs, "--out", &out];
        ok(&[&common[..], &["--base", &shop.base, "--vae", vae]].concat());
        values(&read_safetensors(Path::new(&out)).expect("the outputs")["sample"])
    };
    // The same one, as a folder, as a base's folder and as a file beside its configuration.
    let expected = decoded(&format!("{copy}/vae"));
    assert!(expected == decoded(&copy));
    assert!(expected == decoded(&format!("{copy}/vae/diffusion_pytorch_model.safetensors")));
    // And as a file that has come alone.
    let alone = shop.path("alone.safetensors");
    std::fs::copy(format!("{copy}/vae/diffusion_pytorch_model.safetensors"), &alone).expect("a copy");
    assert!(expected == decoded(&alone));
    let refuse = |vae: &str, words: &[&str]| {
        let common = ["forward", "--network", "vae_decoder", "--inputs", &inputs, "--out", &out];
        refused(&[&common[..], &["--base", &shop.base, "--vae", vae]].concat(), words);
    };
    refuse("/no/vae", &["/no/vae", "--vae"]);
    let empty = shop.path("empty");
    std::fs::create_dir(&empty).expect("a folder");
    refuse(&empty, &["empty", "not found", "--vae"]);
    let other = fixture("sd15-tiny/vae").display().to_string();
    refuse(&other, &["sd15-tiny", "does not belong", "0.18215", "0.13025"]);
    // As of Playground v2.5, whose latents are normalized channel by channel.
    configure(&copy, "vae/config.json", &json!({ "latents_std": [8.5, 5.9, 6.5, 5.2] }));
    refuse(&copy, &["copy", "`latents_std`"]);
    refuse(&format!("{copy}/{WEIGHTS}"), &["no autoencoder"]);
    let pickle = shop.path("vae.pt");
    std::fs::write(&pickle, "x").expect("write");
    refuse(&pickle, &["vae.pt", "pickle"]);
}

#[test]
fn files_that_are_no_base_say_why() {
    let shop = Workshop::new();
    let refuse = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = shop.path(name);
        std::fs::write(&path, bytes).expect("write");
        let out = shop.path("never");
        refused(
            &["generate", "--base", &path, "--prompt", "a bear", "--out", &out],
            &[&[name], words].concat(),
        );
        assert!(!Path::new(&out).exists());
    };
    refuse("old.ckpt", b"\x80\x02", &["pickle", "safetensors"]);
    refuse("short.safetensors", b"short", &["not a whole safetensors file"]);
    refuse("small.gguf", b"GGUF\x03\0\0\0\0\0\0\0", &["GGUF", "quantized", ".safetensors"]);
    refuse("pointer.safetensors", b"version https://lfs/spec/v1\noid sha256:0\n", &["Git LFS", "download"]);
    refuse("page.safetensors", b"<!doctype html><title>Sign in</title>", &["web page", "download"]);
    let one = std::fs::read(fixture(&format!("sdxl-tiny/{WEIGHTS}"))).expect("weights");
    refuse("unet.safetensors", &one, &["one network", "folder"]);
    let lora = std::fs::read(fixture("sdxl-tiny/golden/kohya_lora.safetensors")).expect("a LoRA");
    refuse("lora.safetensors", &lora, &["holds a LoRA", "--lora"]);
    let nothing = to_safetensors(&NamedTensors::new(), None).expect("a file in memory");
    refuse("nothing.safetensors", &nothing, &["no denoiser"]);
    refused(&["plan", "--base", "/no/such"], &["/no/such", "--base", ".safetensors"]);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let shop = Workshop::new();
    let copy = copy(&shop);
    let path = format!("{copy}/{WEIGHTS}");
    let mut all = read_safetensors(Path::new(&path)).expect("weights");
    let bad = (all["conv_out.bias"].zeros_like().expect("zeros") / 0.0).expect("no numbers");
    all.insert("conv_out.bias".to_owned(), bad);
    save(&path, &all);
    let out = shop.path("never");
    let arguments = ["generate", "--base", &copy, "--prompt", "a bear", "--out", &out];
    refused(&arguments, &[WEIGHTS, "conv_out.bias", "not numbers"]);
    // Values that half precision cannot hold are not written as infinities.
    let large = (all["conv_out.bias"].zeros_like().expect("zeros") + 1e6).expect("large");
    all.insert("conv_out.bias".to_owned(), large);
    save(&path, &all);
    refused(&["merge", "--base", &copy, "--out", &out], &["conv_out.bias", "--dtype"]);
}

#[test]
fn noise_of_another_shape_or_without_values_is_refused() {
    let shop = Workshop::new();
    let (noise, out) = (shop.path("noise.safetensors"), shop.path("never"));
    // As many values as are needed stand in another order in the third one.
    for shape in [[1, 4, 0, 0], [1, 0, 16, 16], [1, 4, 8, 32], [2, 4, 16, 16]] {
        let empty = Tensor::zeros(&shape, DType::F32, &Device::Cpu).expect("a tensor in memory");
        save(&noise, &NamedTensors::from([("noise".to_owned(), empty)]));
        let common = ["generate", "--base", &shop.base, "--prompt", "a bear", "--count", "1", "--out", &out];
        let found = format!("has one of shape {shape:?}");
        refused(
            &[&common[..], &["--noise", &noise]].concat(),
            &["noise.safetensors", "[1, 4, 16, 16]", &found],
        );
        assert!(!Path::new(&out).exists(), "nothing is left behind");
    }
}
