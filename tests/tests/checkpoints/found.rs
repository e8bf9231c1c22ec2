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
    folder("cache/snapshots/4567def");
    plan(&shop.path("cache"), &["several versions", "`snapshots`"]);
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
        ("text_encoder", json!({ "model_type": "chatglm" }), &["`chatglm`", "take a base"]),
    ] {
        let path = format!("{file}/config.json");
        let own = std::fs::read_to_string(Path::new(&base).join(&path)).expect("text");
        configure(&base, &path, &fields);
        plan(&base, &[&[path.as_str()], words].concat());
        std::fs::write(Path::new(&base).join(&path), own).expect("write");
    } // The pipeline's class says that the second encoder has a projection.
    configure(&base, "text_encoder_2/config.json", &json!({ "architectures": ["CLIPTextModel"] }));
    ok(&["plan", "--base", &base]);
}

/// A schedule's wish is followed, and told in the picture, where nobody says anything else.
#[test]
fn a_base_that_wishes_for_karras_spacing() {
    let shop = Workshop::new();
    let base = base(&shop, Family::Sdxl);
    let out = shop.path("out");
    let picture = |more: &[&str]| {
        let few = ["--prompt", "a bear", "--steps", "3", "--count", "1", "--size", "32", "--quiet"];
        ok(&[&["generate", "--base", &base, "--out", &out][..], &few, more].concat());
        let bytes = std::fs::read(format!("{out}/0000.png")).expect("a picture");
        let pixels = image::load_from_memory(&bytes).expect("a picture").to_rgb8().into_raw();
        (pixels, String::from_utf8_lossy(&bytes).contains("\"karras\":true"))
    };
    let (plain, asked) = (picture(&[]), picture(&["--karras"]));
    assert!(!plain.1 && asked.1 && plain.0 != asked.0);
    configure(&base, "scheduler/scheduler_config.json", &json!({ "use_karras_sigmas": true }));
    // As an editor on Windows saves it.
    let schedule = Path::new(&base).join("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&schedule).expect("text");
    std::fs::write(&schedule, format!("\u{feff}{text}")).expect("write");
    assert!(picture(&[]) == asked);
    assert!(picture(&["--karras=false"]) == plain);
    // Samplers that have no such spacing go on without.
    assert!(!picture(&["--sampler", "ddim"]).1);
}

/// A file is the same whichever names its base's weights have.
#[test]
fn a_checkpoint_file_of_older_names_is_that_of_todays() {
    let shop = Workshop::new();
    let base = base(&shop, Family::Sdxl);
    let [today, older] = ["today/one.safetensors", "older/one.safetensors"].map(|path| shop.path(path));
    for path in [&today, &older] {
        std::fs::create_dir_all(Path::new(path).parent().expect("a folder")).expect("a folder");
    }
    ok(&["merge", "--base", &base, "--out", &today]);
    let rename = |file: &str, rename: &dyn Fn(&str) -> String| {
        let path = format!("{base}/{file}");
        let all = read_safetensors(Path::new(&path)).expect("weights");
        save(&path, &all.into_iter().map(|(name, value)| (rename(&name), value)).collect());
    };
    let pairs = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    rename("vae/diffusion_pytorch_model.safetensors", &|name| {
        if !name.contains("attentions") {
            return name.to_owned();
        }
        pairs.iter().fold(name.to_owned(), |name, (now, before)| name.replace(now, before))
    });
    for part in ["text_encoder", "text_encoder_2"] {
        rename(&format!("{part}/model.safetensors"), &|name| {
            name.strip_prefix("text_model.").unwrap_or(name).to_owned()
        });
    }
    ok(&["merge", "--base", &base, "--out", &older]);
    let [today, older] = [today, older].map(|path| std::fs::read(path).expect("a file"));
    assert!(today == older);
}
