//! A project's own LoRA on the model of the preview.

use mudi_diffusion::lora::LoraFactors;
use mudi_diffusion::nn::Adaptable;
use mudi_diffusion::texts::TextEncoders;
use mudi_diffusion::unet::UNet;
use mudi_diffusion::{Component, Engine, Parameters};

use crate::error::PreviewError;
use crate::weights::SafetensorsWeights;

const NAME: &str = "the LoRA";

/// Attaches the LoRA of `bytes`, a file that training here has written (PEFT's names), to the layers that it adapts, of denoiser and
/// text encoders. `alpha` is that of its recipe.
///
/// # Errors
/// [`PreviewError::File`] where it adapts none of them; factors whose shapes do not fit.
pub(crate) fn attach<E: Engine>(
    engine: &E,
    unet: &mut UNet<E>,
    texts: &mut TextEncoders<E>,
    bytes: &[u8],
    alpha: f32,
) -> Result<(), PreviewError> {
    let mut weights = SafetensorsWeights::new(engine, NAME, bytes)?;
    let mut adapted = to_network(&mut weights, Component::Unet, unet.adaptable(), alpha)?;
    for (component, encoder) in texts.encoders_mut() {
        adapted += to_network(&mut weights, component, encoder.adaptable(), alpha)?;
    }
    if adapted == 0 {
        let reason = "it adapts nothing that this model has".to_owned();
        return Err(PreviewError::File { name: NAME.to_owned(), reason });
    }
    Ok(())
}

/// Attaches what there is for one network; returns how many of its layers are adapted.
fn to_network<'a, E: Engine + 'a>(
    weights: &mut SafetensorsWeights<'_, E>,
    component: Component,
    layers: impl Iterator<Item = Adaptable<'a, E>>,
    alpha: f32,
) -> Result<usize, PreviewError> {
    let mut adapted = 0;
    for mut layer in layers {
        let [down, up] = ["A", "B"].map(|part| format!("{component}.{}.lora_{part}.weight", layer.path()));
        let Some((shape, _)) = weights.read(&down)? else { continue };
        let rank = shape.first().copied().unwrap_or(0);
        let [down_shape, up_shape] = layer.factor_shapes(rank);
        let kind = layer.factor_kind();
        let down = weights.get(&down, &down_shape, kind)?;
        let up = weights.get(&up, &up_shape, kind)?;
        layer.attach(Some(LoraFactors { down, up, scale: alpha / rank as f32 }));
        adapted += 1;
    }
    Ok(adapted)
}
