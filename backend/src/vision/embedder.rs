//! What makes identities comparable: DINOv2 or DreamSim.

use std::path::{Path, PathBuf};

use image::RgbImage;
use mudi_diffusion::Engine;
use mudi_domain::compare::Embedding;
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};
use mudi_vision::dino::{Dinov2, Dinov2Config, mean_state};
use mudi_vision::dreamsim::{DreamSim, DreamSimConfig};
use mudi_vision::preprocess::{Pixels, Processor, Size};
use serde::{Deserialize, Serialize};

use super::{ModelType, VisionError, dreamsim, file, has_weights, listed, load_below, processor};
use crate::base;

/// A network that embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbedderKind {
    /// The mean over all tokens of DINOv2's last hidden state.
    Dinov2,
    /// DreamSim's ensemble.
    DreamSim,
}

impl std::fmt::Display for EmbedderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dinov2 => "DINOv2",
            Self::DreamSim => "DreamSim",
        })
    }
}

enum Network {
    Dinov2(Box<Dinov2<CandleEngine>>),
    DreamSim(Box<DreamSim<CandleEngine>>),
}

/// What DINOv2's names begin with in files of transformers that hold a classifier, too.
const WITH_HEAD: [&str; 1] = ["dinov2."];

/// Images to identities.
pub struct Embedder {
    folder: PathBuf,
    engine: CandleEngine,
    network: Network,
    processor: Processor,
    classes: Option<Vec<String>>,
}

/// What `config.json` says besides the network's sizes: the nouns of what it tells apart, where those are few. Transformers has no
/// such field.
#[derive(Deserialize)]
struct Knowledge {
    #[serde(default)]
    known_classes: Option<Vec<String>>,
}

impl Embedder {
    /// Loads DINOv2 from a folder as it is published (`config.json`, `model.safetensors`, and where there is one
    /// `preprocessor_config.json`; or the authors' `dinov2_vitb14_pretrain.pth` or its like alone), or DreamSim from one with the weights
    /// of each tower and the LoRA (see [`Self::kind`] for which it was).
    ///
    /// # Errors
    /// [`VisionError`], naming the file.
    pub fn load(folder: &Path) -> Result<Self, VisionError> {
        const NETWORKS: &str = "DINOv2 or DreamSim";
        if !folder.join("config.json").exists() {
            if folder.join(dreamsim::LORA).is_dir() {
                return Self::dreamsim(folder, &DreamSimConfig::default());
            }
            // Before the network below it is taken for DINOv2.
            if let Some(path) = dreamsim::other_lora(folder) {
                let what = "a LoRA of one of DreamSim's other networks";
                let instead = "the ensemble (`mudi models pull dreamsim`)";
                return Err(VisionError::Unsupported { path, what, instead });
            }
            if let Some((path, config)) = authors_dinov2(folder) {
                return Self::authors_dinov2(folder, &path, config);
            }
            if let Some(path) = with_registers(folder) {
                return Err(registers(path));
            }
        }
        let path = file(folder, "config.json", NETWORKS)?;
        match base::read_config::<ModelType>(folder)?.model_type.as_str() {
            "dinov2" => Self::dinov2(folder),
            "dreamsim" => Self::dreamsim(folder, &base::read_config(folder)?),
            "dinov2_with_registers" => Err(registers(path)),
            other => Err(VisionError::OtherNetwork { path, found: other.to_owned(), network: NETWORKS }),
        }
    }

    fn new(folder: &Path, engine: CandleEngine, network: Network, processor: Processor) -> Self {
        Self { folder: folder.to_owned(), engine, network, processor, classes: None }
    }

