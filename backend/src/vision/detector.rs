//! OWLv2, asked in words.

use std::path::Path;

use image::{RgbImage, imageops};
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_domain::geometry::Rect;
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};
use mudi_vision::owl::{Detection, Owl, OwlConfig, Proposals};
use mudi_vision::preprocess::{OwlProcessor, Pixels};

use serde::{Deserialize, Deserializer};

use super::squares::Squares;
use super::{VisionError, file, has_weights, is_one_of, processor};
use crate::base;

/// What a detector's folder holds.
const NETWORK: &str = "OWLv2";
/// How many parts of an image are looked at together.
const TOGETHER: usize = 16;

/// Finds in images what texts name.
pub struct Detector {
    engine: CandleEngine,
    owl: Owl<CandleEngine>,
    processor: OwlProcessor,
    tokenizer: Tokenizer,
    classes: Option<Vec<String>>,
    habits: Option<Habits>,
}

/// How a network is asked, and what counts as found, where that is not as with the published one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// What it is asked for; empty for the classes of the subjects.
    pub queries: Vec<String>,
    /// What a detection's score must exceed, 0..=1.
    #[serde(deserialize_with = "share")]
    pub threshold: f64,
    /// Of two detections that overlap by more than this (intersection over union), 0..=1, the surer one counts.
    #[serde(deserialize_with = "share")]
    pub overlap: f64,
    /// Whether an image that is longer than wide, or wider than high, is looked at in squares that overlap, in place of one square that holds all
    /// of it, in which everything would be small.
    #[serde(default)]
    pub squares: bool,
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(from)?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{value} is not from 0 to 1")))
}

/// What `config.json` says besides the network's sizes.
#[derive(Deserialize)]
struct Knowledge {
    /// The nouns that a network knows which was not trained on the language at large. Transformers has no such field.
    #[serde(default)]
    known_classes: Option<Vec<String>>,
    /// Nor has it this one.
    #[serde(default)]
    detection: Option<Habits>,
}

/// Texts that have been read once, for any number of images.
pub struct Questions {
    texts: Tensor,
}

impl Detector {
    /// Loads OWLv2 from a folder as it is published: `config.json`, `model.safetensors`, `vocab.json` and `merges.txt` or `tokenizer.json`,
    /// and where there is one `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`VisionError`], naming the file.
    pub fn load(folder: &Path) -> Result<Self, VisionError> {
        let path = file(folder, "config.json", NETWORK)?;
        has_weights(folder, NETWORK)?;
        // Today's transformers write a tokenizer into one file.
        if !folder.join("tokenizer.json").is_file() {
            file(folder, "vocab.json", NETWORK)?;
            file(folder, "merges.txt", NETWORK)?;
        }
        let engine = CandleEngine::cpu();
        let config: OwlConfig = base::read_config(folder)?;
        if config.model_type != "owlv2" {
            return Err(VisionError::OtherNetwork { path, found: config.model_type, network: NETWORK });
        }
        let Knowledge { known_classes: classes, detection: habits } = base::read_config(folder)?;
        let processor = processor(folder, OwlProcessor::from_json)?
            .unwrap_or_else(|| OwlProcessor::new(config.vision_config.image_size));
        let tokenizer = base::load_tokenizer(folder)?;
        let owl = base::load_network(&engine, folder, Precision::Single, |parameters| {
            Owl::new(config, parameters)
        })?;
        Ok(Self { engine, owl, processor, tokenizer, classes, habits })
    }

    /// The nouns that it knows, where it was not trained on the language at large.
    #[must_use]
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// How it is asked and read, where its folder says so.
    #[must_use]
    pub fn habits(&self) -> Option<&Habits> {
        self.habits.as_ref()
    }

    /// Reads texts such as `teddy bear`.
    ///
    /// # Errors
    /// No text, one that is too long, or one whose last word is none of the classes that a small network knows.
    pub fn ask(&self, texts: &[&str]) -> Result<Questions, VisionError> {
        if texts.is_empty() {
            return Err(VisionError::NoQuery);
        }
        let length = self.owl.config.text_config.max_position_embeddings.min(self.tokenizer.max_length());
        let mut ids = Vec::with_capacity(texts.len() * length);
        for text in texts {
            self.check_known(text)?;
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

    fn check_known(&self, text: &str) -> Result<(), VisionError> {
        let Some(known) = &self.classes else { return Ok(()) };
        if is_one_of(known, text) {
            return Ok(());
        }
        Err(VisionError::UnknownClass { text: text.to_owned(), known: known.join(", ") })
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
        let size = image.dimensions();
        if !self.habits.as_ref().is_some_and(|habits| habits.squares) || size.0 == size.1 {
            let proposals = self.proposals(questions, &[self.processor.apply(image)?])?;
            return Ok(proposals.iter().flat_map(|found| found.above(threshold, size.0, size.1)).collect());
        }
        let squares = Squares::of(size);
        let mut found = Vec::new();
        for some in squares.all().chunks(TOGETHER) {
            let parts = some.iter().map(|square| self.processor.apply(&cut(image, square)));
            let proposals = self.proposals(questions, &parts.collect::<Result<Vec<_>, _>>()?)?;
            found.extend(some.iter().zip(&proposals).map(|(square, proposals)| {
                let detections = proposals.above(threshold, square.width, square.height);
                detections.into_iter().filter_map(|detection| squares.place(square, detection)).collect()
            }));
        }
        Ok(squares.agreed(&found, threshold))
    }

    fn proposals(&self, questions: &Questions, images: &[Pixels]) -> Result<Vec<Proposals>, VisionError> {
        let pixels = Pixels::batch(&self.engine, images)?;
        let output = on_pool(|| self.owl.forward(&self.engine, &pixels, &questions.texts))?;
        Ok(Proposals::of(&self.engine, &output)?)
    }
}

fn cut(image: &RgbImage, square: &Rect) -> RgbImage {
    imageops::crop_imm(image, square.x as u32, square.y as u32, square.width, square.height).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_tokenizer_may_lie_in_one_file() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/owlv2-toybox");
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer_config.json"]
        {
            std::fs::copy(shipped.join(name), folder.path().join(name)).unwrap();
        }
        let lacks = Detector::load(folder.path()).err().unwrap().to_string();
        assert!(lacks.contains("vocab.json"), "{lacks}");
        let read = |name: &str| std::fs::read_to_string(shipped.join(name)).unwrap();
        let vocabulary: serde_json::Value = serde_json::from_str(&read("vocab.json")).unwrap();
        let merges = read("merges.txt");
        let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version")).collect();
        let whole = serde_json::json!({
            "model": { "type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocabulary, "merges": merges },
        });
        std::fs::write(folder.path().join("tokenizer.json"), whole.to_string()).unwrap();
        let [own, whole] =
            [&shipped, &folder.path().to_owned()].map(|folder| Detector::load(folder).unwrap());
        for text in ["a photo of a bear", "toy"] {
            assert_eq!(whole.tokenizer.encode(text).unwrap(), own.tokenizer.encode(text).unwrap(), "{text}");
        }
    }
}
