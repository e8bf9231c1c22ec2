//! What a visitor's browser needs for previews.

use mudi_diffusion::vae::VaeDecoder;
use mudi_domain::api::{Latents, PreviewNeeds};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::{ParameterShape, Shapes};

use super::Configs;
use super::counting::{CountingEngine, F32};
use super::passes::{decoding, encoding, unet};
use crate::base::{BaseError, Source};

/// What a base takes where it paints one picture of `side` pixels (of its own size, by default) with guidance, and what its decoder alone takes.
///
/// # Errors
/// A folder without configurations, or with ones that are not supported.
pub fn preview(base: &Source, side: Option<usize>) -> Result<[PreviewNeeds; 2], BaseError> {
    let configs = Configs::read(base)?;
    let side = side.unwrap_or(configs.side());
    let latent = side / configs.reduction();
    let engine = CountingEngine::of_gpu();
    let sampling = unet(&configs, engine.clone())?.sampling(&configs, 2, [latent; 2])?;
    let coding =
        encoding(&configs, engine.clone(), side)?.max(decoding(&configs, engine.clone(), [latent; 2], None)?);
    let mut weights = Shapes::default();
    for shapes in configs.shapes()? {
        weights.made.extend(shapes.made);
    }
    let whole = needs(&weights, sampling.max(coding), &engine);

    let mut weights = Shapes::default();
    if let Some(vae) = &configs.vae {
        VaeDecoder::<CandleEngine>::new(vae, &mut weights)?;
    }
    let engine = CountingEngine::of_gpu();
    let decoding = decoding(&configs, engine.clone(), [Latents::LONGEST; 2], None)?;
    Ok([whole, needs(&weights, decoding, &engine)])
}

/// `peak` is in bytes.
fn needs(weights: &Shapes, peak: usize, engine: &CountingEngine) -> PreviewNeeds {
    let largest = weights.made.iter().map(ParameterShape::elements).max().unwrap_or(0);
    PreviewNeeds {
        weights: weights.elements() as u64,
        largest_weight: largest as u64,
        activations: (peak / F32) as u64,
        largest_activation: (engine.largest() / F32) as u64,
    }
}
