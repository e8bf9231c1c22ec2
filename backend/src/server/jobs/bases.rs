//! The base models of the server's models folder. Requests name them; no request names a path.

use std::path::{Path, PathBuf};

use mudi_domain::api::Base;

use crate::base::Source;

/// The names of the base models in `folder`, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| {
            let path = entry.path();
            let checkpoint = path.extension().is_some_and(|extension| extension == "safetensors");
            path.join("model_index.json").is_file() || (checkpoint && path.is_file())
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The base models in `folder`, by name.
pub(crate) fn all(folder: &Path) -> Vec<Base> {
    let base = |name: String| {
        // What is wrong with a base is said where it is used; that must not hide the others.
        let suited = Source::open(&folder.join(&name)).and_then(|source| source.negative_prompt());
        Base { name, negative: suited.unwrap_or_default().to_owned() }
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
    Err(format!("there is no base model {name:?}; the server has: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_models_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("models/pocket")).unwrap();
        std::fs::create_dir_all(folder.path().join("models/empty")).unwrap();
        std::fs::create_dir_all(folder.path().join("other")).unwrap();
        for model in ["models/pocket", "other"] {
            std::fs::write(folder.path().join(model).join("model_index.json"), "{}").unwrap();
        }
        let models = folder.path().join("models");
        assert_eq!(names(&models), ["pocket"]);
        std::fs::write(models.join("one.safetensors"), "").unwrap();
        std::fs::write(models.join("old.ckpt"), "").unwrap();
        assert_eq!(names(&models), ["one.safetensors", "pocket"]);
        assert!(find(&models, "pocket").is_ok());
        for name in ["empty", "../other", "", ".", "pocket/"] {
            assert!(find(&models, name).unwrap_err().contains("pocket"), "{name}");
        }
        assert!(names(Path::new("no-such-folder")).is_empty());
    }
}
