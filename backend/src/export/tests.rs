#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor as Value};
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;
use crate::base::Source;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT: [&str; 2] = ["text_encoder/model.safetensors", "text_encoder_2/model.safetensors"];

/// A copy of SDXL in miniature.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sdxl-tiny");
        let parts =
            ["unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"];
        for part in parts {
            std::fs::create_dir_all(folder.path().join("base").join(part)).unwrap();
            for file in std::fs::read_dir(from.join(part)).unwrap() {
                let file = file.unwrap();
                let to = folder.path().join("base").join(part).join(file.file_name());
                std::fs::copy(file.path(), to).unwrap();
            }
        }
        Self(folder)
    }

    fn base(&self) -> PathBuf {
        self.0.path().join("base")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self) -> Source {
        Source::open(&self.base()).unwrap()
    }

    /// Changes the tensors of a file of the base.
    fn change(&self, file: &str, change: impl Fn(&mut NamedTensors)) {
        let path = self.base().join(file);
        let mut tensors = read_safetensors(&path).unwrap();
        change(&mut tensors);
        std::fs::write(path, to_safetensors(&tensors, None).unwrap()).unwrap();
    }

    /// Renames the tensors of a file of the base.
    fn rename(&self, file: &str, rename: impl Fn(&str) -> String) {
        self.change(file, |tensors| {
            *tensors =
                std::mem::take(tensors).into_iter().map(|(name, value)| (rename(&name), value)).collect();
        });
    }

    /// Changes fields of a configuration of the base.
    fn configure(&self, file: &str, fields: &Json) {
        let path = self.base().join(file);
        let mut config: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for (field, value) in fields.as_object().unwrap() {
            config[field] = value.clone();
        }
        std::fs::write(path, config.to_string()).unwrap();
    }
}

#[test]
fn names_of_older_programs_become_those_of_today() {
    let (plain, old) = (Copy::new(), Copy::new());
    let pairs = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    old.rename(VAE, |name| {
        let attention = name.contains("attentions");
        let renamed = |name: String, (now, before): &(&str, &str)| name.replace(now, before);
        if attention { pairs.iter().fold(name.to_owned(), renamed) } else { name.to_owned() }
    });
    for file in TEXT {
        old.rename(file, |name| name.strip_prefix("text_model.").unwrap_or(name).to_owned());
    }
    for copy in [&plain, &old] {
        write_folder(&copy.source(), Held::Single, &copy.out("folder")).unwrap();
    }
    for file in [UNET, VAE, TEXT[0], TEXT[1]] {
        let [expected, found] =
            [&plain, &old].map(|copy| std::fs::read(copy.out("folder").join(file)).unwrap());
        assert!(expected == found, "{file}");
        let names = read_safetensors(&plain.base().join(file)).unwrap();
        let written = read_safetensors(&old.out("folder").join(file)).unwrap();
        assert_eq!(written.keys().collect::<Vec<_>>(), names.keys().collect::<Vec<_>>(), "{file}");
    }
}

#[test]
fn what_is_wrong_with_a_weight_is_said_with_its_file() {
    let refused = |change: &dyn Fn(&mut NamedTensors), words: &[&str]| {
        let copy = Copy::new();
        copy.change(UNET, change);
        let error = write_folder(&copy.source(), Held::F16, &copy.out("never")).unwrap_err().to_string();
        for word in words.iter().chain([&UNET]) {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        assert!(!copy.out("never").exists());
        error
    };
    let filled = |value: f32| {
        move |tensors: &mut NamedTensors| {
            let bias = Value::full(value, tensors["conv_out.bias"].dims(), &Device::Cpu).unwrap();
            tensors.insert("conv_out.bias".to_owned(), bias);
        }
    };
    refused(&|tensors| drop(tensors.remove("conv_out.bias")), &["`conv_out.bias` is missing"]);
    let error = refused(&filled(f32::NAN), &["`conv_out.bias`", "not numbers"]);
    assert!(!error.contains("--dtype"), "{error}");
    refused(&filled(1e6), &["`conv_out.bias`", "--dtype f32"]);
}

#[test]
fn a_folder_keeps_what_its_configurations_say() {
    let copy = Copy::new();
    let parts = [
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    ];
    // What other programs read, and what says nothing.
    for part in parts {
        copy.configure(part, &json!({ "upcast_attention": true, "of_tomorrow": [1, null] }));
    }
    let remove = |part: &str, field: &str| {
        let path = copy.base().join(part);
        let mut config: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config.as_object_mut().unwrap().remove(field).unwrap();
        std::fs::write(path, config.to_string()).unwrap();
    };
    remove("unet/config.json", "mid_block_type");
    remove("vae/config.json", "down_block_types");
    write_folder(&copy.source(), Held::F16, &copy.out("folder")).unwrap();
    for part in parts {
        let [own, written] = [copy.base(), copy.out("folder")]
            .map(|folder| std::fs::read_to_string(folder.join(part)).unwrap());
        assert_eq!(own, written, "{part}");
    }
}

#[test]
fn a_base_that_a_checkpoint_file_would_be_mistaken_for_another_is_refused() {
    let copy = Copy::new();
    let out = copy.out("never.safetensors");
    let error = write_checkpoint(&copy.source(), Held::F16, &out).unwrap_err().to_string();
    assert!(error.contains("vocabulary") && error.contains("folder"), "{error}");
    assert!(!out.exists());
}
