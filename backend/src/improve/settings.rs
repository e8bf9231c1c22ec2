//! What a folder was begun with: pictures that were asked for otherwise would be mixed with these.

use std::path::Path;

use serde::Serialize;

use super::{ImproveError, Options};
use crate::files::write_atomically;
use crate::models::digest;

/// The settings' file name.
const FILE: &str = "improve.json";

/// All that pictures and their choice depend on; the further training's recipe is checked with the run.
#[derive(Serialize)]
struct Asked<'a> {
    /// SHA-256 of the run's LoRA.
    lora: String,
    prompts: &'a [String],
    pictures: u64,
    keep: usize,
    gamma: f32,
    guidance: f32,
    seed: u64,
    detector: &'a Path,
    embedder: &'a Path,
}

/// Whether the folder was begun by `mudi improve`.
pub(super) fn are_there(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

/// Notes the settings in the folder, or compares with those that it was begun with.
///
/// # Errors
/// [`ImproveError::Other`], with the first that differs.
pub(super) fn check(
    options: &Options,
    gamma: f32,
    prompts: &[String],
    lora: &Path,
) -> Result<(), ImproveError> {
    let path = options.out.join(FILE);
    let asked = Asked {
        lora: digest(lora)?,
        prompts,
        pictures: options.pictures,
        keep: options.keep,
        gamma,
        guidance: options.guidance,
        seed: options.seed,
        detector: &options.detector,
        embedder: &options.embedder,
    };
    let now = serde_json::to_value(&asked)?;
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(write_atomically(&path, (serde_json::to_string_pretty(&now)? + "\n").as_bytes())?);
    };
    // What is no JSON differs in everything.
    let then: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut fields = now.as_object().into_iter().flatten();
    match fields.find(|(name, value)| then.get(name) != Some(value)) {
        None => Ok(()),
        Some((name, value)) => {
            let before = then.get(name).map_or("nothing".to_owned(), ToString::to_string);
            Err(ImproveError::Other { path, difference: format!("{name} {before}, now {value}") })
        }
    }
}
