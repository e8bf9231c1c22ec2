//! Files and folders as people find and make them.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use mudi::base::Source;
use mudi_diffusion::schedule::PredictionType;
use mudi_engine_candle::weights::{read_safetensors, to_safetensors};
use mudi_tests::bases::{Family, autoencoder};
use mudi_tests::workshop::{Workshop, copy_folder, ok, refused};
use serde_json::json;

use super::{base, configure, save};

/// The arguments of a small picture into the workshop's folder `out`.
fn small<'a>(base: &'a str, out: &'a str) -> Vec<&'a str> {
    let picture = ["--prompt", "a bear", "--steps", "1", "--count", "1", "--size", "32", "--quiet"];
    [&["generate", "--base", base, "--out", out][..], &picture].concat()
}

/// As people merge and mark them: without an autoencoder, with words of tools that say something else than their marks, with more in them
/// than a base has.
#[test]
fn checkpoint_files_as_people_make_them() {
    let shop = Workshop::new();
    let base = base(&shop, Family::Sdxl);
    let [whole, bare, other] =
        ["whole", "bare", "other"].map(|name| shop.path(&format!("{name}.safetensors")));
    ok(&["merge", "--base", &base, "--out", &whole, "--dtype", "f32"]);
    let all = read_safetensors(Path::new(&whole)).expect("weights");
    let out = shop.path("out");
    // Its latents are SDXL's all the same.
    let own = all.iter().filter(|(name, _)| !name.starts_with("first_stage_model."));
    save(&bare, &own.map(|(name, value)| (name.clone(), value.clone())).collect());
    refused(&small(&bare, &out), &["bare.safetensors", "no autoencoder", "--vae"]);
    let [vae, wrong] = ["vae", "wrong"].map(|name| shop.path(name));
    autoencoder(Path::new(&vae), &[32; 4], 0.13025);
    autoencoder(Path::new(&wrong), &[32; 4], 0.18215);
    refused(&[&small(&bare, &out)[..], &["--vae", &wrong]].concat(), &["wrong", "0.18215", "0.13025"]);
    ok(&[&small(&bare, &out)[..], &["--vae", &vae]].concat());

    let with = |name: &str, metadata: &[(&str, &str)]| {
        let mut all = all.clone();
        all.insert(name.to_owned(), Tensor::zeros(0, DType::F32, &Device::Cpu).expect("a tensor in memory"));
        let metadata = metadata.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let bytes = to_safetensors(&all, Some(&metadata)).expect("a file in memory");
        std::fs::write(&other, bytes).expect("write");
        Source::open(Path::new(&other)).expect("a base").schedule().expect("a schedule").prediction_type()
    };
    // Tools write `epsilon` into whatever they save; nobody adds the mark by accident.
    let epsilon = [("modelspec.prediction_type", "epsilon")];
    assert_eq!(with("v_pred", &epsilon), PredictionType::VPrediction);
    assert_eq!(with("denoiser.sigmas", &epsilon), PredictionType::Epsilon);
    assert_eq!(with("denoiser.sigmas", &[("modelspec.prediction_type", "v")]), PredictionType::VPrediction);
    let more = "model.diffusion_model.time_embed.cond_proj.weight";
    with(more, &[]);
    refused(&small(&other, &shop.path("never")), &["other.safetensors", more, "take a checkpoint"]);
}

#[test]
fn folders_that_are_named_as_a_base() {
    let shop = Workshop::new();
    let base = base(&shop, Family::Sdxl);
    let folder = |name: &str| {
        let path = shop.path(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    };
    let plan = |base: &str, words: &[&str]| {
        refused(&["plan", "--base", base], words);
    };
    // Around one file, as of repositories that hold nothing else.
    let around = folder("around");
    ok(&["merge", "--base", &base, "--out", &format!("{around}/one.safetensors"), "--dtype", "f32"]);
    std::fs::write(format!("{around}/._one.safetensors"), "of another system").expect("write");
    std::fs::write(format!("{around}/README.md"), "A model.").expect("write");
    let [of_folder, of_around] = ["of-folder", "of-around"].map(|name| shop.path(name));
    for (base, out) in [(&base, &of_folder), (&around, &of_around)] {
        ok(&[&small(base, out)[..], &["--no-metadata"]].concat());
    }
    let [of_folder, of_around] =
        [of_folder, of_around].map(|out| std::fs::read(format!("{out}/0000.png")).expect("a picture"));
    assert!(of_folder == of_around);
    std::fs::write(format!("{around}/two.safetensors"), "x").expect("write");
    plan(&around, &["around", "several files", "one.safetensors", "name the one"]);
    // In the cache of the hub's own client.
    let cache = folder("cache/snapshots/0123abc");
    copy_folder(Path::new(&base), Path::new(&cache));
    ok(&["plan", "--base", &shop.path("cache")]);
    // Of other kinds.
    let transformer = folder("flux");
    folder("flux/transformer");
    plan(&transformer, &["flux", "transformer", "take a base of SD 1.5"]);
    let pointer = "version https://git-lfs/spec/v1\noid sha256:0\nsize 1680\n";
    let [scheduler, kept] =
        ["scheduler/scheduler_config.json", "kept.json"].map(|name| format!("{base}/{name}"));
    std::fs::rename(&scheduler, &kept).expect("rename");
    std::fs::write(&scheduler, pointer).expect("write");
    refused(&small(&base, &shop.path("never")), &["scheduler_config.json", "Git LFS", "git lfs pull"]);
    std::fs::rename(&kept, &scheduler).expect("rename");
    for (file, fields, words) in [
        (
            "unet",
            json!({ "projection_class_embeddings_input_dim": 32 + 5 * 256 }),
            &["refiner", "take a base"][..],
        ),
        ("unet", json!({ "cross_attention_dim": 64 }), &["`cross_attention_dim`", "belong together"]),
        ("unet", json!({ "time_cond_proj_dim": 256 }), &["`time_cond_proj_dim`", "LCM"]),
        ("unet", json!({ "in_channels": 8 }), &["editing by instructions", "take a base"]),
        (
            "unet",
            json!({ "quantization_config": { "quant_method": "bitsandbytes" } }),
            &["bitsandbytes", "f16"],
        ),
        ("vae", json!({ "_class_name": "AutoencoderTiny" }), &["`AutoencoderTiny`", "take"]),
    ] {
        let path = format!("{file}/config.json");
        let own = std::fs::read_to_string(Path::new(&base).join(&path)).expect("text");
        configure(&base, &path, &fields);
        plan(&base, &[&[path.as_str()], words].concat());
        std::fs::write(Path::new(&base).join(&path), own).expect("write");
    }
}
