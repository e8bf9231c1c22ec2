//! Writing a LoRA with the names that other tools read.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::lora::names::{Layer, Layers, Part, family};
use mudi_diffusion::schedule::PredictionType;
use mudi_diffusion::unet::UNetConfig;
use serde_json::{Map, Value as Json, json};

use super::magnitudes::Magnitudes;
use super::metadata::ADAPTER_ENTRY;
use super::{LoraError, LoraFile, MAGNITUDE, Module, magnitude_in_file};
use crate::weights::NamedTensors;

/// Whose names a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// diffusers' and PEFT's: `unet.<layer>.lora_A.weight`, the scale as metadata.
    Peft,
    /// kohya's tools', which ComfyUI and others read: `lora_unet_<layer>.lora_down.weight`, with an `alpha` for each.
    Kohya,
}

/// The base that a LoRA is written for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its layers.
    pub layers: &'a Layers,
    /// Its denoiser.
    pub unet: &'a UNetConfig,
    /// What its denoiser predicts.
    pub prediction: PredictionType,
    /// Side of the pictures that it was trained on, in pixels.
    pub resolution: usize,
}

/// Tensors and metadata, ready to be written.
pub type Written = (NamedTensors, BTreeMap<String, String>);

/// The same LoRA in a dialect; `title` is its name for people.
///
/// # Errors
/// Layers that the base does not have; kinds that PEFT's files do not have.
pub fn translate(
    file: LoraFile,
    dialect: Dialect,
    target: Target<'_>,
    title: &str,
) -> Result<Written, LoraError> {
    let path = file.path.clone();
    let modules = file.resolve(target.layers)?;
    match dialect {
        Dialect::Peft => {
            let (tensors, mut metadata) = peft(&modules).map_err(|failed| failed.of(path))?;
            // Automatic1111's list takes whatever has metadata and does not say this for SD 1's.
            metadata.extend(base_version(target).map(|(name, text)| (name.to_owned(), text.to_owned())));
            Ok((tensors, metadata))
        }
        Dialect::Kohya => {
            let tensors = kohya(&modules, target.unet).map_err(|failed| failed.of(path))?;
            let metadata = kohya_metadata(&modules, target, title);
            Ok((tensors, metadata))
        }
    }
}

/// What failed with which layer.
struct Failed {
    layer: String,
    reason: Reason,
}

enum Reason {
    Kind(&'static str),
    Fault(String),
}

impl Failed {
    fn of(self, path: std::path::PathBuf) -> LoraError {
        let Self { layer, reason } = self;
        match reason {
            Reason::Fault(reason) => LoraError::Layer { path, layer, reason },
            Reason::Kind(kind) => {
                let purpose = "PEFT's files do not hold; write it with --format kohya";
                LoraError::Kind { path, layer, kind, purpose }
            }
        }
    }
}

impl Module {
    fn failed(&self, reason: Reason) -> Failed {
        Failed { layer: self.name.clone(), reason }
    }

    /// A part that is there, in `f32`.
    fn copied(&self, part: Part) -> Result<Option<Value>, Failed> {
        let copy = |value: &Value| value.to_dtype(DType::F32).and_then(|value| value.contiguous());
        self.part(part).map(copy).transpose().map_err(|error| self.failed(Reason::Fault(error.to_string())))
    }

