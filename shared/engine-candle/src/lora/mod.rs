//! Attaching a LoRA to a base's networks or adding it to their weights, and its files.
//!
//! Files of PEFT, diffusers, kohya's tools and LyCORIS are read ([`LoraFile`]), and written in two dialects ([`translate`]).

mod attachment;
mod delta;
mod dialect;
mod error;
mod file;
mod join;
mod learning;
mod magnitudes;
mod metadata;
mod norms;
mod pattern;
mod stack;
#[cfg(test)]
mod tests;

pub use attachment::Attachment;
use candle_core::{DType, Tensor as Value};
pub use dialect::{Dialect, Target, Written, translate};
pub use error::LoraError;
pub use file::{LoraFile, Module};
pub use join::Joined;
pub use learning::{Adaptation, Learning, attach_trainable, attach_trainable_text, unmatched_target};
pub use metadata::ADAPTER_ENTRY;
use mudi_diffusion::clip::{ClipText, ClipTextConfig};
use mudi_diffusion::lora::names::{Layer, Layers};
use mudi_diffusion::nn::Adaptable;
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_diffusion::{Component, Error, ParameterKind, Result};
pub use stack::Stack;

use crate::engine::CandleEngine;
use crate::shapes::Shapes;
use crate::weights::{NamedTensors, Trainable, named_for_file};

/// The projections that a LoRA adapts unless told otherwise (MuDI, appendix A).
pub const DEFAULT_TARGETS: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];
/// What else it can adapt in the blocks of a denoiser: what is left of the transformers, and the ResNet blocks.
pub const FURTHER_TARGETS: [&str; 6] = ["ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2"];

/// The end of the names of DoRA's magnitudes.
const MAGNITUDE: &str = ".lora_magnitude_vector";

/// The projections of a text encoder that a LoRA adapts in training, as diffusers' own scripts have it.
pub const TEXT_TARGETS: [&str; 4] = ["q_proj", "k_proj", "v_proj", "out_proj"];

/// What learns, as PEFT's files hold it, in `f32`. Where a denoiser's transformers begin and end with convolutions of 1x1
/// (`use_linear_projection` is false), theirs have four axes; so have the magnitudes of convolutions, `[1, O, 1, 1]`.
///
/// # Errors
/// Engine errors.
pub fn to_file(weights: &[Trainable], unet: &UNetConfig) -> Result<NamedTensors> {
    let mut tensors = named_for_file(weights, DType::F32)?;
    if !unet.use_linear_projection {
        for (name, value) in &mut tensors {
            if name.ends_with(".weight") && (name.contains(".proj_in.") || name.contains(".proj_out.")) {
                let (rows, columns) = value.dims2().map_err(Error::engine)?;
                *value = value.reshape((rows, columns, 1, 1)).map_err(Error::engine)?;
            }
        }
    }
    let rank = |layer: &str| tensors.get(&format!("{layer}.lora_A.weight")).map(Value::rank);
    let magnitudes: Vec<(String, bool)> = tensors
        .keys()
        .filter_map(|name| Some((name.clone(), rank(name.strip_suffix(MAGNITUDE)?) == Some(4))))
        .collect();
    for (name, of_convolution) in magnitudes {
        let Some(mut value) = tensors.remove(&name) else { continue };
        if of_convolution {
            value = value.reshape((1, (), 1, 1)).map_err(Error::engine)?;
        }
        tensors.insert(magnitude_in_file(&name), value);
    }
    Ok(tensors)
}

/// The name of magnitudes in PEFT's files. PEFT leaves the end out, and reads both; transformers (5.23), with which diffusers loads what is
/// of text encoders, reads only names that have it, not even PEFT's own.
fn magnitude_in_file(name: &str) -> String {
    let end = if name.starts_with(Component::TextEncoder.folder()) { ".weight" } else { "" };
    format!("{name}{end}")
}

/// The layers of a base that a LoRA's file can adapt: every linear layer, convolution and norm of its denoiser and text encoders.
///
/// # Errors
/// Configurations that are not supported.
pub fn layers(unet: &UNetConfig, text: &[ClipTextConfig]) -> Result<Layers> {
    let (mut all, mut biased) = (Vec::new(), Vec::new());
    let mut add = |component: Component, shapes: Shapes| {
        use ParameterKind::{Bias, Convolution, Linear, NormScale, NormShift};
        for made in shapes.made {
            let (kept, end) = match made.kind {
                Linear | Convolution | NormScale => (&mut all, ".weight"),
                Bias { .. } | NormShift => (&mut biased, ".bias"),
                _ => continue,
            };
            kept.extend(made.name.strip_suffix(end).map(|path| Layer { component, path: path.to_owned() }));
        }
    };
    let mut shapes = Shapes::default();
    UNet::<CandleEngine>::new(unet.clone(), &mut shapes)?;
    add(Component::Unet, shapes);
    for (config, component) in text.iter().zip([Component::TextEncoder, Component::TextEncoder2]) {
        let mut shapes = Shapes::default();
        ClipText::<CandleEngine>::new(config.clone(), &mut shapes)?;
        add(component, shapes);
    }
    Ok(Layers::new(all, unet).with_biases(biased))
}

/// Removes every LoRA from the layers of a network.
pub fn detach<'a>(layers: impl IntoIterator<Item = Adaptable<'a, CandleEngine>>) {
    layers.into_iter().for_each(|mut layer| layer.attach(None));
}
