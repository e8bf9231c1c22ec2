//! What a folder was begun with: pictures that were asked for otherwise would be mixed with these.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ImproveError, Options};
use crate::base::Source;
use crate::dataset::Digests;
use crate::files::{is_same, whole, write_atomically};
use crate::models::digest;

/// The settings' file name.
const FILE: &str = "improve.json";
/// What only the choice depends on: until it is made another network can choose.
const OF_THE_CHOICE: [&str; 3] = ["keep", "detector", "embedder"];
/// What folders do not note that were begun before it was compared.
const LATER: [&str; 3] = ["base", "fingerprint", "files"];

/// All that pictures and their choice depend on; the further training's recipe is checked with the run.
#[derive(Serialize)]
pub(super) struct Asked<'a> {
    /// SHA-256 of the run's LoRA.
    lora: String,
    /// Where the base lies.
    base: PathBuf,
    /// What it holds.
    fingerprint: String,
    /// The photos' files.
    files: &'a Digests,
    prompts: &'a [String],
    pictures: u64,
    keep: usize,
    gamma: f32,
    guidance: f32,
    seed: u64,
    detector: PathBuf,
    embedder: PathBuf,
}

/// Whether the folder was begun by `mudi improve`.
pub(super) fn are_there(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        options: &'a Options,
        gamma: f32,
        prompts: &'a [String],
        lora: &Path,
        base: &Source,
        files: &'a Digests,
    ) -> Result<Self, ImproveError> {
        Ok(Self {
            lora: digest(lora)?,
            base: whole(base.path()),
            fingerprint: base.fingerprint()?,
            files,
            prompts,
            pictures: options.pictures,
            keep: options.keep,
            gamma,
            guidance: options.guidance,
            seed: options.seed,
            detector: whole(&options.detector),
            embedder: whole(&options.embedder),
        })
    }

    /// Notes the settings in the folder, or compares with those that it was begun with; `chosen`: whether the pictures that are learnt
    /// from have been chosen.
    ///
    /// # Errors
    /// [`ImproveError::Other`], with the first that differs.
    pub(super) fn check(&self, folder: &Path, chosen: bool) -> Result<(), ImproveError> {
        let path = folder.join(FILE);
        let now = serde_json::to_value(self)?;
        if let Ok(text) = std::fs::read_to_string(&path) {
            // What is no JSON differs in everything.
            let then: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let binds = |name: &str| {
                let is_known = then.get(name).is_some() || !LATER.contains(&name);
                // A base may move: where it is known what it holds its place does not count.
                let is_place = name == "base" && then.get("fingerprint").is_some();
                is_known && !is_place && (chosen || !OF_THE_CHOICE.contains(&name))
            };
            let mut fields = now.as_object().into_iter().flatten();
            if let Some((name, value)) =
                fields.find(|(name, value)| binds(name) && !is_alike(name, then.get(name), value))
            {
                return Err(ImproveError::Other { path, difference: self.difference(name, &then, value) });
            }
            if then == now {
                return Ok(());
            }
        }
        Ok(write_atomically(&path, (serde_json::to_string_pretty(&now)? + "\n").as_bytes())?)
    }

    /// What was noted as `name`, and what it is now.
    fn difference(&self, name: &str, then: &serde_json::Value, now: &serde_json::Value) -> String {
        let before = then.get(name);
        if name == "fingerprint" {
            return format!("another base: {}", self.base.display());
        }
        if name == "files" {
            let before: Digests =
                before.and_then(|before| serde_json::from_value(before.clone()).ok()).unwrap_or_default();
            return format!("other photos: {}", before.changed(self.files).join(", "));
        }
        let before = before.map_or("nothing".to_owned(), ToString::to_string);
        format!("{name} {before}, now {now}")
    }
}

/// Whether a setting is what it was; networks are where they were however their place is written.
fn is_alike(name: &str, then: Option<&serde_json::Value>, now: &serde_json::Value) -> bool {
    let place = |value: &serde_json::Value| value.as_str().map(PathBuf::from);
    let are_same = || Some(is_same(&place(then?)?, &place(now)?));
    then == Some(now) || (["detector", "embedder"].contains(&name) && are_same().unwrap_or_default())
}
