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

use candle_core::{DType, Tensor as Value};
pub use dialect::{Dialect, Target, Written, translate};
pub use error::LoraError;
pub use file::{LoraFile, Module};
pub use metadata::ADAPTER_ENTRY;
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::lora::names::{Layer, Layers};
use mudi_diffusion::nn::Adaptable;
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::{Component, Error, ParameterKind, Result};
pub use stack::Stack;

use crate::engine::CandleEngine;
use crate::shapes::Shapes;
use crate::slices;
use crate::tape::Tensor;
use crate::weights::{NamedTensors, Trainable, named_for_file};

/// The projections that a LoRA adapts unless told otherwise (MuDI, appendix A).
pub const DEFAULT_TARGETS: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];
/// What else it can adapt in the blocks of a denoiser: what is left of the transformers, and the ResNet blocks.
pub const FURTHER_TARGETS: [&str; 6] = ["ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2"];

/// Attaches a LoRA that learns to every layer of the denoiser whose path is or ends in one of `targets` (linear layers and
/// convolutions); `init` gives the values of each factor by name and shape, in the engine's layout.
///
/// # Errors
/// Targets that no layer ends in; engine errors.
pub fn attach_trainable(
    unet: &mut UNet<CandleEngine>,
    targets: &[String],
    rank: usize,
    alpha: f32,
    mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<Vec<Trainable>> {
    let mut made = Vec::new();
    let mut unmatched: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
    for mut layer in unet.adaptable() {
        let Some(target) = layer.target(targets) else { continue };
        unmatched.remove(target);
        let mut factor = |name: &str, shape: &[usize]| -> Result<Tensor> {
            let name = format!("unet.{}.{name}.weight", layer.path());
            let leaf = Tensor::leaf(slices::value(init(&name, shape), shape)?);
            made.push(Trainable { name, kind: layer.factor_kind(), leaf: leaf.clone() });
            Ok(leaf)
        };
        let [down, up] = layer.factor_shapes(rank);
        let (down, up) = (factor("lora_A", &down)?, factor("lora_B", &up)?);
        layer.attach(Some(LoraFactors { down, up, scale: alpha / rank as f32 }));
    }
    if let Some(target) = unmatched.first() {
        return Err(Error::Config(format!(
            "no layer of this UNet is called `{target}` or ends so; of its attentions there are {}, and besides {}",
            DEFAULT_TARGETS.join(", "),
            FURTHER_TARGETS.join(", ")
        )));
    }
    Ok(made)
}

/// Factors that learn, as PEFT's files hold them, in `f32`. Where a denoiser's transformers begin and end with convolutions of 1x1
/// (`use_linear_projection` is false), theirs have four axes.
///
/// # Errors
/// Engine errors.
pub fn to_file(weights: &[Trainable], unet: &UNetConfig) -> Result<NamedTensors> {
    let mut tensors = named_for_file(weights, DType::F32)?;
    if !unet.use_linear_projection {
        for (name, value) in &mut tensors {
            if name.contains(".proj_in.") || name.contains(".proj_out.") {
                let (rows, columns) = value.dims2().map_err(Error::engine)?;
                *value = value.reshape((rows, columns, 1, 1)).map_err(Error::engine)?;
            }
        }
    }
    Ok(tensors)
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

/// Attaches a LoRA of the denoiser from its file, as constants, beside the weights: what is trained here. Others are added to the
/// weights while these are read ([`Stack`]). Returns how many layers were adapted.
///
/// # Errors
/// Those of [`LoraFile::resolve`]; factors whose shapes do not fit; layers and kinds that have no such factors.
pub fn attach(unet: &mut UNet<CandleEngine>, file: LoraFile) -> std::result::Result<usize, LoraError> {
    let of = |path: &str| Layer { component: Component::Unet, path: path.to_owned() };
    let paths: Vec<Layer> = unet.adaptable().map(|layer| of(layer.path())).collect();
    let layers = Layers::new(paths, &unet.config);
    let path = file.path.clone();
    let mut modules = file.resolve(&layers)?;
    let mut adapted = 0;
    for mut layer in unet.adaptable() {
        let Some(module) = modules.remove(&of(layer.path())) else { continue };
        let name = module.name.clone();
        let kind = module.kind();
        if kind != "LoRA" {
            let purpose = "is not attached but added to the weights; give the file as --lora";
            return Err(LoraError::Kind { path, layer: name, kind, purpose });
        }
        let factors = module
            .factors()
            .and_then(|factors| fitting(&layer, factors))
            .map_err(|reason| LoraError::Layer { path: path.clone(), layer: name, reason })?;
        layer.attach(Some(factors));
        adapted += 1;
    }
    Ok(adapted)
}

/// Factors as a file has them, made matrices `[r, I..]` and `[O, r]`, in the layer's layout.
fn fitting(
    layer: &Adaptable<'_, CandleEngine>,
    (down, up, scale): (Value, Value, f32),
) -> std::result::Result<LoraFactors<CandleEngine>, String> {
    let [down_shape, up_shape] = layer.factor_shapes(down.dims()[0]);
    let sizes = [down.dims()[1], up.dims()[0]];
    let expected = [down_shape[1..].iter().product(), up_shape[0]];
    if sizes != expected {
        return Err(format!("it adapts {sizes:?} inputs and outputs, and the base has {expected:?}"));
    }
    let moved = || -> candle_core::Result<(Value, Value)> {
        let down = match down_shape[..] {
            // Files have channels before the kernel.
            [rank, height, width, inputs] => {
                down.reshape((rank, inputs, height, width))?.permute((0, 2, 3, 1))?.contiguous()?
            }
            _ => down,
        };
        Ok((down, up.reshape(up_shape)?))
    };
    let (down, up) = moved().map_err(|error| error.to_string())?;
    Ok(LoraFactors { down: Tensor::constant(down), up: Tensor::constant(up), scale })
}

/// Removes every LoRA.
pub fn detach(unet: &mut UNet<CandleEngine>) {
    unet.adaptable().for_each(|mut layer| layer.attach(None));
}
