//! Attaching a LoRA to a base's networks or adding it to their weights, and its files.
//!
//! Files of PEFT, diffusers, kohya's tools and LyCORIS are read ([`LoraFile`]), and written in two dialects ([`translate`]).

mod attachment;
mod delta;
mod dialect;
mod error;
mod file;
mod metadata;
mod stack;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use attachment::Attachment;
use candle_core::DType;
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

/// The projections of a text encoder that a LoRA adapts in training, as diffusers' own scripts have it.
pub const TEXT_TARGETS: [&str; 4] = ["q_proj", "k_proj", "v_proj", "out_proj"];

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
    for layer in unet.adaptable() {
        let Some(target) = layer.target(targets) else { continue };
        unmatched.remove(target);
        made.extend(learning(Component::Unet, layer, rank, alpha, &mut init)?);
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

/// Attaches a LoRA that learns to the projections of the attentions of a text encoder, [`TEXT_TARGETS`]; `encoder` is its place in the
/// base. The rest is as [`attach_trainable`] has it.
///
/// # Errors
/// Engine errors.
pub fn attach_trainable_text(
    text: &mut ClipText<CandleEngine>,
    encoder: Component,
    rank: usize,
    alpha: f32,
    mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<Vec<Trainable>> {
    let targets = TEXT_TARGETS.map(str::to_owned);
    let mut made = Vec::new();
    for layer in text.adaptable().filter(|layer| layer.target(&targets).is_some()) {
        made.extend(learning(encoder, layer, rank, alpha, &mut init)?);
    }
    Ok(made)
}

/// Attaches factors that learn to one layer.
fn learning(
    component: Component,
    mut layer: Adaptable<'_, CandleEngine>,
    rank: usize,
    alpha: f32,
    init: &mut impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<[Trainable; 2]> {
    let mut factor = |name: &str, shape: &[usize]| -> Result<Trainable> {
        let name = format!("{component}.{}.{name}.weight", layer.path());
        let leaf = Tensor::leaf(slices::value(init(&name, shape), shape)?);
        Ok(Trainable { name, kind: layer.factor_kind(), leaf })
    };
    let [down, up] = layer.factor_shapes(rank);
    let made = [factor("lora_A", &down)?, factor("lora_B", &up)?];
    let [down, up] = [made[0].leaf.clone(), made[1].leaf.clone()];
    layer.attach(Some(LoraFactors { down, up, scale: alpha / rank as f32 }));
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

/// Removes every LoRA from the layers of a network.
pub fn detach<'a>(layers: impl IntoIterator<Item = Adaptable<'a, CandleEngine>>) {
    layers.into_iter().for_each(|mut layer| layer.attach(None));
}
