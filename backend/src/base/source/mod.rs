//! Where a base model is read from: a folder in diffusers' layout, or one checkpoint file, and an autoencoder in place of
//! theirs.

mod checkpoint;
mod fingerprint;
mod folder;
mod kind;
mod other_vae;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::CheckpointFile;
pub(crate) use checkpoint::{VELOCITY_FLAG, ZERO_SNR_FLAG, checkpoint_schedule};
pub use folder::{load_file, load_network, read_config};
pub(crate) use folder::{load_tokenizer, read_text, weights_file};
use kind::Kind;
pub(crate) use kind::is_around_checkpoint;
use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::lora::names::Layers;
use mudi_diffusion::schedule::NoiseSchedule;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::unet::UNetConfig;
use mudi_diffusion::vae::VaeConfig;
use mudi_diffusion::{Component, Parameters};
use mudi_domain::prompt;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::lora::{self, Attachment, LoraFile, Stack};
use mudi_engine_candle::weights::{FileWeights, Precision};
use other_vae::OtherVae;

use super::{BaseError, Sizes};

enum Place {
    Folder(PathBuf),
    File(Box<CheckpointFile>),
}

/// A base model that has been looked at, but not loaded.
pub struct Source {
    path: PathBuf,
    engine: CandleEngine,
    place: Place,
    vae: Option<OtherVae>,
    loras: Arc<Stack>,
}

impl Source {
    /// Looks at a folder in diffusers' layout (SD 1.5, SD 2.1, SDXL and the pocket models) or at a checkpoint file.
    ///
    /// # Errors
    /// [`BaseError`], naming the file and the fault.
    pub fn open(path: &Path) -> Result<Self, BaseError> {
        let place = if path.is_dir() {
            match kind::of(path)? {
                Kind::Folder(folder) => Place::Folder(folder),
                Kind::File(file) => Place::File(Box::new(CheckpointFile::open(&file)?)),
            }
        } else if path.is_file() {
            Place::File(Box::new(CheckpointFile::open(path)?))
        } else {
            return Err(BaseError::Missing { path: path.to_owned() });
        };
        Ok(Self {
            path: path.to_owned(),
            engine: CandleEngine::cpu(),
            place,
            vae: None,
            loras: Arc::default(),
        })
    }

    /// To be loaded by an engine, instead of that of the processor.
    #[must_use]
    pub fn on(mut self, engine: CandleEngine) -> Self {
        self.engine = engine;
        self
    }

    /// What it is loaded by.
    #[must_use]
    pub fn engine(&self) -> &CandleEngine {
        &self.engine
    }

    /// With the autoencoder of a folder or file in place of its own; none changes nothing.
    ///
    /// # Errors
    /// [`BaseError::OtherVae`] for one whose latents are not this model's; [`BaseError`] for one that cannot be read.
    pub fn with_vae(mut self, path: Option<&Path>) -> Result<Self, BaseError> {
        if let Some(path) = path {
            let own = match &self.place {
                // Of a file without an autoencoder it is known what its latents are.
                Place::File(file) => Some(file.checkpoint.vae.clone()),
                Place::Folder(_) => self.vae_config().ok(),
            };
            self.vae = Some(OtherVae::open(path, self.unet_config()?.in_channels, own.as_ref())?);
        }
        Ok(self)
    }

    /// With LoRAs added to its weights, each with its own weight.
    ///
    /// # Errors
    /// [`BaseError::Lora`], naming the file.
    pub fn with_loras(mut self, files: &[(PathBuf, f32)]) -> Result<Self, BaseError> {
        if !files.is_empty() {
            let layers = self.layers()?;
            let mut stack = Stack::default();
            for (path, weight) in files {
                stack.push(LoraFile::read(path)?, *weight, &layers)?;
            }
            self.loras = Arc::new(stack);
        }
        Ok(self)
    }

