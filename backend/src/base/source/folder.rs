//! A folder in diffusers' layout.

use std::path::{Path, PathBuf};

use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::{Component, Parameters};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{FileWeights, Precision};

use crate::base::BaseError;

/// What git's checkout holds in place of a large file starts with.
const LFS_POINTER: &str = "version https://git-lfs";

pub(crate) fn read_text(path: &Path) -> Result<String, BaseError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BaseError::Missing { path: path.to_owned() },
        _ => BaseError::Read { path: path.to_owned(), source },
    })?;
    if text.starts_with(LFS_POINTER) {
        let reason = "this is not the file but a pointer of Git LFS to it; download the files themselves (`git lfs pull`)";
        return Err(BaseError::Folder { path: path.to_owned(), reason: reason.to_owned() });
    }
    // Editors on Windows put this mark before a text.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What describes a network, and the noise schedule, in their folders.
pub(super) const CONFIG: &str = "config.json";
pub(super) const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// Reads `config.json` of a network.
///
/// # Errors
/// [`BaseError`], naming the file.
pub fn read_config<C: serde::de::DeserializeOwned>(folder: &Path) -> Result<C, BaseError> {
    let path = folder.join(CONFIG);
    let text = read_text(&path)?;
    refuse_quantized(&text)
        .and_then(|()| mudi_diffusion::parse(&text))
        .map_err(|source| BaseError::Config { path, source })
}

/// The configuration of a text encoder of the base in `folder`.
pub(super) fn text_config(folder: &Path, component: Component) -> Result<ClipTextConfig, BaseError> {
    let folder = folder.join(component.folder());
    let config: ClipTextConfig = read_config(&folder)?;
    config.check_kind().map_err(|source| BaseError::Config { path: folder.join(CONFIG), source })?;
    Ok(if component == Component::TextEncoder2 { config.of_second() } else { config })
}

/// Weights in four or eight bits lie in other shapes, with numbers beside them.
fn refuse_quantized(text: &str) -> mudi_diffusion::Result<()> {
    let config: serde_json::Value = mudi_diffusion::parse(text)?;
    let Some(how) = config.get("quantization_config").filter(|how| !how.is_null()) else { return Ok(()) };
    let method = how.get("quant_method").and_then(serde_json::Value::as_str).unwrap_or("an unknown method");
    Err(mudi_diffusion::Error::Config(format!(
        "the weights are quantized (`quantization_config`, {method}), which is not supported; take the model in f16 or bf16"
    )))
}

/// Names of weights, the most exact first: whole, in shards with an index, in half precision; as diffusers and transformers
/// write them.
const NAMES: [&str; 10] = [
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "model.safetensors.index.fp16.json",
    "diffusion_pytorch_model.fp16.safetensors.index.json",
    "model.fp16.safetensors.index.json",
];

/// Names of pickles, which are not read.
const PICKLES: [&str; 4] = [
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
    "diffusion_pytorch_model.fp16.bin",
    "pytorch_model.fp16.bin",
];

/// The weights of a variant with another name, such as `model.bf16.safetensors`, where they are the only ones.
fn only_variant(folder: &Path) -> Option<PathBuf> {
    let is_variant = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stems = ["diffusion_pytorch_model.", "model."].iter();
        stems.filter_map(|stem| name.strip_prefix(stem)).any(|rest| rest.ends_with(".safetensors"))
    };
    let paths = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found = paths.filter(is_variant);
    found.next().filter(|_| found.next().is_none())
}

/// The weights file of a network's folder, or the index of its shards.
pub(crate) fn weights_file(folder: &Path) -> Result<PathBuf, BaseError> {
    let find = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    if let Some(path) = find(&NAMES).or_else(|| only_variant(folder)) {
        return Ok(path);
    }
    match find(&PICKLES) {
        Some(path) => Err(BaseError::Pickle { path }),
        None => Err(BaseError::Missing { path: folder.join(NAMES[0]) }),
    }
}

/// Loads one network whose every weight must be used.
///
/// # Errors
/// [`BaseError`], naming the file.
pub fn load_network<N>(
    engine: &CandleEngine,
    folder: &Path,
    precision: Precision,
    new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) -> Result<N, BaseError> {
    load_file(engine, &weights_file(folder)?, precision, new)
}

