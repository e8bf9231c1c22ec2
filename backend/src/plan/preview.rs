//! What a visitor's browser needs for previews.

use std::path::Path;

use mudi_diffusion::Engine;
use mudi_diffusion::taesd::{TaesdConfig, TaesdDecoder, TaesdEncoder};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder};
use mudi_domain::api::{Latents, PreviewNeeds};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::{ParameterShape, Shapes};
use mudi_preview::TINY;

use super::Configs;
use super::counting::{CountingEngine, F32};
use super::passes::{decoding, encoding, unet};
use crate::base::{BaseError, Source, read_config};

/// The tiny autoencoder that lies in the folder of a base, for browsers; none where there is none.
///
/// # Errors
/// One that is not supported.
pub fn tiny(base: &Path) -> Result<Option<TaesdConfig>, BaseError> {
    let folder = base.join(TINY);
    if !folder.is_dir() {
        return Ok(None);
    }
    let config: TaesdConfig = read_config(&folder)?;
    let path = folder.join("config.json");
    config.check().map_err(|source| BaseError::Config { path, source })?;
    Ok(Some(config))
}

/// What a base takes where it paints one picture of `side` pixels (of its own size, by default) with guidance, and what its decoder alone takes.
///
/// # Errors
/// A folder without configurations, or with ones that are not supported.
pub fn preview(base: &Source, side: Option<usize>) -> Result<[PreviewNeeds; 2], BaseError> {
    let mut configs = Configs::read(base)?;
    let side = side.unwrap_or(configs.sizes().side);
    let latent = side / configs.reduction();
    let tiny = tiny(base.path())?;
    if let Some(tiny) = &tiny {
        // The usual one is of no use then, but both have to be of the same latents.
        let same = |vae: VaeConfig| {
            (vae.latent_channels, vae.reduction()) == (tiny.latent_channels, tiny.reduction())
        };
        if configs.vae.take().is_some_and(|vae| !same(vae)) {
            let path = base.path().join(TINY);
            let reason = "its latents are not those of the base's own autoencoder; take the tiny one that was made for this kind of base";
            return Err(BaseError::Folder { path, reason: reason.to_owned() });
        }
    }
    let coded =
        |engine: &CountingEngine, latent: usize, encodes: Option<usize>| -> Result<usize, BaseError> {
            let mut peak = decoding(&configs, engine.clone(), [latent; 2], None)?;
            if let Some(side) = encodes {
                peak = peak.max(encoding(&configs, engine.clone(), side)?);
            }
            if let Some(tiny) = &tiny {
                peak = peak.max(coding(tiny, engine.clone(), latent, encodes)?);
            }
            Ok(peak)
        };

    let engine = CountingEngine::of_gpu();
    let sampling = unet(&configs, engine.clone())?.sampling(&configs, 2, [latent; 2])?;
    let coder = coded(&engine, latent, Some(side))?;
    let mut weights = Shapes::default();
    for shapes in configs.shapes()? {
        weights.made.extend(shapes.made);
    }
    if let Some(tiny) = &tiny {
        TaesdEncoder::<CandleEngine>::new(tiny, &mut weights)?;
        TaesdDecoder::<CandleEngine>::new(tiny, &mut weights)?;
    }
    let whole = needs(&weights, sampling.max(coder), &engine);

    let mut weights = Shapes::default();
    if let Some(vae) = &configs.vae {
        VaeDecoder::<CandleEngine>::new(vae, &mut weights)?;
    }
    if let Some(tiny) = &tiny {
        TaesdDecoder::<CandleEngine>::new(tiny, &mut weights)?;
    }
    let engine = CountingEngine::of_gpu();
    let decoder = coded(&engine, Latents::LONGEST, None)?;
    Ok([whole, needs(&weights, decoder, &engine)])
}

/// Bytes that a tiny autoencoder holds at most where it decodes one picture, and where it encodes one of so many pixels.
fn coding(
    config: &TaesdConfig,
    mut engine: CountingEngine,
    latent: usize,
    encodes: Option<usize>,
) -> Result<usize, BaseError> {
    let decoder = TaesdDecoder::new(config, &mut engine)?;
    decoder.forward(&engine, &engine.from_slice(&[], &[1, latent, latent, config.latent_channels])?)?;
    if let Some(side) = encodes {
        let encoder = TaesdEncoder::new(config, &mut engine)?;
        encoder.forward(&engine, &engine.from_slice(&[], &[1, side, side, config.in_channels])?)?;
    }
    Ok(engine.peak())
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