    /// DoRA's magnitudes as PEFT has them: `[O]`, and `[1, O, 1, 1]` of a convolution.
    fn lengths(&self) -> Result<Option<Value>, Failed> {
        let (Some(down), Some(up)) = (self.part(Part::Down), self.part(Part::Up)) else { return Ok(None) };
        let fault = |reason| self.failed(Reason::Fault(reason));
        let sizes = (up.dims().first(), down.dims().get(1));
        let (Some(&outputs), Some(&inputs)) = sizes else { return Ok(None) };
        match self.magnitudes(&[outputs, inputs]).map_err(fault)? {
            None => Ok(None),
            Some(Magnitudes::OfInputs(_)) => Err(self.failed(Reason::Kind("DoRA with magnitudes of inputs"))),
            Some(Magnitudes::OfOutputs(lengths)) if down.rank() == 2 => Ok(Some(lengths)),
            Some(Magnitudes::OfOutputs(lengths)) => {
                let shape = [&[1, outputs][..], &vec![1; down.rank() - 2]].concat();
                lengths.reshape(shape).map(Some).map_err(|error| fault(error.to_string()))
            }
        }
    }
}

/// PEFT's names. The scale is multiplied into the second factor, so that tools that do not read the metadata agree.
fn peft(modules: &BTreeMap<Layer, Module>) -> Result<Written, Failed> {
    let mut tensors = NamedTensors::new();
    let mut ranks: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut doras = BTreeSet::new();
    for (layer, module) in modules {
        let kind = module.kind();
        if !matches!(kind, "LoRA" | "DoRA") {
            return Err(module.failed(Reason::Kind(kind)));
        }
        let (down, _, scale) = module.factors().map_err(|reason| module.failed(Reason::Fault(reason)))?;
        let name = layer.peft();
        if let Some(value) = module.copied(Part::Down)? {
            tensors.insert(format!("{name}.lora_A.weight"), value);
        }
        if let Some(value) = module.copied(Part::Up)? {
            let scaled = if scale == 1.0 { Ok(value) } else { value * f64::from(scale) };
            let scaled = scaled.map_err(|error| module.failed(Reason::Fault(error.to_string())))?;
            tensors.insert(format!("{name}.lora_B.weight"), scaled);
        }
        if let Some(lengths) = module.lengths()? {
            tensors.insert(magnitude_in_file(&format!("{name}{MAGNITUDE}")), lengths);
            doras.insert(layer.component.folder());
        }
        // PEFT looks for modules that are called so or end so; transformers' own names of today lack this prefix.
        let path = layer.path.strip_prefix("text_model.").unwrap_or(&layer.path);
        ranks.entry(layer.component.folder()).or_default().insert(path, down.dims()[0]);
    }
    let mut adapter = Map::new();
    for (network, ranks) in ranks {
        let usual = most_frequent(ranks.values().copied());
        let others: BTreeMap<&str, usize> =
            ranks.iter().filter(|(_, rank)| **rank != usual).map(|(path, rank)| (*path, *rank)).collect();
        for (field, value) in [
            ("r", json!(usual)),
            ("lora_alpha", json!(usual)),
            ("rank_pattern", json!(others)),
            ("alpha_pattern", json!(others)),
            ("target_modules", json!(ranks.keys().collect::<Vec<_>>())),
            ("use_dora", json!(doras.contains(network))),
        ] {
            adapter.insert(format!("{network}.{field}"), value);
        }
    }
    let metadata = BTreeMap::from([
        (ADAPTER_ENTRY.to_owned(), Json::Object(adapter).to_string()),
        ("format".to_owned(), "pt".to_owned()),
    ]);
    Ok((tensors, metadata))
}

fn most_frequent(ranks: impl Iterator<Item = usize>) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    ranks.for_each(|rank| *counts.entry(rank).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(rank, _)| rank)
}

/// The end of a part's name in kohya's and LyCORIS' files.
fn kohya_suffix(part: Part) -> &'static str {
    match part {
        Part::Alpha => "alpha",
        Part::Down => "lora_down.weight",
        Part::Up => "lora_up.weight",
        Part::Mid => "lora_mid.weight",
        Part::Magnitude | Part::DoraScale => "dora_scale",
        Part::HadaW1A => "hada_w1_a",
        Part::HadaW1B => "hada_w1_b",
        Part::HadaW2A => "hada_w2_a",
        Part::HadaW2B => "hada_w2_b",
        Part::HadaT1 => "hada_t1",
        Part::HadaT2 => "hada_t2",
        Part::LokrW1 => "lokr_w1",
        Part::LokrW1A => "lokr_w1_a",
        Part::LokrW1B => "lokr_w1_b",
        Part::LokrW2 => "lokr_w2",
        Part::LokrW2A => "lokr_w2_a",
        Part::LokrW2B => "lokr_w2_b",
        Part::LokrT2 => "lokr_t2",
        Part::Diff => "diff",
        Part::DiffBias => "diff_b",
        Part::NormScale => "w_norm",
        Part::NormShift => "b_norm",
    }
}

/// kohya's names, with an alpha for each layer.
fn kohya(modules: &BTreeMap<Layer, Module>, unet: &UNetConfig) -> Result<NamedTensors, Failed> {
    let mut tensors = NamedTensors::new();
    for (layer, module) in modules {
        let fault = |error: candle_core::Error| module.failed(Reason::Fault(error.to_string()));
        let name = layer.kohya(unet);
        for (part, value) in module.parts().filter(|(part, _)| *part != Part::Alpha) {
            let mut value = value.contiguous().map_err(fault)?;
            if part == Part::Magnitude {
                // A column of as many axes as the weight, as their other magnitudes of outputs.
                let axes = module.part(Part::Down).map_or(2, Value::rank);
                let shape = [&[value.elem_count()][..], &vec![1; axes.saturating_sub(1)]].concat();
                value = value.reshape(shape).map_err(fault)?;
            }
            tensors.insert(format!("{name}.{}", kohya_suffix(part)), value);
        }
        let rank_part = [Part::Down, Part::HadaW1B, Part::LokrW1B, Part::LokrW2B]
            .into_iter()
            .find_map(|part| module.part(part));
        let wrong = |reason| module.failed(Reason::Fault(reason));
        match rank_part.and_then(|value| value.dims().first().copied()) {
            Some(rank) => {
                let alpha = module.scale(rank).map_err(wrong)? * rank as f32;
                tensors.insert(format!("{name}.alpha"), Value::new(alpha, &Device::Cpu).map_err(fault)?);
            }
            None => {
                // Whole factors have no rank, and readers look at no alpha.
                let scale = module.scale_of_whole().map_err(wrong)?;
                if let Some(whole) = module.part(Part::LokrW1) {
                    let scaled = (whole * f64::from(scale)).map_err(fault)?;
                    tensors.insert(format!("{name}.{}", kohya_suffix(Part::LokrW1)), scaled);
                }
            }
        }
    }
    Ok(tensors)
}