    /// The folder or file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The denoiser's configuration, which is one that can be used.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn unet_config(&self) -> Result<UNetConfig, BaseError> {
        match &self.place {
            Place::Folder(folder) => {
                let folder = folder.join(Component::Unet.folder());
                let config: UNetConfig = read_config(&folder)?;
                let path = folder.join("config.json");
                config.check_base().map_err(|source| BaseError::Config { path, source })?;
                Ok(config)
            }
            Place::File(file) => Ok(file.checkpoint.unet.clone()),
        }
    }

    /// The autoencoder's configuration.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn vae_config(&self) -> Result<VaeConfig, BaseError> {
        match (&self.vae, &self.place) {
            (Some(vae), _) => Ok(vae.config.clone()),
            (None, Place::Folder(folder)) => {
                let folder = folder.join(Component::Vae.folder());
                let config: VaeConfig = read_config(&folder)?;
                let path = folder.join(folder::CONFIG);
                config.check().map_err(|source| BaseError::Config { path, source })?;
                Ok(config)
            }
            (None, Place::File(file)) => file.vae_config(),
        }
    }

    /// The sizes of its pictures.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn sizes(&self) -> Result<Sizes, BaseError> {
        Ok(Sizes::new(&self.unet_config()?, self.vae_config()?.reduction()))
    }

    /// The text of a network's configuration, as it lies beside the weights: with fields that are not read here. Checkpoint files have none.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn config_text(&self, component: Component) -> Result<Option<String>, BaseError> {
        let folder = match (&self.vae, &self.place) {
            (Some(vae), _) if component == Component::Vae => vae.folder.clone(),
            (_, Place::Folder(folder)) => Some(folder.join(component.folder())),
            (_, Place::File(_)) => None,
        };
        folder.map(|folder| read_text(&folder.join(folder::CONFIG))).transpose()
    }

    /// The text of the noise schedule's configuration. Checkpoint files have none.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn schedule_text(&self) -> Result<Option<String>, BaseError> {
        match &self.place {
            Place::Folder(folder) => read_text(&folder.join(folder::SCHEDULER)).map(Some),
            Place::File(_) => Ok(None),
        }
    }

    /// Whether it has this network; folders made by hand may lack some.
    #[must_use]
    pub fn has(&self, component: Component) -> bool {
        match &self.place {
            Place::Folder(folder) => {
                folder.join(component.folder()).is_dir()
                    || (component == Component::Vae && self.vae.is_some())
            }
            Place::File(file) => match component {
                Component::TextEncoder2 => file.checkpoint.text.len() > 1,
                Component::Vae => file.checkpoint.holds_vae || self.vae.is_some(),
                _ => true,
            },
        }
    }

    /// The configurations of its text encoders, one or two.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn text_configs(&self) -> Result<Vec<ClipTextConfig>, BaseError> {
        match &self.place {
            Place::Folder(folder) => [Component::TextEncoder, Component::TextEncoder2]
                .into_iter()
                .filter(|component| self.has(*component))
                .map(|component| folder::text_config(folder, component))
                .collect(),
            Place::File(file) => Ok(file.checkpoint.text.iter().map(|text| text.config.clone()).collect()),
        }
    }

    /// Refuses text encoders, with these configurations, that give something else than what the denoiser reads.
    ///
    /// # Errors
    /// [`BaseError::Config`].
    pub fn check_fit(&self, text: &[ClipTextConfig]) -> Result<(), BaseError> {
        let path = match &self.place {
            Place::Folder(folder) => folder.join(Component::Unet.folder()).join(folder::CONFIG),
            Place::File(_) => self.path.clone(),
        };
        mudi_diffusion::texts::check_fit(&self.unet_config()?, text)
            .map_err(|source| BaseError::Config { path, source })
    }

    /// The tokenizer of a text encoder; checkpoint files have none and were trained with CLIP's.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn tokenizer(&self, encoder: Component) -> Result<Tokenizer, BaseError> {
        let second = encoder == Component::TextEncoder2;
        match &self.place {
            Place::Folder(folder) => {
                load_tokenizer(&folder.join(if second { "tokenizer_2" } else { "tokenizer" }))
            }
            Place::File(file) => {
                let pads_with_zero =
                    file.checkpoint.text.get(usize::from(second)).is_some_and(|text| text.pads_with_zero);
                vocabulary::clip(pads_with_zero)
                    .map_err(|source| BaseError::Tokenizer { path: self.path.clone(), source })
            }
        }
    }

    /// The files of the tokenizer of a text encoder, by name.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn tokenizer_files(&self, encoder: Component) -> Result<Vec<(&'static str, String)>, BaseError> {
        let second = encoder == Component::TextEncoder2;
        match &self.place {
            Place::Folder(folder) => {
                folder::tokenizer_files(&folder.join(if second { "tokenizer_2" } else { "tokenizer" }))
            }
            Place::File(file) => {
                let text = file.checkpoint.text.get(usize::from(second));
                vocabulary::files(text.is_some_and(|text| text.pads_with_zero))
                    .map_err(|source| BaseError::Tokenizer { path: self.path.clone(), source })
            }
        }
    }

    /// The noise schedule that it was trained with.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn schedule(&self) -> Result<NoiseSchedule, BaseError> {
        match &self.place {
            Place::Folder(folder) => folder::schedule(folder),
            Place::File(file) => file.schedule(),
        }
    }

    /// Whether guidance without a negative prompt is away from nothing (zeros) rather than from the empty text; SDXL's is.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn zeros_for_empty_prompt(&self) -> Result<bool, BaseError> {
        match &self.place {
            Place::Folder(folder) => {
                let pooled = self.unet_config()?.has_text_time();
                folder::zeros_for_empty_prompt(&folder.join("model_index.json"), pooled)
            }
            Place::File(file) => Ok(file.checkpoint.unet.has_text_time()),
        }
    }

    /// What guidance leads away from where nothing else is asked for: MuDI's negative prompt where the base's vocabulary has a word for
    /// it, as CLIP's has, the empty text otherwise.
    ///
    /// # Errors
    /// [`BaseError`], naming the vocabulary's file.
    pub fn negative_prompt(&self) -> Result<&'static str, BaseError> {
        let known = match &self.place {
            Place::Folder(folder) => folder::has_word(&folder.join("tokenizer"), prompt::NEGATIVE_WORD)?,
            // Checkpoint files were trained with CLIP's.
            Place::File(_) => true,
        };
        Ok(if known { prompt::NEGATIVE } else { "" })
    }

    /// The weights of a network, with all LoRAs.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn weights(
        &self,
        engine: &CandleEngine,
        component: Component,
        precision: Precision,
    ) -> Result<FileWeights, BaseError> {
        let weights = match (&self.vae, &self.place) {
            (Some(vae), _) if component == Component::Vae => vae.weights(engine, precision)?,
            (_, Place::Folder(folder)) => {
                FileWeights::open_as(engine, &weights_file(&folder.join(component.folder()))?, precision)?
            }
            (_, Place::File(file)) => file.weights(engine, component, precision)?,
        };
        Ok(weights.adapted(component, &self.loras))
    }

    /// Loads one network whose every weight must be used.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn load<N>(
        &self,
        engine: &CandleEngine,
        component: Component,
        precision: Precision,
        new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
    ) -> Result<N, BaseError> {
        let mut weights = self.weights(engine, component, precision)?;
        let network = weights.build(new)?;
        weights.finish()?;
        Ok(network)
    }

    /// The LoRA of a file that was trained here, to be attached beside the weights.
    ///
    /// # Errors
    /// [`BaseError::Lora`], naming the file.
    pub fn attachment(&self, path: &Path) -> Result<Attachment, BaseError> {
        Ok(Attachment::new(LoraFile::read(path)?, &self.layers()?)?)
    }

    /// The layers that a LoRA can adapt.
    ///
    /// # Errors
    /// [`BaseError`], naming the file.
    pub fn layers(&self) -> Result<Layers, BaseError> {
        Ok(lora::layers(&self.unet_config()?, &self.text_configs()?)?)
    }
}
