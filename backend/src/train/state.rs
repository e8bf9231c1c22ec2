//! A run's folder: its lock, what it was started with, and its checkpoints.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::unet::UNetConfig;
use mudi_diffusion::{Component, ParameterKind};
use mudi_domain::recipe::{PARAMETERS, Recipe};
use mudi_engine_candle::lora::{LoraFile, TEXT_TARGETS};
use mudi_engine_candle::weights::{
    NamedTensors, Trainable, named_for_file, read_safetensors, to_safetensors, values_from_file,
};
use mudi_engine_candle::{Kept, Optimizer, lora};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::further::Further;
use super::samples::Prior;
use crate::dataset::Digests;
use crate::files::{create_folder, write_atomically};

/// Name of the LoRA's file, as diffusers calls it.
pub const LORA_FILE: &str = "pytorch_lora_weights.safetensors";
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.safetensors";
const METRICS_FILE: &str = "metrics.jsonl";
/// The tensor of a checkpoint that has what an optimizer keeps besides its state of each weight.
const NUMBERS: &str = "optimizer.numbers";
pub(crate) const PRIORS_FILE: &str = "priors.safetensors";
pub(crate) const START_FILE: &str = "run.json";
const LOCK_FILE: &str = "lock";
const RECIPE_FILE: &str = "recipe.json";

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The photos' folder.
    pub photos: PathBuf,
    /// The base model's folder or file.
    pub base: PathBuf,
    /// The autoencoder in place of the base's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<PathBuf>,
    /// Its recipe.
    pub recipe: Recipe,
    /// What it goes on from, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub further: Option<Further>,
    /// The photos' files. Folders of runs from before they were kept have none, and can be used but not resumed.
    #[serde(default)]
    pub files: Digests,
    /// What the base holds, with that autoencoder, wherever it lies ([`Source::fingerprint`](crate::base::Source::fingerprint)). Folders of
    /// runs from before it was kept have none: their base is known by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl RunInfo {
    /// Reads what the run in `folder` was started with.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] where there is none; [`TrainError::Read`].
    pub fn load(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join(START_FILE);
        if !path.exists() {
            return Err(TrainError::NoRun { path: folder.to_owned() });
        }
        let failed = |reason: String| TrainError::Read { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Steps made, from 1.
    pub step: u64,
    /// Loss of the step.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
}

/// The LoRA of the run in `folder`.
///
/// # Errors
/// [`TrainError::NoRun`] and [`TrainError::Unfinished`] where there is none yet.
pub fn finished_lora(folder: &Path) -> Result<PathBuf, TrainError> {
    let lora = folder.join(LORA_FILE);
    if lora.is_file() {
        return Ok(lora);
    }
    RunInfo::load(folder)?;
    Err(TrainError::Unfinished { path: folder.to_owned() })
}

/// The step after which a checkpoint was written, from its header alone; none where it cannot be read.
fn step_of(checkpoint: &Path) -> Option<u64> {
    let mut file = File::open(checkpoint).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = Vec::new();
    // No more than the file has, whatever the number says.
    file.take(u64::from_le_bytes(length)).read_to_end(&mut header).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    header["__metadata__"]["step"].as_str()?.parse().ok()
}

/// What a run was started with, as its file has it.
fn in_json(info: &RunInfo) -> Result<String, TrainError> {
    let text =
        serde_json::to_string_pretty(info).map_err(|error| TrainError::Serialize(error.to_string()))?;
    Ok(text + "\n")
}

/// What a recipe has otherwise than the one of the run, in words: the first parameter.
fn otherwise(before: &Recipe, now: &Recipe) -> String {
    let value = |recipe: &Recipe, name| recipe.get(name).unwrap_or_default();
    let names = PARAMETERS.iter().map(|parameter| parameter.name);
    let other = names.map(|name| (name, value(before, name), value(now, name)));
    match other.into_iter().find(|(_, then, now)| then != now) {
        Some((name, then, now)) => format!("the recipe ({name} {then:?}, now {now:?})"),
        None => "the recipe".to_owned(),
    }
}

/// The base that is not the one of the run, in words.
fn other_base(before: &RunInfo, now: &RunInfo) -> String {
    if before.base != now.base {
        format!("the base model ({}, now {})", before.base.display(), now.base.display())
    } else if before.vae != now.vae {
        "the autoencoder".to_owned()
    } else {
        "what the base model's files hold".to_owned()
    }
}

/// The name of something in `folder` that a beginning which was interrupted has not left there: such a folder can be begun in again.
fn foreign(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let own = |name: &Path| {
        name == Path::new(LOCK_FILE)
            || name == Path::new(RECIPE_FILE)
            || name.extension().is_some_and(|end| end == "part")
    };
    names.map(PathBuf::from).find(|name| !own(name))
}

/// A run's folder, locked while this lives.
pub(super) struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Refuses what [`Self::open`] would refuse of a folder as it is, but for photos that have changed: to be asked before networks are
    /// loaded, and nothing is made.
    pub(super) fn check(path: &Path, info: &RunInfo, resume: bool) -> Result<(), TrainError> {
        let begun = path.join(START_FILE).exists();
        // What is gone on from has put its own files beside the run before it begins.
        let new = !resume && info.further.is_none() && !begun;
        if let Some(name) = foreign(path).filter(|_| new) {
            return Err(TrainError::Occupied { path: path.to_owned(), name });
        }
        // To be written: some file systems lock nothing else.
        let lock = File::options().write(true).open(path.join(LOCK_FILE));
        if lock.is_ok_and(|lock| lock.try_lock().is_err()) {
            return Err(TrainError::InUse { path: path.to_owned() });
        }
        if begun { Self::compare(path, info, resume).map(drop) } else { Ok(()) }
    }

    /// What the run in the folder was started with, if it is what `info` says.
    fn compare(path: &Path, info: &RunInfo, resume: bool) -> Result<RunInfo, TrainError> {
        if !resume {
            return Err(TrainError::Exists { path: path.to_owned() });
        }
        let before = RunInfo::load(path)?;
        // Folders move; what they hold stays the same.
        let (base, vae) = match (&before.fingerprint, &info.fingerprint) {
            (Some(then), Some(now)) => (then == now, true),
            _ => (before.base == info.base, before.vae == info.vae),
        };
        let same = [
            (before.recipe == info.recipe, otherwise(&before.recipe, &info.recipe)),
            (base, other_base(&before, info)),
            (vae, "the autoencoder".to_owned()),
            (before.further == info.further, "what it goes on from".to_owned()),
        ];
        match same.into_iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(TrainError::Changed { path: path.to_owned(), what }),
            None => Ok(before),
        }
    }

    /// Opens a new folder, or with `resume` one that was started with the same `info`.
    pub(super) fn open(path: &Path, info: &RunInfo, resume: bool) -> Result<Self, TrainError> {
        Self::check(path, info, resume)?;
        create_folder(path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::create(&lock_path)
            .map_err(|source| crate::files::WriteError { path: lock_path.clone(), source })?;
        if lock.try_lock().is_err() {
            return Err(TrainError::InUse { path: path.to_owned() });
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        let started = path.join(START_FILE);
        if !started.exists() {
            write_atomically(&path.join(RECIPE_FILE), (info.recipe.to_json() + "\n").as_bytes())?;
            write_atomically(&started, in_json(info)?.as_bytes())?;
            return Ok(folder);
        }
        let before = Self::compare(path, info, resume)?;
        let names = before.files.changed(&info.files);
        if !names.is_empty() {
            let path = path.to_owned();
            return Err(if before.photos == info.photos {
                TrainError::ChangedFiles { path, photos: info.photos.clone(), names }
            } else {
                TrainError::Changed { path, what: "what the photos' folder holds".to_owned() }
            });
        }
        if before != *info {
            // Where its base and photos are now, for whoever draws with it.
            write_atomically(&started, in_json(info)?.as_bytes())?;
        }
        Ok(folder)
    }

    /// Writes everything that the next step depends on, then the metrics up to here.
    pub(super) fn save(
        &self,
        weights: &[Trainable],
        optimizer: &Optimizer,
        metrics: &[Metric],
    ) -> Result<(), TrainError> {
        let mut tensors = named_for_file(weights, DType::F32)?;
        for (index, weight) in weights.iter().enumerate() {
            for (name, kept) in optimizer.names().iter().zip(optimizer.kept(index).into_iter().flatten()) {
                let value = match kept {
                    Kept::Numbers(values) => Value::new(values, &Device::Cpu)?,
                    Kept::Codes(codes) => Value::new(codes, &Device::Cpu)?,
                };
                tensors.insert(format!("{name}.{}", weight.name), value);
            }
        }
        let numbers = optimizer.numbers();
        if !numbers.is_empty() {
            tensors.insert(NUMBERS.to_owned(), Value::new(numbers, &Device::Cpu)?);
        }
        let mut lines = String::new();
        for metric in metrics {
            lines +=
                &serde_json::to_string(metric).map_err(|error| TrainError::Serialize(error.to_string()))?;
            lines.push('\n');
        }
        let metadata = BTreeMap::from([("step".to_owned(), optimizer.step().to_string())]);
        let bytes = to_safetensors(&tensors, Some(&metadata)).map_err(TrainError::Serialize)?;
        // Metrics first: a line too many is cut when the run resumes, a line too few could not be made up.
        write_atomically(&self.path.join(METRICS_FILE), lines.as_bytes())?;
        Ok(write_atomically(&self.path.join(CHECKPOINT_FILE), &bytes)?)
    }

    /// The steps that were made up to the checkpoint; 0 where there is none.
    pub(super) fn steps_made(&self) -> u64 {
        step_of(&self.path.join(CHECKPOINT_FILE)).unwrap_or(0)
    }

    /// Takes over what [`Self::save`] wrote; nothing where there is no checkpoint yet.
    pub(super) fn restore(
        &self,
        weights: &[Trainable],
        optimizer: &mut Optimizer,
    ) -> Result<Vec<Metric>, TrainError> {
        let path = self.path.join(CHECKPOINT_FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let mismatch = || TrainError::Checkpoint { path: path.clone() };
        let tensors: NamedTensors = read_safetensors(&path)?;
        let tensor = |name: &str| tensors.get(name).ok_or_else(mismatch);
        let mut kept = Vec::new();
        for weight in weights {
            let length = weight.leaf.value().elem_count();
            let values = values_from_file(tensor(&weight.name)?, weight.kind)?;
            if values.len() != length {
                return Err(mismatch());
            }
            weight.set(values)?;
            let parts = optimizer.names().iter().map(|name| -> Result<Kept, TrainError> {
                let value = tensor(&format!("{name}.{}", weight.name))?;
                Ok(match value.dtype() {
                    DType::U8 => Kept::Codes(value.to_vec1()?),
                    _ => Kept::Numbers(values_from_file(value, ParameterKind::NormScale)?),
                })
            });
            kept.push((length, parts.collect::<Result<_, _>>()?));
        }
        let numbers = tensors.get(NUMBERS).map(Value::to_vec1::<f64>).transpose()?;
        let step = step_of(&path).ok_or_else(mismatch)?;
        if !optimizer.restore(step, &numbers.unwrap_or_default(), kept) {
            return Err(mismatch());
        }
        let mut metrics = read_metrics(&self.path)?;
        metrics.retain(|metric| metric.step <= step);
        Ok(metrics)
    }

    /// Latents of the prior images that have been made so far, by their caption. A file that cannot be read is none: they
    /// are made again.
    pub(super) fn priors(&self) -> BTreeMap<String, Vec<Vec<f32>>> {
        let tensors = read_safetensors(&self.path.join(PRIORS_FILE)).unwrap_or_default();
        tensors.into_iter().filter_map(|(caption, value)| Some((caption, value.to_vec2().ok()?))).collect()
    }

    /// Keeps them, `[images, values]` for each caption, where there is room: a run that does not find them makes them again.
    pub(super) fn keep_priors(&self, priors: &[Prior]) -> Result<(), TrainError> {
        let mut tensors = NamedTensors::new();
        for Prior { caption, latents } in priors.iter().filter(|prior| !prior.latents.is_empty()) {
            tensors.insert(caption.clone(), Value::new(latents.clone(), &Device::Cpu)?);
        }
        let bytes = to_safetensors(&tensors, None).map_err(TrainError::Serialize)?;
        // A disk that is full is told of by the checkpoint, without which a run is nothing.
        let _ = write_atomically(&self.path.join(PRIORS_FILE), &bytes);
        Ok(())
    }

    /// Lets go of what only a run that goes on needs.
    pub(super) fn finish(&self) {
        // It is no fault where there is none; one that stays takes room and no more.
        let _ = std::fs::remove_file(self.path.join(PRIORS_FILE));
    }

    /// Writes the LoRA, in PEFT's names, with its alpha where diffusers looks for it; joined to the one that the run goes on from.
    pub(super) fn write_lora(
        &self,
        weights: &[Trainable],
        info: &RunInfo,
        unet: &UNetConfig,
    ) -> Result<(), TrainError> {
        let recipe = &info.recipe;
        let path = self.path.join(LORA_FILE);
        let (mut tensors, mut rank, mut alpha) = (lora::to_file(weights, unet)?, recipe.rank, recipe.alpha);
        if let Some(further) = &info.further {
            let learnt = LoraFile::from_tensors(&path, tensors, Some(alpha as f32))?;
            let joined = LoraFile::read(&further.lora)?.joined(&learnt)?;
            // Their products are scaled already.
            (tensors, rank, alpha) = (joined.tensors, joined.rank as u32, joined.rank as f64);
        }
        let mut adapter = serde_json::json!({});
        let targets = recipe.targets.iter().map(String::as_str).collect();
        for (network, targets) in [
            (Component::Unet, targets),
            (Component::TextEncoder, TEXT_TARGETS.to_vec()),
            (Component::TextEncoder2, TEXT_TARGETS.to_vec()),
        ] {
            if tensors.keys().any(|name| name.starts_with(&format!("{network}."))) {
                adapter[format!("{network}.r")] = rank.into();
                adapter[format!("{network}.lora_alpha")] = alpha.into();
                adapter[format!("{network}.target_modules")] = targets.into();
                adapter[format!("{network}.use_dora")] = recipe.dora.into();
            }
        }
        // One entry: the format does not fix the order of several, and a run must give the same bytes each time.
        let metadata = BTreeMap::from([("lora_adapter_metadata".to_owned(), adapter.to_string())]);
        let bytes = to_safetensors(&tensors, Some(&metadata)).map_err(TrainError::Serialize)?;
        Ok(write_atomically(&path, &bytes)?)
    }
}

/// The metrics of a run.
///
/// # Errors
/// [`TrainError::Read`].
pub fn read_metrics(folder: &Path) -> Result<Vec<Metric>, TrainError> {
    let path = folder.join(METRICS_FILE);
    let failed = |reason: String| TrainError::Read { path: path.clone(), reason };
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| failed(error.to_string()))).collect()
}
