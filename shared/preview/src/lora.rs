//! A project's own LoRA on the model of the preview.

use mudi_diffusion::lora::{LoraFactors, Magnitude, inverse_norm};
use mudi_diffusion::nn::Adaptable;
use mudi_diffusion::{Component, Engine, ParameterKind, Parameters, Result};

use crate::error::PreviewError;
use crate::weights::SafetensorsWeights;

const NAME: &str = "the LoRA";

/// The LoRA of a file that training here has written (PEFT's names).
pub(crate) struct Lora<'a, E: Engine> {
    weights: SafetensorsWeights<'a, E>,
    alpha: f32,
    adapted: usize,
}

impl<'a, E: Engine> Lora<'a, E> {
    /// That of `bytes`; `alpha` is that of its recipe.
    ///
    /// # Errors
    /// [`PreviewError::File`].
    pub(crate) fn new(engine: &'a E, bytes: &'a [u8], alpha: f32) -> std::result::Result<Self, PreviewError> {
        Ok(Self { weights: SafetensorsWeights::new(engine, NAME, bytes)?, alpha, adapted: 0 })
    }

    /// Attaches what there is for the layers of one network, whose own file is `base`.
    ///
    /// # Errors
    /// Tensors whose shapes do not fit.
    pub(crate) fn attach<'l>(
        &mut self,
        engine: &E,
        component: Component,
        layers: impl Iterator<Item = Adaptable<'l, E>>,
        base: &mut SafetensorsWeights<'_, E>,
    ) -> Result<()>
    where
        E: 'l,
    {
        for mut layer in layers {
            let name = |part: &str| format!("{component}.{}.{part}", layer.path());
            let Some((shape, _)) = self.weights.read(&name("lora_A.weight"))? else { continue };
            let rank = shape.first().copied().unwrap_or(0);
            let scale = self.alpha / rank as f32;
            let ([down_shape, up_shape], kind) = (layer.factor_shapes(rank), layer.factor_kind());
            let (down, up) = (name("lora_A.weight"), name("lora_B.weight"));
            let down = self.weights.values(engine, &down, &down_shape, kind)?;
            let up = self.weights.values(engine, &up, &up_shape, kind)?;
            // The name that is written for text encoders has an end.
            let mut lengths = self.weights.read(&name("lora_magnitude_vector"))?;
            if lengths.is_none() {
                lengths = self.weights.read(&name("lora_magnitude_vector.weight"))?;
            }
            let magnitude = match lengths {
                Some((_, lengths)) => {
                    let outputs = [layer.outputs()];
                    let norms = inverse_norms(engine, &layer, base, (&down, &up, scale))?;
                    let lengths = engine.from_slice(&lengths, &outputs)?;
                    Some(Magnitude { lengths, inverse_norms: engine.from_slice(&norms, &outputs)? })
                }
                None => None,
            };
            let (down, up) = (engine.from_slice(&down, &down_shape)?, engine.from_slice(&up, &up_shape)?);
            layer.attach(Some(LoraFactors { down, up, scale, magnitude }));
            self.adapted += 1;
        }
        Ok(())
    }

    /// To be called when all networks have been attached to.
    ///
    /// # Errors
    /// [`PreviewError::File`] where it adapts none of their layers.
    pub(crate) fn finish(self) -> std::result::Result<(), PreviewError> {
        if self.adapted == 0 {
            let reason = "it adapts nothing that this model has".to_owned();
            return Err(PreviewError::File { name: NAME.to_owned(), reason });
        }
        Ok(())
    }
}

/// The norms that DoRA divides by, of the base's own file: an engine's weights cannot be read where nothing may wait for them.
fn inverse_norms<E: Engine>(
    engine: &E,
    layer: &Adaptable<'_, E>,
    base: &mut SafetensorsWeights<'_, E>,
    (down, up, scale): (&[f32], &[f32], f32),
) -> Result<Vec<f32>> {
    // Some text encoders' files have names without the prefix that LoRAs have.
    let path = layer.path();
    let names = [path, path.strip_prefix("text_model.").unwrap_or(path)].map(|path| format!("{path}.weight"));
    let name = if base.contains(&names[0]) { &names[0] } else { &names[1] };
    let shape = engine.shape(layer.weight());
    let kind: ParameterKind = layer.factor_kind();
    let mut weight = base.values(engine, name, &shape, kind)?;
    let outputs = layer.outputs();
    let (width, rank) = (weight.len() / outputs, up.len() / outputs);
    let rows = weight.chunks_exact_mut(width).zip(up.chunks_exact(rank));
    Ok(rows.map(|(row, up)| inverse_norm(row, up, down, scale)).collect())
}