/// The same from a file that is known.
///
/// # Errors
/// [`BaseError::Weights`].
pub fn load_file<N>(
    engine: &CandleEngine,
    path: &Path,
    precision: Precision,
    new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) -> Result<N, BaseError> {
    let mut weights = FileWeights::open_as(engine, path, precision)?;
    let network = weights.build(new)?;
    weights.finish()?;
    Ok(network)
}

pub(super) fn schedule(folder: &Path) -> Result<NoiseSchedule, BaseError> {
    let path = folder.join(SCHEDULER);
    NoiseSchedule::from_json(&read_text(&path)?).map_err(|source| BaseError::Schedule { path, source })
}

/// `force_zeros_for_empty_prompt` of `model_index.json`, which folders made by hand may lack; SDXL's (`pooled`) is then set, as
/// in diffusers.
pub(super) fn zeros_for_empty_prompt(path: &Path, pooled: bool) -> Result<bool, BaseError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(BaseError::Missing { .. }) => return Ok(pooled),
        Err(error) => return Err(error),
    };
    let index: serde_json::Value =
        mudi_diffusion::parse(&text).map_err(|source| BaseError::Config { path: path.to_owned(), source })?;
    Ok(index["force_zeros_for_empty_prompt"].as_bool().unwrap_or(pooled))
}

/// The files of a tokenizer; the last three may be missing.
const TOKENIZER_FILES: [&str; 5] =
    ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// What today's transformers write in place of the first two.
const WHOLE_TOKENIZER: &str = "tokenizer.json";

/// The `tokenizer.json` of a folder that lacks what it stands for.
fn whole_tokenizer(folder: &Path) -> Option<PathBuf> {
    let whole = folder.join(WHOLE_TOKENIZER);
    let lacks = TOKENIZER_FILES[..2].iter().any(|name| !folder.join(name).is_file());
    (lacks && whole.is_file()).then_some(whole)
}

/// Reads those of a folder that there are; of a `tokenizer.json` the first three are made.
pub(super) fn tokenizer_files(folder: &Path) -> Result<Vec<(&'static str, String)>, BaseError> {
    let whole = whole_tokenizer(folder);
    let mut files = Vec::new();
    for (index, name) in TOKENIZER_FILES.into_iter().enumerate().skip(if whole.is_some() { 2 } else { 0 }) {
        match read_text(&folder.join(name)) {
            Ok(text) => files.push((name, text)),
            Err(BaseError::Missing { .. }) if index > 1 => {}
            Err(error) => return Err(error),
        }
    }
    let Some(path) = whole else { return Ok(files) };
    let text = |file: &str| files.iter().find(|(name, _)| *name == file).map(|(_, text)| text.as_str());
    let (config, special) = (text(TOKENIZER_FILES[2]), text(TOKENIZER_FILES[3]));
    let made = Tokenizer::files_of(&read_text(&path)?, config, special)
        .map_err(|source| BaseError::Tokenizer { path: folder.to_owned(), source })?;
    files.retain(|(name, _)| *name != TOKENIZER_FILES[2]);
    Ok(TOKENIZER_FILES.into_iter().zip(made).chain(files).collect())
}

/// Whether a word is one token of the vocabulary of a tokenizer's folder. That text alone is read: a tokenizer takes a tenth of a
/// second to build.
pub(super) fn has_word(folder: &Path, word: &str) -> Result<bool, BaseError> {
    let (path, at) = match whole_tokenizer(folder) {
        Some(whole) => (whole, "/model/vocab"),
        None => (folder.join(TOKENIZER_FILES[0]), ""),
    };
    let json: serde_json::Value = mudi_diffusion::parse(&read_text(&path)?)
        .map_err(|source| BaseError::Config { path: path.clone(), source })?;
    Ok(json.pointer(at).and_then(|vocabulary| vocabulary.get(format!("{word}</w>"))).is_some())
}

/// The tokenizer of a folder with `vocab.json` and `merges.txt`, or with `tokenizer.json`.
pub(crate) fn load_tokenizer(folder: &Path) -> Result<Tokenizer, BaseError> {
    let files = tokenizer_files(folder)?;
    let text = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| text.as_str());
    let [vocab, merges, config, special, added] = TOKENIZER_FILES.map(text);
    let (vocab, merges) = (vocab.unwrap_or_default(), merges.unwrap_or_default());
    Tokenizer::from_folder_json(vocab, merges, config, special, added)
        .map_err(|source| BaseError::Tokenizer { path: folder.to_owned(), source })
}
