//! Where a base model is read from: a folder in diffusers' layout, or one checkpoint file, and an autoencoder in place of
//! theirs.

mod checkpoint;
mod folder;
mod other_vae;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use checkpoint::CheckpointFile;
pub(crate) use checkpoint::{VELOCITY_FLAG, ZERO_SNR_FLAG, checkpoint_schedule};
pub use folder::{load_file, load_network, read_config};
pub(crate) use folder::{load_tokenizer, read_text, weights_file};
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

use super::BaseError;

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
            Place::Folder(path.to_owned())
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
            let own = self.vae_config().ok();
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
            (None, Place::Folder(folder)) => read_config(&folder.join(Component::Vae.folder())),
            (None, Place::File(file)) => Ok(file.checkpoint.vae.clone()),
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
            Place::File(file) => component != Component::TextEncoder2 || file.checkpoint.text.len() > 1,
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
                .map(|component| read_config(&folder.join(component.folder())))
                .collect(),
            Place::File(file) => Ok(file.checkpoint.text.iter().map(|text| text.config.clone()).collect()),
        }
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
            Place::Folder(folder) => folder::zeros_for_empty_prompt(&folder.join("model_index.json")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_the_vocabulary_are_kept_away() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = folder.path().join("tokenizer");
        std::fs::create_dir(&tokenizer).unwrap();
        for (name, text) in vocabulary::files(false).unwrap() {
            std::fs::write(tokenizer.join(name), text).unwrap();
        }
        let suited = |path: &Path| Source::open(path).unwrap().negative_prompt().unwrap();
        assert_eq!(suited(folder.path()), "sticker, collage.");
        assert_eq!(suited(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket").as_ref()), "");
    }

    /// As transformers 5 writes it.
    #[test]
    fn a_tokenizer_may_lie_in_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, whole] = ["plain", "whole"].map(|name| folder.path().join(name));
        for base in [&plain, &whole] {
            std::fs::create_dir_all(base.join("tokenizer")).unwrap();
        }
        let write = |base: &Path, name: &str, text: &str| {
            std::fs::write(base.join("tokenizer").join(name), text).unwrap();
        };
        let mut model = serde_json::json!({ "type": "BPE", "end_of_word_suffix": "</w>" });
        for (name, text) in vocabulary::files(true).unwrap() {
            write(&plain, name, &text);
            match name {
                "vocab.json" => model["vocab"] = serde_json::from_str(&text).unwrap(),
                "merges.txt" => {
                    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
                    model["merges"] = lines.map(|line| line.split(' ').collect::<Vec<_>>()).collect();
                }
                _ => write(&whole, name, &text),
            }
        }
        write(&whole, "tokenizer.json", &serde_json::json!({ "model": model }).to_string());
        let [plain, whole] = [plain, whole].map(|base| Source::open(&base).unwrap());
        let [expected, found] =
            [&plain, &whole].map(|source| source.tokenizer(Component::TextEncoder).unwrap());
        for text in ["A photo of olis bear, 3 of them!", "żółć 🐻", ""] {
            assert_eq!(found.encode(text).unwrap(), expected.encode(text).unwrap(), "{text}");
        }
        assert_eq!((found.pad_id(), found.max_length()), (0, 77));
        assert_eq!(whole.negative_prompt().unwrap(), "sticker, collage.");
        let names = |source: &Source| {
            let files = source.tokenizer_files(Component::TextEncoder).unwrap();
            files.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&whole), names(&plain), "what a merged base is written with");
        // Neither one nor the other.
        std::fs::remove_file(whole.path().join("tokenizer/tokenizer.json")).unwrap();
        let error = whole.tokenizer(Component::TextEncoder).unwrap_err().to_string();
        assert!(error.contains("vocab.json"), "{error}");
    }

    #[test]
    fn a_base_for_inpainting_is_refused_before_it_is_planned() {
        let folder = tempfile::tempdir().unwrap();
        let pocket = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket/unet/config.json");
        let mut config: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(pocket).unwrap()).unwrap();
        config["in_channels"] = 9.into();
        std::fs::create_dir(folder.path().join("unet")).unwrap();
        std::fs::write(folder.path().join("unet/config.json"), config.to_string()).unwrap();
        let job = crate::plan::Job::Generate {
            size: None,
            tile: None,
            count: 1,
            lora: None,
            precision: Precision::Single,
        };
        let source = Source::open(folder.path()).unwrap();
        let error = crate::plan::plan(&source, job).unwrap_err().to_string();
        for word in ["unet/config.json", "`in_channels` is 9", "inpainting"] {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
}
