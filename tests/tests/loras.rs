//! LoRA files of every tool, stacked, translated and merged.

use std::path::Path;

use mudi_engine_candle::weights::read_safetensors;
use mudi_tests::golden::{error_of_range, fixture, tensors, values};
use mudi_tests::workshop::{Workshop, ok, refs, refused};

const FILES: [&str; 3] = ["pytorch_lora_weights", "kohya_lora", "kohya_sgm_lora"];

fn golden(name: &str) -> String {
    fixture(&format!("sdxl-tiny/golden/{name}.safetensors")).display().to_string()
}

/// The golden file that has the names which tools of that format write for SDXL.
fn reference(format: &str) -> &'static str {
    if format == "peft" { "lora" } else { "kohya_sgm_lora" }
}

/// The denoiser's answer for the golden inputs.
fn answer(shop: &Workshop, base: &str, loras: &[&str]) -> Vec<f32> {
    let out = shop.path("out.safetensors");
    let inputs = golden("lora");
    let mut arguments =
        vec!["forward", "--network", "unet", "--inputs", &inputs, "--out", &out, "--base", base];
    loras.iter().for_each(|lora| arguments.extend(["--lora", lora]));
    ok(&arguments);
    values(&read_safetensors(Path::new(&out)).expect("the outputs")["sample"])
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    let error = error_of_range(found, expected);
    assert!(error < 1e-5, "{what}: {error:e}");
}

#[test]
fn files_of_all_tools_are_added_to_the_weights() {
    let shop = Workshop::new();
    let expected = values(&tensors("sdxl-tiny/golden/lora.safetensors")["out.sample"]);
    let plain = answer(&shop, &shop.base, &[]);
    assert!(error_of_range(&plain, &expected) > 0.01, "the LoRA changes the answer");
    for name in FILES {
        close(&answer(&shop, &shop.base, &[&golden(name)]), &expected, name);
        if name == "pytorch_lora_weights" {
            // As diffusers saves it: a folder.
            let folder = shop.path("lora");
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::copy(golden(name), format!("{folder}/{name}.safetensors")).expect("a copy");
            close(&answer(&shop, &shop.base, &[&folder]), &expected, &folder);
        }
        // Two halves are a whole, and what is added and taken away is nothing.
        let [half, more, less] = [":0.5", ":1", ":-1"].map(|weight| golden(name) + weight);
        close(&answer(&shop, &shop.base, &[&half, &half]), &expected, "two halves");
        close(&answer(&shop, &shop.base, &[&more, &less]), &plain, "nothing");
    }
}

#[test]
fn translations_and_merged_bases_mean_the_same() {
    let shop = Workshop::new();
    let expected = values(&tensors("sdxl-tiny/golden/lora.safetensors")["out.sample"]);
    for name in FILES {
        for format in ["peft", "kohya"] {
            let out = shop.path(&format!("{name}-{format}.safetensors"));
            let file = golden(name);
            ok(&["export", "--lora", &file, "--base", &shop.base, "--format", format, "--out", &out]);
            close(&answer(&shop, &shop.base, &[&out]), &expected, &out);
            // Not only can it be read here: names are those of the tools' own files.
            let names = read_safetensors(Path::new(&out)).expect("a LoRA");
            let mut golden = tensors(&format!("sdxl-tiny/golden/{}.safetensors", reference(format)));
            golden.retain(|name, _| name.contains(".lora_") || name.ends_with(".alpha"));
            golden.retain(|name, _| !name.starts_with("grad."));
            assert_eq!(
                names.keys().collect::<Vec<_>>(),
                golden.keys().collect::<Vec<_>>(),
                "{name}, {format}"
            );
            refused(&["export", "--lora", &file, "--base", &shop.base, "--out", &out], &["exists already"]);
        }
    }
    // As a pickle it would be refused by whoever reads it.
    let (file, out) = (golden(FILES[0]), shop.path("lora.bin"));
    refused(&["export", "--lora", &file, "--base", &shop.base, "--out", &out], &["lora.bin", ".safetensors"]);
    let merged = shop.path("merged");
    ok(&["merge", "--base", &shop.base, "--lora", &golden("kohya_lora"), "--out", &merged, "--dtype", "f32"]);
    close(&answer(&shop, &merged, &[]), &expected, "merged");
    let half = shop.path("half");
    ok(&["merge", "--base", &shop.base, "--lora", &golden("kohya_lora"), "--out", &half]);
    assert!(error_of_range(&answer(&shop, &half, &[]), &expected) < 5e-3);
}

#[test]
fn a_runs_lora_is_the_same_from_its_files() {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(&shop.train("run", &["--alpha", "7", "--learning-rate", "0.01", "--regularization", "none"])));
    let picture = |name: &str, arguments: &[&str]| {
        let out = shop.path(name);
        let common =
            ["generate", "--prompt", "olis", "--steps", "2", "--count", "1", "--no-metadata", "--quiet"];
        ok(&[&common[..], &["--out", &out], arguments].concat());
        image::open(format!("{out}/0000.png")).expect("a picture").to_rgb8().into_raw()
    };
    let run = shop.path("run");
    let expected = picture("own", &["--run", &run]);
    assert!(expected != picture("plain", &["--base", &shop.base]), "it has learnt something");
    for format in ["peft", "kohya"] {
        let file = shop.path(&format!("{format}.safetensors"));
        ok(&["export", "--run", &run, "--format", format, "--out", &file]);
        let found = picture(format, &["--base", &shop.base, "--lora", &file]);
        let most = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(2), "{format}: {most:?}");
    }
}

#[test]
fn a_lora_that_does_not_fit_is_refused_by_name() {
    let shop = Workshop::new();
    let out = shop.path("never");
    let other = fixture("sd15-tiny").display().to_string();
    let refuse = |base: &str, lora: &str, words: &[&str]| {
        let arguments = ["generate", "--base", base, "--lora", lora, "--prompt", "a bear", "--out", &out];
        refused(&arguments, words);
        assert!(!Path::new(&out).exists());
    };
    refuse(&other, &golden("kohya_lora"), &["kohya_lora", "56 values", "24 values"]);
    refuse(&shop.base, &golden("unet"), &["unet.safetensors", "holds no LoRA"]);
    refuse(&shop.base, "/no/lora:0.5", &["/no/lora"]);
    let damaged = shop.path("damaged.safetensors");
    std::fs::write(&damaged, &std::fs::read(golden("kohya_lora")).expect("a LoRA")[..999]).expect("write");
    refuse(&shop.base, &damaged, &["damaged.safetensors", "not a whole safetensors file"]);
    let pickle = shop.path("old.pt");
    std::fs::write(&pickle, b"PK\x03\x04, as PyTorch writes").expect("write");
    refuse(&shop.base, &pickle, &["old.pt", "pickle", ".safetensors"]);
}
