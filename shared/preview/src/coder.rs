//! What codes pictures as latents: the base's own autoencoder, or a tiny one that lies beside it.

use mudi_diffusion::taesd::{TaesdConfig, TaesdDecoder, TaesdEncoder};
use mudi_diffusion::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use mudi_diffusion::{Engine, Parameters, Result};

use crate::error::PreviewError;
use crate::model::{Files, config, network};

/// The folder of the base's own autoencoder.
pub(crate) const OWN: &str = "vae";
/// That of a tiny one, which takes the other's place.
pub const TINY: &str = "taesd";
const OWN_WEIGHTS: &str = "vae/diffusion_pytorch_model.safetensors";
const TINY_CONFIG: &str = "taesd/config.json";
const TINY_WEIGHTS: &str = "taesd/diffusion_pytorch_model.safetensors";

/// Pixels to latents.
pub(crate) enum Encoder<E: Engine> {
    Own(Box<VaeEncoder<E>>),
    Tiny(TaesdEncoder<E>),
}

/// Latents to pixels.
pub(crate) struct Decoder<E: Engine> {
    network: Network<E>,
    /// Channels of latents.
    pub(crate) channels: usize,
    /// Pixels that one latent stands for, in each direction.
    pub(crate) reduction: usize,
    /// The denoiser's latents are those of the coder times this.
    pub(crate) scaling: f64,
}

enum Network<E: Engine> {
    Own(Box<VaeDecoder<E>>),
    Tiny(TaesdDecoder<E>),
}

/// Whether the file of that name is of a coder.
pub(crate) fn needs(name: &str) -> bool {
    [OWN, TINY].iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// Builds encoder and decoder.
///
/// # Errors
/// Files that are missing or damaged.
pub(crate) fn both<E: Engine>(
    engine: &E,
    files: &mut Files,
) -> std::result::Result<(Encoder<E>, Decoder<E>), PreviewError> {
    if let Some(config) = tiny(files)? {
        return network(engine, files, TINY_WEIGHTS, |weights| {
            Ok((Encoder::Tiny(TaesdEncoder::new(&config, weights)?), Decoder::tiny(&config, weights)?))
        });
    }
    let config: VaeConfig = config(files, OWN)?;
    network(engine, files, OWN_WEIGHTS, |weights| {
        Ok((Encoder::Own(VaeEncoder::new(&config, weights)?.into()), Decoder::own(&config, weights)?))
    })
}

/// Builds the decoder alone.
///
/// # Errors
/// Files that are missing or damaged.
pub(crate) fn decoder<E: Engine>(
    engine: &E,
    files: &mut Files,
) -> std::result::Result<Decoder<E>, PreviewError> {
    if let Some(config) = tiny(files)? {
        return network(engine, files, TINY_WEIGHTS, |weights| Decoder::tiny(&config, weights));
    }
    let config: VaeConfig = config(files, OWN)?;
    network(engine, files, OWN_WEIGHTS, |weights| Decoder::own(&config, weights))
}

fn tiny(files: &Files) -> std::result::Result<Option<TaesdConfig>, PreviewError> {
    files.contains_key(TINY_CONFIG).then(|| config(files, TINY)).transpose()
}

impl<E: Engine> Encoder<E> {
    /// `sample [1, H, W, 3]` in -1..=1 to the coder's latents, `[1, h, w, channels]`.
    pub(crate) fn latents(&self, engine: &E, sample: &E::Tensor, channels: usize) -> Result<E::Tensor> {
        match self {
            // Beside the means it tells how uncertain they are.
            Self::Own(encoder) => engine.slice(&encoder.forward(engine, sample)?, 3, 0, channels),
            Self::Tiny(encoder) => encoder.forward(engine, sample),
        }
    }
}

impl<E: Engine> Decoder<E> {
    fn own(config: &VaeConfig, weights: &mut dyn Parameters<E>) -> Result<Self> {
        Ok(Self {
            network: Network::Own(VaeDecoder::new(config, weights)?.into()),
            channels: config.latent_channels,
            reduction: config.reduction(),
            scaling: config.scaling_factor,
        })
    }

    fn tiny(config: &TaesdConfig, weights: &mut dyn Parameters<E>) -> Result<Self> {
        Ok(Self {
            network: Network::Tiny(TaesdDecoder::new(config, weights)?),
            channels: config.latent_channels,
            reduction: config.reduction(),
            scaling: config.scaling_factor,
        })
    }

    /// Pixels of the denoiser's latents, `[B, H, W, 3]`, about -1..=1.
    pub(crate) fn pixels(&self, engine: &E, latents: &E::Tensor) -> Result<E::Tensor> {
        let unscaled = engine.scale(latents, (1.0 / self.scaling) as f32)?;
        match &self.network {
            Network::Own(decoder) => decoder.forward(engine, &unscaled),
            Network::Tiny(decoder) => decoder.forward(engine, &unscaled),
        }
    }
}
