//! Several LoRAs, added to the weights of a base while it is read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::Tensor as Value;
use mudi_diffusion::Component;
use mudi_diffusion::lora::names::{Layer, Layers};

use super::{LoraError, LoraFile, Module};
use crate::weights::all_finite;

/// LoRAs with their weights; later ones are added to what earlier ones made.
#[derive(Clone, Debug, Default)]
pub struct Stack(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    path: PathBuf,
    weight: f32,
    modules: BTreeMap<Layer, Module>,
}

impl Stack {
    /// Adds a LoRA for a base with these layers; 1 is the `weight` that it was trained with.
    ///
    /// # Errors
    /// Those of [`LoraFile::resolve`].
    pub fn push(&mut self, file: LoraFile, weight: f32, layers: &Layers) -> Result<(), LoraError> {
        let path = file.path.clone();
        self.0.push(Entry { path, weight, modules: file.resolve(layers)? });
        Ok(())
    }

    /// Whether there is nothing to add.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The weight or bias called `name` of a network, in files' layout, with all LoRAs; as it was where none adapts it.
    ///
    /// # Errors
    /// [`LoraError::Layer`]; [`LoraError::NotNumbers`] where numbers become something else.
    pub fn apply(&self, component: Component, name: &str, mut value: Value) -> Result<Value, LoraError> {
        let Some((path, leaf @ ("weight" | "bias"))) = name.rsplit_once('.') else { return Ok(value) };
        // Some versions of transformers leave the prefix out, in the base's file.
        let of_text = matches!(component, Component::TextEncoder | Component::TextEncoder2);
        let lacks = path.starts_with("encoder.") || path == "final_layer_norm";
        let prefix = if of_text && lacks { "text_model." } else { "" };
        let layer = Layer { component, path: format!("{prefix}{path}") };
        for entry in &self.0 {
            if let Some(module) = entry.modules.get(&layer) {
                let named = || (entry.path.clone(), module.name.clone());
                let fault = |reason| {
                    let (path, layer) = named();
                    LoraError::Layer { path, layer, reason }
                };
                let applied = match leaf {
                    "bias" => module.applied_to_bias(&value, entry.weight),
                    _ => module.applied(&value, entry.weight),
                };
                let applied = applied.map_err(fault)?;
                let finite = |value: &Value| all_finite(value).map_err(|error| fault(error.to_string()));
                // What the base's file holds is not the LoRA's fault.
                if !finite(&applied)? && finite(&value)? {
                    let (path, layer) = named();
                    return Err(LoraError::NotNumbers { path, layer });
                }
                value = applied;
            }
        }
        Ok(value)
    }
}
