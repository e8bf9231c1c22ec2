//! The base models of the server's models folder. Requests name them; no request names a path.

use std::path::{Path, PathBuf};

use mudi_domain::api::Base;

use crate::base::{Source, is_around_checkpoint};
use crate::models::PART;
use crate::server::toys::knows_toys_only;

/// The names of the base models in `folder`, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| is_base(folder, name)).collect();
    names.sort();
    names
}

fn is_base(folder: &Path, name: &str) -> bool {
    // What is pulled has such a name until it is whole; what is hidden, as a Mac's `._model`, is no model.
    if name.starts_with('.') || name.ends_with(PART) {
        return false;
    }
    let path = folder.join(name);
    let checkpoint = path.extension().is_some_and(|extension| extension == "safetensors");
    path.join("model_index.json").is_file() || (checkpoint && path.is_file()) || is_around_checkpoint(&path)
}

/// The base models in `folder`, by name.
pub(crate) fn all(folder: &Path) -> Vec<Base> {
    let base = |name: String| {
        // What is wrong with a base is said where it is used; that must not hide the others.
        let path = folder.join(&name);
        let suited = Source::open(&path).and_then(|source| source.negative_prompt());
        let negative = suited.unwrap_or_default().to_owned();
        Base { name, negative, toys_only: knows_toys_only(&path) }
    };
    names(folder).into_iter().map(base).collect()
}

/// The folder or file of the base model `name`; otherwise what is wrong, for the user.
pub(crate) fn find(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let known = names(folder);
    if known.iter().any(|known| known == name) {
        return Ok(folder.join(name));
    }
    let name: String = name.chars().take(80).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(format!("there is no base model {name:?}; the server has: {known}"))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use mudi_engine_candle::weights::{NamedTensors, to_safetensors};

    use super::*;

    #[test]
    fn only_folders_of_models_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("models/pocket")).unwrap();
        std::fs::create_dir_all(folder.path().join("models/empty")).unwrap();
        std::fs::create_dir_all(folder.path().join("other")).unwrap();
        for model in ["models/.hidden", "models/sdxl.part"] {
            std::fs::create_dir_all(folder.path().join(model)).unwrap();
        }
        for model in ["models/pocket", "models/.hidden", "models/sdxl.part", "other"] {
            std::fs::write(folder.path().join(model).join("model_index.json"), "{}").unwrap();
        }
        let models = folder.path().join("models");
        assert_eq!(names(&models), ["pocket"]);
        std::fs::write(models.join("one.safetensors"), "").unwrap();
        std::fs::write(models.join("old.ckpt"), "").unwrap();
        std::fs::write(models.join("._one.safetensors"), "").unwrap();
        assert_eq!(names(&models), ["one.safetensors", "pocket"]);
        // As a repository that holds nothing but a checkpoint file, or a LoRA, is pulled.
        for (folder, tensor) in [
            ("around", "model.diffusion_model.input_blocks.0.0.weight"),
            ("lora", "unet.conv_in.lora_A.weight"),
        ] {
            let value = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
            let file = to_safetensors(&NamedTensors::from([(tensor.to_owned(), value)]), None).unwrap();
            std::fs::create_dir(models.join(folder)).unwrap();
            std::fs::write(models.join(folder).join("a.safetensors"), file).unwrap();
        }
        assert_eq!(names(&models), ["around", "one.safetensors", "pocket"]);
        assert!(find(&models, "pocket").is_ok());
        for name in ["sdxl.part", ".hidden", "empty", "../other", "", ".", "pocket/"] {
            assert!(find(&models, name).unwrap_err().contains("pocket"), "{name}");
        }
        assert!(names(Path::new("no-such-folder")).is_empty());
    }
}
