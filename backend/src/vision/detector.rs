//! OWLv2, asked in words.

use std::path::Path;

use image::RgbImage;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};
use mudi_vision::owl::{Detection, Owl, OwlConfig, Proposals};
use mudi_vision::preprocess::{OwlProcessor, Pixels};

use super::{VisionError, file, processor};
use crate::base;

/// What a detector's folder holds.
const NETWORK: &str = "OWLv2";

/// Finds in images what texts name.
pub struct Detector {
    engine: CandleEngine,
    owl: Owl<CandleEngine>,
    processor: OwlProcessor,
    tokenizer: Tokenizer,
}

/// Texts that have been read once, for any number of images.
pub struct Questions {
    texts: Tensor,
}

impl Detector {
    /// Loads OWLv2 from a folder as it is published: `config.json`, `model.safetensors`, `vocab.json`, `merges.txt`, and where
    /// there is one `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`VisionError`], naming the file.
    pub fn load(folder: &Path) -> Result<Self, VisionError> {
        let path = file(folder, "config.json", NETWORK)?;
        for name in ["model.safetensors", "vocab.json", "merges.txt"] {
            file(folder, name, NETWORK)?;
        }
        let engine = CandleEngine::cpu();
        let config: OwlConfig = base::read_config(folder)?;
        if config.model_type != "owlv2" {
            return Err(VisionError::OtherNetwork { path, found: config.model_type, network: NETWORK });
        }
        let processor = processor(folder, OwlProcessor::from_json)?
            .unwrap_or_else(|| OwlProcessor::new(config.vision_config.image_size));
        let tokenizer = base::load_tokenizer(folder)?;
        let owl = base::load_network(&engine, folder, Precision::Single, |parameters| {
            Owl::new(config, parameters)
        })?;
        Ok(Self { engine, owl, processor, tokenizer })
    }

    /// Reads texts such as `teddy bear`.
    ///
    /// # Errors
    /// No text, or one that is too long.
    pub fn ask(&self, texts: &[&str]) -> Result<Questions, VisionError> {
        if texts.is_empty() {
            return Err(VisionError::NoQuery);
        }
        let length = self.owl.config.text_config.max_position_embeddings.min(self.tokenizer.max_length());
        let mut ids = Vec::with_capacity(texts.len() * length);
        for text in texts {
            let encoded = self.tokenizer.encode(text).map_err(base::BaseError::from)?;
            if encoded.truncated || encoded.eos_position >= length {
                let most = length.saturating_sub(2);
                return Err(VisionError::LongQuery { text: (*text).to_owned(), most });
            }
            ids.extend_from_slice(&encoded.ids[..length]);
        }
        let texts = on_pool(|| self.owl.encode_texts(&self.engine, &ids, texts.len()))?;
        Ok(Questions { texts })
    }

    /// What is found with a score above `threshold` (0..=1), the surest first.
    ///
    /// # Errors
    /// An image without pixels; engine errors.
    pub fn detect(
        &self,
        image: &RgbImage,
        questions: &Questions,
        threshold: f32,
    ) -> Result<Vec<Detection>, VisionError> {
        let pixels = Pixels::batch(&self.engine, &[self.processor.apply(image)?])?;
        let output = on_pool(|| self.owl.forward(&self.engine, &pixels, &questions.texts))?;
        let proposals = Proposals::of(&self.engine, &output)?;
        let (width, height) = image.dimensions();
        Ok(proposals.iter().flat_map(|proposals| proposals.above(threshold, width, height)).collect())
    }
}