/// What kohya's tools call the base, by which programs list LoRAs for it; only by the second one some of them know SD 2.
fn base_version(target: Target<'_>) -> [(&'static str, &'static str); 2] {
    let velocity = target.prediction == PredictionType::VPrediction;
    let (version, is_second) =
        match (target.unet.has_text_time(), family(target.layers.context().unwrap_or(0))) {
            (true, _) => ("sdxl_base_v1-0", "False"),
            (false, "SD 2") => (if velocity { "sd_v2_v" } else { "sd_v2" }, "True"),
            (false, _) => ("sd_v1", "False"),
        };
    [("ss_base_model_version", version), ("ss_v2", is_second)]
}

/// What kohya's tools and galleries of models look for (sd-scripts' `ss_` and the `modelspec` of Stability AI).
fn kohya_metadata(
    modules: &BTreeMap<Layer, Module>,
    target: Target<'_>,
    title: &str,
) -> BTreeMap<String, String> {
    let ranks = modules.values().filter_map(|module| module.part(Part::Down)?.dims().first().copied());
    let rank = most_frequent(ranks);
    let alphas = modules.values().filter_map(|module| {
        let rank = module.part(Part::Down)?.dims().first().copied()?;
        Some(module.scale(rank).ok()? * rank as f32)
    });
    let alpha = alphas.fold(0.0f32, f32::max);
    let velocity = target.prediction == PredictionType::VPrediction;
    let [version, is_second] = base_version(target);
    let architecture = match version.1 {
        "sdxl_base_v1-0" => "stable-diffusion-xl-v1-base",
        "sd_v2_v" => "stable-diffusion-v2-768-v",
        "sd_v2" => "stable-diffusion-v2-512",
        _ => "stable-diffusion-v1",
    };
    let lycoris = modules.values().any(|module| !matches!(module.kind(), "LoRA" | "DoRA"));
    [
        ("ss_network_module", if lycoris { "lycoris.kohya" } else { "networks.lora" }.to_owned()),
        ("ss_network_dim", rank.to_string()),
        ("ss_network_alpha", alpha.to_string()),
        (version.0, version.1.to_owned()),
        (is_second.0, is_second.1.to_owned()),
        ("ss_output_name", title.to_owned()),
        ("modelspec.sai_model_spec", "1.0.0".to_owned()),
        ("modelspec.architecture", format!("{architecture}/lora")),
        (
            "modelspec.implementation",
            if target.unet.has_text_time() { "sgm" } else { "diffusers" }.to_owned(),
        ),
        ("modelspec.prediction_type", if velocity { "v" } else { "epsilon" }.to_owned()),
        ("modelspec.resolution", format!("{0}x{0}", target.resolution)),
        ("modelspec.title", title.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    /// As kohya's tools write it and Automatic1111 and SD.Next read it.
    #[test]
    fn bases_are_called_as_lists_of_loras_know_them() {
        use PredictionType::{Epsilon, VPrediction};
        for (fields, prediction, version, second) in [
            (r#"{"cross_attention_dim": 768}"#, Epsilon, "sd_v1", "False"),
            (r#"{"cross_attention_dim": 1024}"#, Epsilon, "sd_v2", "True"),
            (r#"{"cross_attention_dim": 1024}"#, VPrediction, "sd_v2_v", "True"),
            (
                r#"{"cross_attention_dim": 2048, "addition_embed_type": "text_time"}"#,
                VPrediction,
                "sdxl_base_v1-0",
                "False",
            ),
        ] {
            let unet: UNetConfig = mudi_diffusion::parse(fields).unwrap();
            let layers = Layers::new([], &unet);
            let target = Target { layers: &layers, unet: &unet, prediction, resolution: 512 };
            let expected = [("ss_base_model_version", version), ("ss_v2", second)];
            assert_eq!(base_version(target), expected, "{fields}");
        }
    }
}
