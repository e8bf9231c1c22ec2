//! What a benchmark's folder was made with: cells of other recipes or weights would be mixed with these.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mudi_domain::recipe::{Method, PARAMETERS, Recipe};
use mudi_toybox::MAX_TOYS;
use serde::{Deserialize, Serialize};

use super::{BenchmarkError, Options};
use crate::demo::recipe;
use crate::files::write_atomically;
use crate::models::{ModelsError, digest};

/// The settings' file name.
const FILE: &str = "settings.json";

/// How the names of files end that a network is made of.
const MADE_OF: [&str; 5] = ["safetensors", "pth", "bin", "json", "txt"];

/// All that a cell depends on, its group and its way apart.
#[derive(Serialize, Deserialize)]
struct BenchmarkSettings {
    pair_seed: u64,
    prompts: usize,
    seeds: u64,
    /// What guidance leads away from.
    negative_prompt: String,
    /// Of MuDI, for two toys and more; the other methods' differ from it in nothing but the method.
    recipes: Vec<Recipe>,
    /// SHA-256 of the files that the networks are made of, vocabularies too, by network and path.
    files: BTreeMap<String, String>,
}

impl BenchmarkSettings {
    fn of(options: &Options, negative_prompt: &str) -> Result<Self, BenchmarkError> {
        let mut files = BTreeMap::new();
        for (network, path) in [
            ("base", &options.base),
            ("detector", &options.detector),
            ("embedder", &options.embedder),
            ("reader", &options.reader),
        ] {
            for file in network_files(path)? {
                let below = file.strip_prefix(path).unwrap_or(&file).display().to_string();
                files.insert(format!("{network}/{below}"), digest(&file)?);
            }
        }
        Ok(Self {
            pair_seed: options.pair_seed,
            prompts: options.prompts,
            seeds: options.seeds,
            negative_prompt: negative_prompt.to_owned(),
            recipes: (2..=MAX_TOYS).map(|toys| recipe(0, options.steps, Method::Mudi, toys)).collect(),
            files,
        })
    }

    /// What the command line and the recipe say, by name, in one order.
    fn told(&self) -> Vec<(&'static str, String)> {
        let asked = [
            ("pair seed", self.pair_seed.to_string()),
            ("prompts", self.prompts.to_string()),
            ("seeds", self.seeds.to_string()),
            ("negative prompt", format!("“{}”", self.negative_prompt)),
        ];
        let recipes = self.recipes.iter().flat_map(|recipe| {
            // The table's own names are known.
            PARAMETERS
                .iter()
                .map(|parameter| (parameter.name, recipe.get(parameter.name).unwrap_or_default()))
        });
        asked.into_iter().chain(recipes).collect()
    }

    /// The first thing that is not the same, in words that a reader of the command line knows.
    fn difference(&self, earlier: &Self) -> Option<String> {
        let mut told = self.told().into_iter().zip(earlier.told());
        if let Some(((name, now), (_, then))) = told.find(|(now, then)| now != then) {
            return Some(format!("{name} {then}, now {now}"));
        }
        let mut files = self.files.keys().chain(earlier.files.keys());
        files
            .find(|file| self.files.get(*file) != earlier.files.get(*file))
            .map(|file| format!("another {file}"))
    }
}

/// Files with weights, configurations and vocabularies, in a fixed order: the file itself, or all below a folder.
fn network_files(path: &Path) -> Result<Vec<PathBuf>, ModelsError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| ModelsError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if entry.is_dir() {
            files.extend(network_files(&entry)?);
        } else if entry.extension().is_some_and(|end| MADE_OF.iter().any(|known| end == *known)) {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

/// Notes with what the folder is made, or compares with what it was begun with. More pairs and parts may be added later. `negative_prompt`:
/// what guidance leads away from.
///
/// # Errors
/// [`BenchmarkError::Other`], with the first thing that differs.
pub(super) fn check(options: &Options, negative_prompt: &str) -> Result<(), BenchmarkError> {
    let path = options.out.join(FILE);
    let settings = BenchmarkSettings::of(options, negative_prompt)?;
    let Ok(text) = std::fs::read_to_string(&path) else {
        let mut text = serde_json::to_string_pretty(&settings)?;
        text.push('\n');
        return Ok(write_atomically(&path, text.as_bytes())?);
    };
    let difference = match serde_json::from_str::<BenchmarkSettings>(&text) {
        Ok(earlier) => settings.difference(&earlier),
        Err(error) => Some(format!("settings that cannot be read, {error}")),
    };
    difference.map_or(Ok(()), |difference| Err(BenchmarkError::Other { path, difference }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &Path, steps: u32) -> Options {
        for network in ["base", "detector", "embedder", "reader"] {
            std::fs::create_dir_all(folder.join(network)).unwrap();
            std::fs::write(folder.join(network).join("model.safetensors"), network).unwrap();
        }
        Options {
            base: folder.join("base"),
            detector: folder.join("detector"),
            embedder: folder.join("embedder"),
            reader: folder.join("reader"),
            out: folder.to_owned(),
            parts: Vec::new(),
            toys: Vec::new(),
            pairs: 1,
            first: 0,
            pair_seed: 3,
            prompts: 1,
            seeds: 1,
            steps,
            workers: 1,
        }
    }

    fn said(options: &Options) -> String {
        check(options, "").unwrap_err().to_string()
    }

    #[test]
    fn a_folder_takes_cells_of_one_recipe_and_of_one_set_of_weights() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), 40);
        check(&options, "").unwrap();
        check(&Options { pairs: 3, first: 2, workers: 2, ..options.clone() }, "").unwrap();
        let other = check(&options, "sticker").unwrap_err().to_string();
        assert!(other.contains("negative prompt “”, now “sticker”"), "{other}");
        assert!(said(&Options { seeds: 2, ..options.clone() }).contains("seeds 1, now 2"));
        assert!(said(&Options { steps: 50, ..options.clone() }).contains("steps 40, now 50"));
        std::fs::write(options.detector.join("model.safetensors"), "others").unwrap();
        assert!(said(&options).contains("another detector/model.safetensors"));
        std::fs::write(options.detector.join("model.safetensors"), "detector").unwrap();
        check(&options, "").unwrap();
        std::fs::write(options.base.join("merges.txt"), "a b").unwrap();
        assert!(said(&options).contains("another base/merges.txt"));
    }
}
