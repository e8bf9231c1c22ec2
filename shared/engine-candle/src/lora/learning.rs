//! A LoRA that learns.

use mudi_diffusion::clip::ClipText;
use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::nn::Adaptable;
use mudi_diffusion::unet::UNet;
use mudi_diffusion::{Component, Engine, Error, ParameterKind, Result};

use super::norms::Norms;
use super::{DEFAULT_TARGETS, FURTHER_TARGETS, MAGNITUDE, TEXT_TARGETS};
use crate::engine::CandleEngine;
use crate::slices;
use crate::tape::Tensor;
use crate::weights::Trainable;

/// What is attached to each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptation {
    /// Rank of the factors.
    pub rank: usize,
    /// Their product is scaled by `alpha / rank`.
    pub alpha: f32,
    /// Whether the lengths of the rows of weights are learnt apart from their direction (DoRA).
    pub dora: bool,
}

/// What learns. The networks hold the same storage.
#[derive(Default)]
pub struct Learning {
    /// Of each layer `A`, `B` and with DoRA the magnitudes, which start as the norms that the adapted weights have then.
    pub weights: Vec<Trainable>,
    norms: Vec<Norms>,
}

impl Learning {
    /// Has to be called after each change of the factors and before the networks run again: DoRA's norms are those of the factors.
    /// Without DoRA there is nothing to do.
    ///
    /// # Errors
    /// Engine errors.
    pub fn renew(&self) -> Result<()> {
        self.norms.iter().try_for_each(Norms::renew)
    }

    /// Takes what learns in other networks, too.
    pub fn extend(&mut self, other: Self) {
        self.weights.extend(other.weights);
        self.norms.extend(other.norms);
    }

    /// Attaches to one layer.
    fn attach(
        &mut self,
        component: Component,
        mut layer: Adaptable<'_, CandleEngine>,
        adaptation: Adaptation,
        init: &mut impl FnMut(&str, &[usize]) -> Vec<f32>,
    ) -> Result<()> {
        let Adaptation { rank, alpha, dora } = adaptation;
        let path = format!("{component}.{}", layer.path());
        let mut learn =
            |name: String, kind: ParameterKind, values: Vec<f32>, shape: &[usize]| -> Result<Tensor> {
                let leaf = Tensor::leaf(slices::value(values, shape)?);
                self.weights.push(Trainable { name, kind, leaf: leaf.clone() });
                Ok(leaf)
            };
        let [down, up] = layer.factor_shapes(rank);
        let mut factor = |part: &str, shape: &[usize]| {
            let name = format!("{path}.{part}.weight");
            let values = init(&name, shape);
            learn(name, layer.factor_kind(), values, shape)
        };
        let (down, up) = (factor("lora_A", &down)?, factor("lora_B", &up)?);
        let mut factors = LoraFactors { down, up, scale: alpha / rank as f32, magnitude: None };
        if dora {
            let norms = Norms::new(&layer, &factors)?;
            let name = format!("{path}{MAGNITUDE}");
            let lengths = learn(name, ParameterKind::NormScale, norms.lengths()?, &[layer.outputs()])?;
            factors.magnitude = Some(norms.with(lengths));
            self.norms.push(norms);
        }
        layer.attach(Some(factors));
        Ok(())
    }
}

/// The first of `targets` that no layer of the denoiser is called or ends in.
#[must_use]
pub fn unmatched_target<'t, E: Engine>(unet: &mut UNet<E>, targets: &'t [String]) -> Option<&'t str> {
    let mut names_none = |target: &&String| {
        unet.adaptable().all(|layer| layer.target(std::slice::from_ref(*target)).is_none())
    };
    targets.iter().find(|target| names_none(target)).map(String::as_str)
}

/// Attaches a LoRA that learns to every layer of the denoiser whose path is or ends in one of `targets` (linear layers and
/// convolutions); `init` gives the values of each factor by name and shape, in the engine's layout.
///
/// # Errors
/// Targets that no layer ends in; engine errors.
pub fn attach_trainable(
    unet: &mut UNet<CandleEngine>,
    targets: &[String],
    adaptation: Adaptation,
    mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<Learning> {
    if let Some(target) = unmatched_target(unet, targets) {
        return Err(Error::Config(format!(
            "no layer of this UNet is called `{target}` or ends so; of its attentions there are {}, and besides {}",
            DEFAULT_TARGETS.join(", "),
            FURTHER_TARGETS.join(", ")
        )));
    }
    let mut made = Learning::default();
    for layer in unet.adaptable().filter(|layer| layer.target(targets).is_some()) {
        made.attach(Component::Unet, layer, adaptation, &mut init)?;
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
    adaptation: Adaptation,
    mut init: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<Learning> {
    let targets = TEXT_TARGETS.map(str::to_owned);
    let mut made = Learning::default();
    for layer in text.adaptable().filter(|layer| layer.target(&targets).is_some()) {
        made.attach(encoder, layer, adaptation, &mut init)?;
    }
    Ok(made)
}
