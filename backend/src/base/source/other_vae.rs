//! An autoencoder in place of the base model's own, such as the one of SDXL that was mended for half precision.

use std::path::{Path, PathBuf};

use mudi_diffusion::ldm;
use mudi_diffusion::vae::VaeConfig;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{FileWeights, Precision};

use super::checkpoint::refuse_pickles;
use super::folder::{read_config, weights_file};
use crate::base::BaseError;

/// An autoencoder of its own.
pub(super) struct OtherVae {
    file: PathBuf,
    /// Where its configuration lies, which files with LDM's names do without.
    pub(super) folder: Option<PathBuf>,
    pub(super) config: VaeConfig,
    /// LDM's names, where the file has them.
    ldm: Option<ldm::VaeNames>,
}

impl OtherVae {
    /// Looks at a folder with `config.json` (or one that holds it in `vae`), or at a file, and holds it against the
    /// base's latent channels and its own autoencoder, `own`.
    pub(super) fn open(path: &Path, channels: usize, own: Option<&VaeConfig>) -> Result<Self, BaseError> {
        let found = if path.is_dir() { Self::folder(path)? } else { Self::file(path, own)? };
        let other = |reason: String| BaseError::OtherVae { path: path.to_owned(), reason };
        let config = &found.config;
        config.check().map_err(|error| other(error.to_string()))?;
        if config.latent_channels != channels {
            return Err(other(format!(
                "its latents have {} channels, the base's {channels}",
                config.latent_channels
            )));
        }
        if let Some(own) = own {
            if config.reduction() != own.reduction() {
                let (its, bases) = (config.reduction(), own.reduction());
                return Err(other(format!("it shrinks pictures by {its}, the base's own by {bases}")));
            }
            if (config.scaling_factor - own.scaling_factor).abs() > 1e-4 {
                let (its, bases) = (config.scaling_factor, own.scaling_factor);
                return Err(other(format!("its latents are scaled by {its}, the base's by {bases}")));
            }
        }
        Ok(found)
    }

    /// The file with its weights, or the index of them.
    pub(super) fn file_of_weights(&self) -> &Path {
        &self.file
    }

    fn folder(path: &Path) -> Result<Self, BaseError> {
        let inside = path.join("vae");
        let folder = if path.join("config.json").is_file() || !inside.is_dir() { path } else { &inside };
        // Another flag than the base's has named it.
        let named = |error| match error {
            BaseError::Missing { path } => BaseError::MissingVae { path },
            error => error,
        };
        Ok(Self {
            file: weights_file(folder).map_err(named)?,
            folder: Some(folder.to_owned()),
            config: read_config(folder).map_err(named)?,
            ldm: None,
        })
    }

    fn file(path: &Path, own: Option<&VaeConfig>) -> Result<Self, BaseError> {
        if !path.is_file() {
            return Err(BaseError::MissingVae { path: path.to_owned() });
        }
        refuse_pickles(path)?;
        let weights = FileWeights::open(&CandleEngine::cpu(), path)?;
        let file = path.to_owned();
        let shape = |name: &str| weights.shape(name).map(<[usize]>::to_vec);
        if let Some((mut config, names)) = ldm::detect_vae(&shape) {
            if let Some(own) = own {
                // The file does not say its factor.
                config.scaling_factor = own.scaling_factor;
                config.norm_num_groups = own.norm_num_groups;
            }
            return Ok(Self { file, folder: None, config, ldm: Some(names) });
        }
        let other = |reason: &str| BaseError::OtherVae { path: path.to_owned(), reason: reason.to_owned() };
        if weights.shape("decoder.conv_in.weight").is_none() {
            return Err(other("the file holds no autoencoder"));
        }
        // With diffusers' names, which need their configuration; one that has come alone is taken for one like the base's own.
        let folder = path.parent().unwrap_or(Path::new(""));
        match own {
            _ if folder.join("config.json").is_file() => {
                Ok(Self { file, folder: Some(folder.to_owned()), config: read_config(folder)?, ldm: None })
            }
            Some(own) => Ok(Self { file, folder: None, config: own.clone(), ldm: None }),
            None => Err(other("it has diffusers' names, and there is no config.json beside it")),
        }
    }

    pub(super) fn weights(
        &self,
        engine: &CandleEngine,
        precision: Precision,
    ) -> Result<FileWeights, BaseError> {
        let weights = FileWeights::open_as(engine, &self.file, precision)?;
        Ok(match self.ldm {
            Some(names) => {
                let config = self.config.clone();
                weights.named(move |name| ldm::vae_stored(&config, names, name))
            }
            None => weights,
        })
    }
}
