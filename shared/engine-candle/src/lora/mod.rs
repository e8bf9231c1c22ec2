//! Attaching a LoRA to a UNet, and its files.
//!
//! Files of diffusers and PEFT (`unet.<path>.lora_A.weight` or `.lora.down.weight`) and of kohya's tools
//! (`lora_unet_<path>.lora_down.weight` with `.alpha`) are read; PEFT's names are written.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::unet::UNet;
use mudi_diffusion::{Error, ParameterKind, Result};

use crate::engine::CandleEngine;
use crate::slices;
use crate::tape::Tensor;
use crate::weights::{NamedTensors, Trainable};

/// The projections that a LoRA adapts unless told otherwise (MuDI, appendix A).
pub const DEFAULT_TARGETS: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];

/// Attaches a LoRA that learns to every attention projection whose path ends in one of `targets`; `init` gives the values
/// of each factor by name and shape.
///
/// # Errors
/// Targets that no projection ends in; engine errors.
pub fn attach_trainable(
    unet: &mut UNet<CandleEngine>,
    targets: &[String],
    rank: usize,
    alpha: f32,
    mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<Vec<Trainable>> {
    let mut made = Vec::new();
    let mut unmatched: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
    for projection in unet.projections() {
        let Some(target) = targets.iter().find(|target| projection.path.ends_with(target.as_str())) else {
            continue;
        };
        unmatched.remove(target.as_str());
        let mut factor = |name: &str, shape: [usize; 2]| -> Result<Tensor> {
            let name = format!("unet.{}.{name}.weight", projection.path);
            let value = slices::value(init(&name, &shape), (shape[0], shape[1]))?;
            let leaf = Tensor::leaf(value);
            made.push(Trainable { name, kind: ParameterKind::Linear, leaf: leaf.clone() });
            Ok(leaf)
        };
        let down = factor("lora_A", [rank, projection.inputs])?;
        let up = factor("lora_B", [projection.outputs, rank])?;
        projection.lora = Some(LoraFactors { down, up, scale: alpha / rank as f32 });
    }
    if let Some(target) = unmatched.first() {
        return Err(Error::Config(format!(
            "no attention projection of this UNet ends in `{target}`; known are {}",
            DEFAULT_TARGETS.join(", ")
        )));
    }
    Ok(made)
}

/// The factors of one projection, as a file holds them.
#[derive(Default)]
struct Found {
    down: Option<Value>,
    up: Option<Value>,
    alpha: Option<f32>,
}

/// Ends of names, and which part they are.
const SUFFIXES: [(&str, Part); 7] = [
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".alpha", Part::Alpha),
];

#[derive(Clone, Copy)]
enum Part {
    Down,
    Up,
    Alpha,
}

/// Attaches a LoRA from a file's tensors, as constants; `alpha` (a number that PEFT keeps in metadata) defaults to the
/// rank. Returns how many projections were adapted.
///
/// # Errors
/// Tensors that fit no attention projection of this UNet, by name; factors whose shapes do not fit.
pub fn attach(unet: &mut UNet<CandleEngine>, tensors: &NamedTensors, alpha: Option<f32>) -> Result<usize> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for (name, value) in tensors {
        let (path, part) = SUFFIXES
            .iter()
            .find_map(|(suffix, part)| name.strip_suffix(suffix).map(|path| (path, *part)))
            .ok_or_else(|| Error::Config(format!("tensor `{name}` is not part of a LoRA")))?;
        let entry = found.entry(key(path)).or_default();
        match part {
            Part::Down => entry.down = Some(value.clone()),
            Part::Up => entry.up = Some(value.clone()),
            Part::Alpha => entry.alpha = slices::to_vec(value)?.first().copied(),
        }
    }
    let mut adapted = 0;
    for projection in unet.projections() {
        let Some(entry) = found.remove(&key(&projection.path)) else { continue };
        let (Some(down), Some(up)) = (entry.down, entry.up) else {
            return Err(Error::Config(format!(
                "LoRA of `{}`: one of its two factors is missing",
                projection.path
            )));
        };
        let (down, up) = (matrix(&down)?, matrix(&up)?);
        let rank = down.dims()[0];
        for (name, value, expected) in
            [("lora_A", &down, [rank, projection.inputs]), ("lora_B", &up, [projection.outputs, rank])]
        {
            if value.dims() != expected || rank == 0 {
                return Err(Error::TensorShape {
                    name: format!("{}.{name}", projection.path),
                    expected: expected.to_vec(),
                    found: value.dims().to_vec(),
                });
            }
        }
        let scale = entry.alpha.or(alpha).map_or(1.0, |alpha| alpha / rank as f32);
        projection.lora = Some(LoraFactors { down: Tensor::constant(down), up: Tensor::constant(up), scale });
        adapted += 1;
    }
    match found.into_keys().next() {
        Some(path) => Err(Error::Config(format!("the LoRA adapts `{path}`, which this UNet does not have"))),
        None if adapted == 0 => Err(Error::Config("the file holds no LoRA factors".to_owned())),
        None => Ok(adapted),
    }
}

/// Removes every LoRA.
pub fn detach(unet: &mut UNet<CandleEngine>) {
    for projection in unet.projections() {
        projection.lora = None;
    }
}

/// One name for a projection, whichever tool wrote it: without prefix, with `_` for `.`.
fn key(path: &str) -> String {
    let path = path.strip_prefix("unet.").or_else(|| path.strip_prefix("lora_unet_")).unwrap_or(path);
    path.replace('.', "_")
}

/// A factor as a matrix of `f32`; kohya's files hold some as 1x1 convolutions.
fn matrix(value: &Value) -> Result<Value> {
    let value = value.to_dtype(DType::F32).map_err(Error::engine)?;
    let value = if value.rank() == 4 { value.flatten_from(1).map_err(Error::engine)? } else { value };
    if value.rank() == 2 {
        value.contiguous().map_err(Error::engine)
    } else {
        Err(Error::Config(format!("a LoRA factor has shape {:?}", value.dims())))
    }
}
