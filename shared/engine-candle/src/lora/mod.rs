//! Attaching a LoRA to a UNet or adding it to a base's weights, and its files.
//!
//! Files of PEFT, diffusers, kohya's tools and LyCORIS are read ([`LoraFile`]), and written in two dialects ([`translate`]).

mod delta;
mod dialect;
mod error;
mod file;
mod metadata;
mod stack;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use dialect::{Dialect, Target, Written, translate};
pub use error::LoraError;
pub use file::{LoraFile, Module};
pub use metadata::ADAPTER_ENTRY;
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::lora::names::{Layer, Layers};
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::{Component, Error, ParameterKind, Result};
pub use stack::Stack;

use crate::engine::CandleEngine;
use crate::shapes::Shapes;
use crate::slices;
use crate::tape::Tensor;
use crate::weights::Trainable;

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

/// The layers of a base that a LoRA's file can adapt: every linear layer and convolution of its denoiser and text encoders.
///
/// # Errors
/// Configurations that are not supported.
pub fn layers(unet: &UNetConfig, text: &[ClipTextConfig]) -> Result<Layers> {
    let mut all = Vec::new();
    let mut add = |component: Component, shapes: Shapes| {
        let weights = shapes
            .made
            .into_iter()
            .filter(|made| matches!(made.kind, ParameterKind::Linear | ParameterKind::Convolution));
        all.extend(weights.filter_map(|made| {
            Some(Layer { component, path: made.name.strip_suffix(".weight")?.to_owned() })
        }));
    };
    let mut shapes = Shapes::default();
    UNet::<CandleEngine>::new(unet.clone(), &mut shapes)?;
    add(Component::Unet, shapes);
    for (config, component) in text.iter().zip([Component::TextEncoder, Component::TextEncoder2]) {
        let mut shapes = Shapes::default();
        ClipText::<CandleEngine>::new(config.clone(), &mut shapes)?;
        add(component, shapes);
    }
    Ok(Layers::new(all, unet))
}

/// Attaches a LoRA of attention projections from its file, as constants, beside the weights: what is trained here. Others are
/// added to the weights while these are read ([`Stack`]). Returns how many projections were adapted.
///
/// # Errors
/// Those of [`LoraFile::resolve`]; factors whose shapes do not fit; layers and kinds that have no such factors.
pub fn attach(unet: &mut UNet<CandleEngine>, file: LoraFile) -> std::result::Result<usize, LoraError> {
    let projections = unet.projections();
    let paths: Vec<Layer> =
        projections.map(|linear| Layer { component: Component::Unet, path: linear.path.clone() }).collect();
    let layers = Layers::new(paths, &unet.config);
    let path = file.path.clone();
    let mut modules = file.resolve(&layers)?;
    let mut adapted = 0;
    for projection in unet.projections() {
        let layer = Layer { component: Component::Unet, path: projection.path.clone() };
        let Some(module) = modules.remove(&layer) else { continue };
        let name = module.name.clone();
        let kind = module.kind();
        if kind != "LoRA" {
            let purpose = "is not attached but added to the weights; give the file as --lora";
            return Err(LoraError::Kind { path, layer: name, kind, purpose });
        }
        let fits = module.factors().and_then(|(down, up, scale)| {
            let sizes = [down.dims()[1], up.dims()[0]];
            let expected = [projection.inputs, projection.outputs];
            if sizes == expected {
                Ok(LoraFactors { down: Tensor::constant(down), up: Tensor::constant(up), scale })
            } else {
                Err(format!("it adapts {sizes:?} inputs and outputs, and the base has {expected:?}"))
            }
        });
        projection.lora =
            Some(fits.map_err(|reason| LoraError::Layer { path: path.clone(), layer: name, reason })?);
        adapted += 1;
    }
    Ok(adapted)
}

/// Removes every LoRA.
pub fn detach(unet: &mut UNet<CandleEngine>) {
    for projection in unet.projections() {
        projection.lora = None;
    }
}
