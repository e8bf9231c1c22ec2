//! A base model with its LoRAs merged, as a folder in diffusers' layout or as one checkpoint file.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::ldm::{Checkpoint, Part};
use mudi_diffusion::schedule::PredictionType;
use mudi_diffusion::{Component, Error as NetworkError};
use mudi_engine_candle::weights::{SafetensorsWriter, TensorHeader};
use serde_json::json;

use super::said::Said;
use super::weights::{Reader, Weight};
use super::{ExportError, implied};
use crate::base::Source;
use crate::files::{WriteError, create_folder, write_atomically};

/// How weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// In four bytes.
    Single,
    /// In two bytes, as most models are published.
    F16,
    /// In two bytes, with the range of four.
    Bf16,
}

impl Held {
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::Single => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// The networks that a base has.
fn components(source: &Source) -> Vec<Component> {
    Component::ALL.into_iter().filter(|component| source.has(*component)).collect()
}

/// Writes a base, with its LoRAs, as a folder in diffusers' layout.
///
/// # Errors
/// [`ExportError`]; a folder that exists already. The folder is there whole or not at all.
pub fn write_folder(source: &Source, held: Held, out: &Path) -> Result<(), ExportError> {
    if out.exists() {
        return Err(ExportError::Exists { path: out.to_owned() });
    }
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = out.with_file_name(name);
    let written = fill(source, held, &part).and_then(|()| {
        std::fs::rename(&part, out).map_err(|source| WriteError { path: out.to_owned(), source }.into())
    });
    if written.is_err() {
        // The writing has failed already; what cannot be removed either changes nothing.
        let _ = std::fs::remove_dir_all(&part);
    }
    written
}

/// Writes everything into the new folder `out`.
fn fill(source: &Source, held: Held, out: &Path) -> Result<(), ExportError> {
    create_folder(out)?;
    for component in components(source) {
        let folder = out.join(component.folder());
        create_folder(&folder)?;
        let config = match source.config_text(component)? {
            // With what other programs read of it, and nothing that it does not say.
            Some(text) => text,
            None => made_config(source, component)?,
        };
        write_atomically(&folder.join("config.json"), config.as_bytes())?;
        let mut reader = Reader::new(source, &[component], held)?;
        let weights = reader.weights(component)?;
        let headers = weights.iter().map(|weight| TensorHeader {
            name: weight.name.clone(),
            shape: weight.shape.clone(),
            dtype: held.dtype(),
        });
        let file = match component {
            Component::Unet | Component::Vae => "diffusion_pytorch_model.safetensors",
            _ => "model.safetensors",
        };
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let mut writer = SafetensorsWriter::create(&folder.join(file), headers.collect(), &metadata)?;
        for weight in &weights {
            writer.write(&reader.read(weight)?)?;
        }
        writer.finish()?;
    }
    let scheduler = out.join("scheduler");
    create_folder(&scheduler)?;
    let schedule = match source.schedule_text()? {
        Some(text) => text,
        None => json_text(source.schedule()?.config())?,
    };
    write_atomically(&scheduler.join("scheduler_config.json"), schedule.as_bytes())?;
    let two = source.has(Component::TextEncoder2);
    for (folder, component) in
        [("tokenizer", Component::TextEncoder), ("tokenizer_2", Component::TextEncoder2)]
    {
        if source.has(component) {
            let folder = out.join(folder);
            create_folder(&folder)?;
            for (name, text) in source.tokenizer_files(component)? {
                write_atomically(&folder.join(name), text.as_bytes())?;
            }
        }
    }
    let mut index = json!({
        "_class_name": if two { "StableDiffusionXLPipeline" } else { "StableDiffusionPipeline" },
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    });
    if two {
        index["text_encoder_2"] = json!(["transformers", "CLIPTextModelWithProjection"]);
        index["tokenizer_2"] = json!(["transformers", "CLIPTokenizer"]);
        index["force_zeros_for_empty_prompt"] = json!(source.zeros_for_empty_prompt()?);
    } else {
        index["safety_checker"] = json!([null, null]);
        index["feature_extractor"] = json!([null, null]);
        index["requires_safety_checker"] = json!(false);
    }
    Ok(write_atomically(&out.join("model_index.json"), json_text(&index)?.as_bytes())?)
}

/// The configuration of a network of a checkpoint file, as its weights have it.
fn made_config(source: &Source, component: Component) -> Result<String, ExportError> {
    match component {
        Component::Unet => {
            let config = source.unet_config()?;
            let mut json = serde_json::to_value(&config)?;
            let velocity = source.schedule()?.config().prediction_type == PredictionType::VPrediction;
            if velocity && !config.has_text_time() {
                // The scores of SD 2's model of velocity are too large for half precision.
                json["upcast_attention"] = true.into();
            }
            json_text(&json)
        }
        Component::Vae => {
            let mut config = source.vae_config()?;
            // diffusers' tiles are of this size, and of 32 pixels without it.
            let latent = source.unet_config()?.sample_size;
            config.sample_size = config.sample_size.or(latent.map(|side| side * config.reduction()));
            json_text(&config)
        }
        text => {
            let index = usize::from(text == Component::TextEncoder2);
            json_text(&source.text_configs()?.get(index))
        }
    }
}

fn json_text(value: &impl serde::Serialize) -> Result<String, ExportError> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// A tensor of a checkpoint file, and the weights that it is made of.
struct Stored {
    weights: Vec<Weight>,
    transposed: bool,
}

impl Stored {
    fn shape(&self) -> Vec<usize> {
        let mut shape = self.weights[0].shape.clone();
        if self.transposed {
            shape.reverse();
        }
        shape[0] *= self.weights.len();
        shape
    }
}

/// Writes a base, with its LoRAs, as one file with LDM's names. Returns what such a file cannot say of the base, and programs that read it
/// can do without.
///
/// # Errors
/// [`ExportError`]; a file that exists already. Nothing half-written is left.
pub fn write_checkpoint(source: &Source, held: Held, out: &Path) -> Result<Option<String>, ExportError> {
    if out.exists() {
        return Err(ExportError::Exists { path: out.to_owned() });
    }
    let said = Said::of(source)?;
    let checkpoint = Checkpoint::of(source.unet_config()?, source.vae_config()?, source.text_configs()?);
    let components = components(source);
    let mut reader = Reader::new(source, &components, held)?;
    let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
    for &component in &components {
        for mut weight in reader.weights(component)? {
            let stored = checkpoint.stored(component, &weight.name).ok_or_else(|| {
                NetworkError::Config(format!("checkpoint files have no name for `{}`", weight.name))
            })?;
            if component == Component::Vae && weight.name.contains("attentions") && weight.shape.len() == 2 {
                // 1x1 convolutions there.
                weight.shape.extend([1, 1]);
            }
            let transposed = stored.part == Part::Transposed;
            // Networks ask for query, key and value in this order, and thirds lie in it.
            tensors
                .entry(stored.name)
                .or_insert_with(|| Stored { weights: Vec::new(), transposed })
                .weights
                .push(weight);
        }
    }
    for _ in 0..checkpoint.unused_text_layers() {
        repeat_last_layer(&mut tensors);
    }
    if let Some(what) = implied::unsaid(&checkpoint, &|name: &str| tensors.get(name).map(Stored::shape)) {
        return Err(ExportError::Unsaid { path: source.path().to_owned(), what });
    }
    let header = |name: &str, shape| TensorHeader { name: name.to_owned(), shape, dtype: held.dtype() };
    let marks = said.marks.iter().map(|mark| header(mark, vec![0]));
    let headers = marks.chain(tensors.iter().map(|(name, stored)| header(name, stored.shape())));
    let title = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("modelspec.sai_model_spec".to_owned(), "1.0.0".to_owned()),
        ("modelspec.title".to_owned(), title),
        ("modelspec.prediction_type".to_owned(), said.prediction.to_owned()),
    ]);
    let mut writer = SafetensorsWriter::create(out, headers.collect(), &metadata)?;
    for _ in &said.marks {
        writer.write(&Value::zeros(0, held.dtype(), &Device::Cpu).map_err(NetworkError::engine)?)?;
    }
    for stored in tensors.values() {
        let parts = stored.weights.iter().map(|weight| reader.read(weight)).collect::<Result<Vec<_>, _>>()?;
        let mut value = Value::cat(&parts, 0).map_err(NetworkError::engine)?;
        if stored.transposed {
            value = value.t().and_then(|value| value.contiguous()).map_err(NetworkError::engine)?;
        }
        writer.write(&value)?;
    }
    writer.finish()?;
    Ok(said.note)
}

/// SD 2's files have a last text layer that nobody uses, and programs that read them expect it: a copy of the one before.
fn repeat_last_layer(tensors: &mut BTreeMap<String, Stored>) {
    const LAYERS: &str = "cond_stage_model.model.transformer.resblocks.";
    let number = |name: &str| name.strip_prefix(LAYERS)?.split_once('.')?.0.parse::<usize>().ok();
    let Some(last) = tensors.keys().filter_map(|name| number(name)).max() else { return };
    let copies: Vec<(String, Stored)> = tensors
        .iter()
        .filter(|(name, _)| number(name) == Some(last))
        .map(|(name, stored)| {
            let name = name.replacen(&format!("{LAYERS}{last}."), &format!("{LAYERS}{}.", last + 1), 1);
            (name, Stored { weights: stored.weights.clone(), transposed: stored.transposed })
        })
        .collect();
    tensors.extend(copies);
}
