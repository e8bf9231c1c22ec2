//! A base model with its LoRAs merged, as a folder in diffusers' layout or as one checkpoint file.
//!
//! Weights are read, changed and written one at a time: the model is never in memory as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::clip::ClipText;
use mudi_diffusion::ldm::{Checkpoint, Part};
use mudi_diffusion::schedule::PredictionType;
use mudi_diffusion::unet::UNet;
use mudi_diffusion::vae::{VaeDecoder, VaeEncoder};
use mudi_diffusion::{Component, Error as NetworkError};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::Shapes;
use mudi_engine_candle::weights::{FileWeights, Precision, SafetensorsWriter, TensorHeader};
use serde_json::json;

use super::ExportError;
use crate::base::{BaseError, Source};
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
    fn dtype(self) -> DType {
        match self {
            Self::Single => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// One weight as diffusers' files have it.
struct Weight {
    component: Component,
    name: String,
    shape: Vec<usize>,
}

/// Every weight of a network.
fn weights_of(source: &Source, component: Component) -> Result<Vec<Weight>, ExportError> {
    let mut shapes = Shapes::default();
    let mut convolutions: &[&str] = &[];
    match component {
        Component::Unet => {
            let config = source.unet_config()?;
            if !config.use_linear_projection {
                // Around these transformers files have 1x1 convolutions, which are linear layers here.
                convolutions = &[".proj_in.weight", ".proj_out.weight"];
            }
            UNet::<CandleEngine>::new(config, &mut shapes)?;
        }
        Component::Vae => {
            let config = source.vae_config()?;
            VaeEncoder::<CandleEngine>::new(&config, &mut shapes)?;
            VaeDecoder::<CandleEngine>::new(&config, &mut shapes)?;
        }
        Component::TextEncoder | Component::TextEncoder2 => {
            let index = usize::from(component == Component::TextEncoder2);
            let config = source
                .text_configs()?
                .into_iter()
                .nth(index)
                .ok_or_else(|| NetworkError::Config(format!("there is no {component} in this base")))?;
            ClipText::<CandleEngine>::new(config, &mut shapes)?;
        }
    }
    let weight = |made: &mudi_engine_candle::shapes::ParameterShape| {
        let mut shape = made.in_file();
        if convolutions.iter().any(|end| made.name.ends_with(end)) {
            shape.extend([1, 1]);
        }
        Weight { component, name: made.name.clone(), shape }
    };
    Ok(shapes.made.iter().map(weight).collect())
}

/// Reads weights of a base by diffusers' names.
struct Reader {
    files: BTreeMap<Component, FileWeights>,
    dtype: DType,
}

impl Reader {
    fn new(source: &Source, components: &[Component], held: Held) -> Result<Self, ExportError> {
        let engine = CandleEngine::cpu();
        let open = |component: &Component| -> Result<_, BaseError> {
            Ok((*component, source.weights(&engine, *component, Precision::Single)?))
        };
        let files = components.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { files, dtype: held.dtype() })
    }

    /// The weight in the shape that is written, and in its type.
    fn read(&mut self, weight: &Weight) -> Result<Value, ExportError> {
        let missing =
            || NetworkError::MissingTensor { name: weight.name.clone(), expected: weight.shape.clone() };
        let file = self.files.get_mut(&weight.component).ok_or_else(missing)?;
        let value = file.read(&weight.name)?.ok_or_else(missing)?;
        if value.elem_count() != weight.shape.iter().product::<usize>() {
            return Err(ExportError::Network(NetworkError::TensorShape {
                name: weight.name.clone(),
                expected: weight.shape.clone(),
                found: value.dims().to_vec(),
            }));
        }
        let value = value
            .reshape(weight.shape.as_slice())
            .and_then(|value| value.to_dtype(self.dtype))
            .map_err(NetworkError::engine)?;
        let largest = value.to_dtype(DType::F32).and_then(|value| value.abs()?.max_all()?.to_scalar::<f32>());
        if largest.map_err(NetworkError::engine)?.is_finite() {
            Ok(value)
        } else {
            Err(ExportError::TooLarge { name: weight.name.clone() })
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
        let config = match component {
            Component::Unet => serde_json::to_value(source.unet_config()?)?,
            Component::Vae => serde_json::to_value(source.vae_config()?)?,
            text => {
                let index = usize::from(text == Component::TextEncoder2);
                serde_json::to_value(source.text_configs()?.get(index))?
            }
        };
        write_json(&folder.join("config.json"), &config)?;
        let weights = weights_of(source, component)?;
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
        let mut reader = Reader::new(source, &[component], held)?;
        for weight in &weights {
            writer.write(&reader.read(weight)?)?;
        }
        writer.finish()?;
    }
    let scheduler = out.join("scheduler");
    create_folder(&scheduler)?;
    write_json(
        &scheduler.join("scheduler_config.json"),
        &serde_json::to_value(source.schedule()?.config())?,
    )?;
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
    write_json(&out.join("model_index.json"), &index)
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), ExportError> {
    Ok(write_atomically(path, (serde_json::to_string_pretty(value)? + "\n").as_bytes())?)
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

/// Writes a base, with its LoRAs, as one file with LDM's names.
///
/// # Errors
/// [`ExportError`]; a file that exists already. Nothing half-written is left.
pub fn write_checkpoint(source: &Source, held: Held, out: &Path) -> Result<(), ExportError> {
    if out.exists() {
        return Err(ExportError::Exists { path: out.to_owned() });
    }
    let checkpoint = Checkpoint::of(source.unet_config()?, source.vae_config()?, source.text_configs()?);
    let components = components(source);
    let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
    for &component in &components {
        for mut weight in weights_of(source, component)? {
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
    let headers = tensors.iter().map(|(name, stored)| TensorHeader {
        name: name.clone(),
        shape: stored.shape(),
        dtype: held.dtype(),
    });
    let velocity = source.schedule()?.prediction_type() == PredictionType::VPrediction;
    let title = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("modelspec.sai_model_spec".to_owned(), "1.0.0".to_owned()),
        ("modelspec.title".to_owned(), title),
        ("modelspec.prediction_type".to_owned(), if velocity { "v" } else { "epsilon" }.to_owned()),
    ]);
    let mut writer = SafetensorsWriter::create(out, headers.collect(), &metadata)?;
    let mut reader = Reader::new(source, &components, held)?;
    for stored in tensors.values() {
        let parts = stored.weights.iter().map(|weight| reader.read(weight)).collect::<Result<Vec<_>, _>>()?;
        let mut value = Value::cat(&parts, 0).map_err(NetworkError::engine)?;
        if stored.transposed {
            value = value.t().and_then(|value| value.contiguous()).map_err(NetworkError::engine)?;
        }
        writer.write(&value)?;
    }
    Ok(writer.finish()?)
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
            let weights = stored
                .weights
                .iter()
                .map(|weight| Weight { name: weight.name.clone(), shape: weight.shape.clone(), ..*weight })
                .collect();
            let name = name.replacen(&format!("{LAYERS}{last}."), &format!("{LAYERS}{}.", last + 1), 1);
            (name, Stored { weights, transposed: stored.transposed })
        })
        .collect();
    tensors.extend(copies);
}
