//! Bases as their users have them: one file, shards, half precision, another autoencoder; and what is wrong with some.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors};
use mudi_tests::bases::{Family, write};
use mudi_tests::golden::{fixture, tensors, values};
use mudi_tests::workshop::{Workshop, copy_folder, ok, refused};

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
    for family in [Family::Sd15, Family::Sd21, Family::Sdxl] {
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
    save(&format!("{copy}/unet/diffusion_pytorch_model.fp16.safetensors"), &half);
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
    let refuse = |vae: &str, words: &[&str]| {
        let common = ["forward", "--network", "vae_decoder", "--inputs", &inputs, "--out", &out];
        refused(&[&common[..], &["--base", &shop.base, "--vae", vae]].concat(), words);
    };
    refuse("/no/vae", &["/no/vae", "--vae"]);
    let other = fixture("sd15-tiny/vae").display().to_string();
    refuse(&other, &["sd15-tiny", "does not belong", "0.18215", "0.13025"]);
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
    let one = std::fs::read(fixture(&format!("sdxl-tiny/{WEIGHTS}"))).expect("weights");
    refuse("unet.safetensors", &one, &["one network", "folder"]);
    let lora = std::fs::read(fixture("sdxl-tiny/golden/kohya_lora.safetensors")).expect("a LoRA");
    refuse("lora.safetensors", &lora, &["no denoiser"]);
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
fn noise_without_values_is_refused() {
    let shop = Workshop::new();
    let (noise, out) = (shop.path("noise.safetensors"), shop.path("never"));
    for shape in [[1, 4, 0, 0], [1, 0, 16, 16]] {
        let empty = Tensor::zeros(&shape, DType::F32, &Device::Cpu).expect("a tensor in memory");
        save(&noise, &NamedTensors::from([("noise".to_owned(), empty)]));
        let common = ["generate", "--base", &shop.base, "--prompt", "a bear", "--count", "1", "--out", &out];
        refused(&[&common[..], &["--noise", &noise]].concat(), &["noise.safetensors", "[1, C, h, w]"]);
    }
}
