//! A LoRA beside the weights.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::Tensor as Value;
use mudi_diffusion::Component;
use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::lora::names::{Layer, Layers};
use mudi_diffusion::nn::Adaptable;

use super::magnitudes::Magnitudes;
use super::norms::Norms;
use super::{LoraError, LoraFile, Module};
use crate::engine::CandleEngine;
use crate::tape::Tensor;

/// A LoRA that was trained here, whose layers have been found in a base. It stays beside the weights; others are added to them while
/// they are read ([`Stack`](super::Stack)).
#[derive(Clone, Debug)]
pub struct Attachment {
    path: PathBuf,
    modules: BTreeMap<Layer, Module>,
}

impl Attachment {
    /// The LoRA of a file, for a base with these layers.
    ///
    /// # Errors
    /// Those of [`LoraFile::resolve`].
    pub fn new(file: LoraFile, layers: &Layers) -> Result<Self, LoraError> {
        let path = file.path.clone();
        Ok(Self { path, modules: file.resolve(layers)? })
    }

    /// Attaches what it has for the network `component`, whose layers are `layers`, as constants. Returns how many layers were adapted.
    ///
    /// # Errors
    /// Factors whose shapes do not fit; layers and kinds that have no such factors.
    pub fn attach<'a>(
        &self,
        component: Component,
        layers: impl IntoIterator<Item = Adaptable<'a, CandleEngine>>,
    ) -> Result<usize, LoraError> {
        let mut left: BTreeMap<&str, &Module> = BTreeMap::new();
        for (layer, module) in &self.modules {
            if layer.component == component {
                left.insert(&layer.path, module);
            }
        }
        let total = left.len();
        for mut layer in layers {
            let Some(module) = left.remove(layer.path()) else { continue };
            let (path, name) = (self.path.clone(), module.name.clone());
            let kind = module.kind();
            if !matches!(kind, "LoRA" | "DoRA") {
                let purpose = "is not attached but added to the weights; give the file as --lora";
                return Err(LoraError::Kind { path, layer: name, kind, purpose });
            }
            let factors = module
                .factors()
                .and_then(|factors| fitting(&layer, factors))
                .and_then(|factors| with_magnitudes(&layer, module, factors))
                .map_err(|reason| LoraError::Layer { path, layer: name, reason })?;
            layer.attach(Some(factors));
        }
        if left.is_empty() {
            return Ok(total);
        }
        let names = left.values().map(|module| module.name.clone()).collect();
        Err(LoraError::Unmatched { path: self.path.clone(), total, names })
    }
}

/// Factors as a file has them, made matrices `[r, I..]` and `[O, r]`, in the layer's layout.
fn fitting(
    layer: &Adaptable<'_, CandleEngine>,
    (down, up, scale): (Value, Value, f32),
) -> Result<LoraFactors<CandleEngine>, String> {
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
    Ok(LoraFactors { down: Tensor::constant(down), up: Tensor::constant(up), scale, magnitude: None })
}

/// The same with DoRA's magnitudes, where the file has them.
fn with_magnitudes(
    layer: &Adaptable<'_, CandleEngine>,
    module: &Module,
    mut factors: LoraFactors<CandleEngine>,
) -> Result<LoraFactors<CandleEngine>, String> {
    let inputs = factors.down.value().dims().last().copied().unwrap_or(0);
    match module.magnitudes(&[layer.outputs(), inputs])? {
        None => {}
        Some(Magnitudes::OfOutputs(lengths)) => {
            let norms = Norms::new(layer, &factors).map_err(|error| error.to_string())?;
            factors.magnitude = Some(norms.with(Tensor::constant(lengths)));
        }
        Some(Magnitudes::OfInputs(_)) => {
            return Err(
                "its magnitudes are of inputs, which are not attached but added to the weights, with --lora"
                    .to_owned(),
            );
        }
    }
    Ok(factors)
}