    fn dinov2(folder: &Path) -> Result<Self, VisionError> {
        has_weights(folder, "DINOv2")?;
        let engine = CandleEngine::cpu();
        let config: Dinov2Config = base::read_config(folder)?;
        let side = config.image_size;
        let path = base::weights_file(folder)?;
        let network = load_below(&engine, &path, &WITH_HEAD, "embeddings.cls_token", |parameters| {
            Dinov2::new(config, parameters)
        })?;
        let processor = processor(folder, Processor::from_json)?.unwrap_or_else(|| unsaid(side));
        let Knowledge { known_classes } = base::read_config(folder)?;
        let embedder = Self::new(folder, engine, Network::Dinov2(Box::new(network)), processor);
        Ok(Self { classes: known_classes, ..embedder })
    }

    fn authors_dinov2(folder: &Path, path: &Path, config: Dinov2Config) -> Result<Self, VisionError> {
        let engine = CandleEngine::cpu();
        let network =
            base::load_file(&engine, path, Precision::Single, |parameters| Dinov2::new(config, parameters))?;
        let processor = Processor::dinov2();
        Ok(Self::new(folder, engine, Network::Dinov2(Box::new(network)), processor))
    }

    fn dreamsim(folder: &Path, config: &DreamSimConfig) -> Result<Self, VisionError> {
        let engine = CandleEngine::cpu();
        let network = Network::DreamSim(Box::new(dreamsim::load(&engine, folder, config)?));
        let processor = square(config.image_size, Processor::dreamsim());
        Ok(Self::new(folder, engine, network, processor))
    }

    /// The nouns of what it tells apart, where it was not trained on pictures at large.
    #[must_use]
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// Which network it is.
    #[must_use]
    pub fn kind(&self) -> EmbedderKind {
        match self.network {
            Network::Dinov2(_) => EmbedderKind::Dinov2,
            Network::DreamSim(_) => EmbedderKind::DreamSim,
        }
    }

    /// The identity that an image shows.
    ///
    /// # Errors
    /// An image without pixels; engine errors; an embedding that is no direction.
    pub fn embed(&self, image: &RgbImage) -> Result<Embedding, VisionError> {
        let values = self.engine.to_vec(&on_pool(|| self.vector(self.processor.apply(image)?))?)?;
        Embedding::new(&values)
            .map_err(|source| VisionError::Embedding { folder: self.folder.clone(), source })
    }

    fn vector(&self, pixels: Pixels) -> mudi_diffusion::Result<Tensor> {
        let engine = &self.engine;
        match &self.network {
            Network::Dinov2(dino) => {
                mean_state(engine, &dino.forward(engine, &Pixels::batch(engine, &[pixels])?)?)
            }
            Network::DreamSim(ensemble) => ensemble.embed(engine, &[pixels]),
        }
    }
}

/// The first file of DINOv2's authors in a folder, and its configuration, which the name tells.
fn authors_dinov2(folder: &Path) -> Option<(PathBuf, Dinov2Config)> {
    listed(folder).find_map(|path| {
        let config = Dinov2Config::published(path.file_name()?.to_str()?)?;
        Some((path, config))
    })
}

/// The first file of the authors' later networks in a folder (`dinov2_vitb14_reg4_pretrain.pth`).
fn with_registers(folder: &Path) -> Option<PathBuf> {
    listed(folder).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("dinov2_vit") && name.ends_with("_reg4_pretrain.pth")
    })
}

fn registers(path: PathBuf) -> VisionError {
    let what = "a DINOv2 with registers";
    VisionError::Unsupported { path, what, instead: "one without (`mudi models pull dinov2`)" }
}

/// The processor of a DINOv2 whose folder says nothing of it: the published one's, or, where the network learnt on images smaller than
/// what that cuts out, one that takes the whole image.
fn unsaid(side: usize) -> Processor {
    let published = Processor::dinov2();
    let least = published.crop.map_or(0, |[height, _]| height as usize);
    if side >= least { published } else { square(side, published) }
}

/// A processor that brings the whole image to a square of `side` pixels, whatever its shape, and is otherwise as `like`.
fn square(side: usize, like: Processor) -> Processor {
    // The network's positions are learnt on that side, so that it is no longer than their table.
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    Processor { size: Some(Size::Exact { height: side, width: side }), crop: None, ..like }
}
