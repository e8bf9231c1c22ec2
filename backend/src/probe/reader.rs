//! The probe classifier: what a picture of the toybox shows, read by a network that knows nothing of the one that drew it.
//!
//! It is a convolutional encoder (the autoencoder's, with other numbers) that says for each cell of 8 x 8 pixels: whether a toy's
//! middle is here, whether a toy is here at all, which kind and colour it has, and where the picture is set.

use std::path::Path;

use image::{RgbImage, imageops};
use mudi_diffusion::Engine;
use mudi_diffusion::vae::{VaeConfig, VaeEncoder};
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, on_pool};
use mudi_toybox::{Background, Color, Kind};
use serde::{Deserialize, Serialize};

use super::ProbeError;
use crate::base;
use crate::pretrain::data::to_unit;
use crate::vision::{ModelType, VisionError, file};

/// What `config.json` calls the network.
const MODEL_TYPE: &str = "toybox_reader";
/// From which logit on a cell is a toy's middle: more likely than not.
const MIDDLE: f32 = 0.0;
/// From which [`Reader::sureness`] on a picture counts as set in a place: more likely than not.
pub(crate) const PLACED: f64 = 0.5;

/// `config.json` of the probe classifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReaderConfig {
    model_type: String,
    /// Height and width of the pictures that it reads, in pixels.
    pub(crate) image_size: usize,
    /// The encoder; twice its latent channels are what it says of a cell.
    pub(crate) encoder: VaeConfig,
}

impl ReaderConfig {
    /// The network of pictures of `image_size` pixels whose encoder is `encoder`.
    pub(crate) fn new(image_size: usize, encoder: VaeConfig) -> Self {
        Self { model_type: MODEL_TYPE.to_owned(), image_size, encoder }
    }

    /// Cells along a side.
    pub(crate) fn grid(&self) -> usize {
        self.image_size / self.encoder.reduction()
    }
}

/// Where in what is said of a cell each answer is.
pub(crate) struct Answers;

impl Answers {
    /// Whether a toy's middle is here.
    pub(crate) const MIDDLE: usize = 0;
    /// Whether a toy is here.
    pub(crate) const TOY: usize = 1;
    const KINDS: usize = 2;
    const COLORS: usize = Self::KINDS + Kind::ALL.len();
    const PLACES: usize = Self::COLORS + Color::ALL.len();
    /// How many numbers are said of a cell.
    pub(crate) const COUNT: usize = Self::PLACES + Background::ALL.len();

    /// A logit for each kind.
    pub(crate) fn kinds() -> std::ops::Range<usize> {
        Self::KINDS..Self::COLORS
    }

    /// A logit for each colour.
    pub(crate) fn colors() -> std::ops::Range<usize> {
        Self::COLORS..Self::PLACES
    }

    /// A logit for each background; their mean over all cells decides.
    pub(crate) fn places() -> std::ops::Range<usize> {
        Self::PLACES..Self::COUNT
    }
}

/// What a picture shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Where it is set.
    pub(crate) background: Background,
    /// Kind and colour of each toy.
    pub(crate) toys: Vec<(Kind, Color)>,
}

/// The probe classifier, ready to read pictures.
pub(crate) struct Reader {
    engine: CandleEngine,
    encoder: VaeEncoder<CandleEngine>,
    config: ReaderConfig,
}

impl Reader {
    /// Loads it from its folder: `config.json` and `model.safetensors`.
    pub(crate) fn load(folder: &Path) -> Result<Self, ProbeError> {
        const NETWORK: &str = "a toybox reader";
        let path = file(folder, "config.json", NETWORK)?;
        let kind: ModelType = base::read_config(folder)?;
        if kind.model_type != MODEL_TYPE {
            return Err(VisionError::OtherNetwork { path, found: kind.model_type, network: NETWORK }.into());
        }
        let config: ReaderConfig = base::read_config(folder)?;
        if 2 * config.encoder.latent_channels != Answers::COUNT || config.grid() == 0 {
            return Err(ProbeError::Reader { path });
        }
        let engine = CandleEngine::cpu();
        let encoder = base::load_network(&engine, folder, Precision::Single, |parameters| {
            VaeEncoder::new(&config.encoder, parameters)
        })?;
        Ok(Self { engine, encoder, config })
    }

    /// What the picture shows; one of another size is resized.
    pub(crate) fn read(&self, image: &RgbImage) -> Result<Reading, ProbeError> {
        Ok(reading(&self.said(image)?, self.config.grid()))
    }

    /// How surely all of the picture is set in `place`, 0..=1: each half is read by itself, beside its mirror image so that it is a
    /// whole picture, and the less sure one counts. Where a picture is two places joined in the middle, one half is not set there.
    pub(crate) fn sureness(&self, image: &RgbImage, place: Background) -> Result<f64, ProbeError> {
        let (width, height) = image.dimensions();
        let half = width / 2;
        let mut least = 1.0f64;
        for left in [0, width - half] {
            let half = imageops::crop_imm(image, left, 0, half, height).to_image();
            let mirrored = imageops::flip_horizontal(&half);
            let mut whole = RgbImage::new(2 * half.width(), height);
            imageops::replace(&mut whole, &half, 0, 0);
            imageops::replace(&mut whole, &mirrored, i64::from(half.width()), 0);
            least = least.min(likelihood(&places(&self.said(&whole)?), place));
        }
        Ok(least)
    }

    /// All that is said of the picture's cells.
    fn said(&self, image: &RgbImage) -> Result<Vec<f32>, ProbeError> {
        let side = self.config.image_size;
        let resized;
        let image = if image.dimensions() == (side as u32, side as u32) {
            image
        } else {
            resized = imageops::resize(image, side as u32, side as u32, imageops::FilterType::CatmullRom);
            &resized
        };
        let x = self.engine.from_slice(&to_unit(image), &[1, side, side, 3])?;
        Ok(on_pool(|| self.engine.to_vec(&self.encoder.forward(&self.engine, &x)?))?)
    }
}

/// The mean logit of each background over all cells.
fn places(said: &[f32]) -> Vec<f32> {
    let mut places = vec![0.0; Background::ALL.len()];
    let cells = (said.len() / Answers::COUNT).max(1) as f32;
    for cell in said.chunks_exact(Answers::COUNT) {
        places.iter_mut().zip(&cell[Answers::places()]).for_each(|(sum, logit)| *sum += logit / cells);
    }
    places
}

/// How likely `place` is among all places, by the logits of all backgrounds. Plain ground is none: what a large toy leaves of snow looks
/// like it.
fn likelihood(logits: &[f32], place: Background) -> f64 {
    let places = || Background::ALL.iter().zip(logits).filter(|(other, _)| **other != Background::Simple);
    let most = places().map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
    let odds = |logit: f32| f64::from(logit - most).exp();
    let all: f64 = places().map(|(_, logit)| odds(*logit)).sum();
    places().find(|(other, _)| **other == place).map_or(0.0, |(_, logit)| odds(*logit) / all)
}

/// The variant with the highest of `logits`.
fn likeliest<T: Copy>(all: &[T], logits: &[f32]) -> T {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at);
    all[best]
}

/// What `said` of `grid` by `grid` cells means. Middles are cells that say so louder than their neighbours.
fn reading(said: &[f32], grid: usize) -> Reading {
    let cells: Vec<&[f32]> = said.chunks_exact(Answers::COUNT).collect();
    let louder = |other: usize, than: usize| {
        let (a, b) = (cells[other][Answers::MIDDLE], cells[than][Answers::MIDDLE]);
        // Of equals the first is the middle.
        a > b || (a == b && other < than)
    };
    let is_middle = |at: usize| {
        let (x, y) = (at % grid, at / grid);
        let mut around = (y.saturating_sub(1)..=(y + 1).min(grid - 1))
            .flat_map(|y| (x.saturating_sub(1)..=(x + 1).min(grid - 1)).map(move |x| y * grid + x));
        cells[at][Answers::MIDDLE] > MIDDLE && !around.any(|other| other != at && louder(other, at))
    };
    let toys = (0..cells.len()).filter(|&at| is_middle(at)).map(|at| {
        let kind = likeliest(Kind::ALL, &cells[at][Answers::kinds()]);
        (kind, likeliest(Color::ALL, &cells[at][Answers::colors()]))
    });
    Reading { background: likeliest(Background::ALL, &places(said)), toys: toys.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: usize = 4;

    /// What would be said of toys at these cells, all on the beach.
    fn said(toys: &[(usize, f32, Kind, Color)]) -> Vec<f32> {
        let mut said = vec![-1.0; GRID * GRID * Answers::COUNT];
        for cell in said.chunks_exact_mut(Answers::COUNT) {
            let beach = Background::ALL.iter().position(|place| *place == Background::Beach);
            cell[Answers::places()][beach.expect("a beach")] = 0.5;
        }
        for &(at, sure, kind, color) in toys {
            let cell = &mut said[at * Answers::COUNT..][..Answers::COUNT];
            cell[Answers::MIDDLE] = sure;
            let kind = Kind::ALL.iter().position(|other| *other == kind);
            let color = Color::ALL.iter().position(|other| *other == color);
            cell[Answers::kinds()][kind.expect("a kind")] = 3.0;
            cell[Answers::colors()][color.expect("a colour")] = 3.0;
        }
        said
    }

    #[test]
    fn answers_fill_the_channels_of_an_encoder() {
        assert_eq!(Answers::COUNT % 2, 0);
    }

    #[test]
    fn neighbours_are_one_toy_and_others_are_many() {
        let toys = [
            (0, 2.0, Kind::Bear, Color::Red),
            (1, 1.0, Kind::Cat, Color::Blue),
            (15, 1.0, Kind::Cat, Color::Blue),
            (8, -0.5, Kind::Dog, Color::Grey),
        ];
        let found = reading(&said(&toys), GRID);
        assert_eq!(found.toys, [(Kind::Bear, Color::Red), (Kind::Cat, Color::Blue)]);
        assert_eq!(found.background, Background::Beach);
    }

    #[test]
    fn a_place_is_as_likely_as_its_logit_says() {
        let logits = places(&said(&[]));
        // All other places, without plain ground.
        let others = (Background::ALL.len() - 2) as f64 * (-1.5f64).exp();
        assert!((likelihood(&logits, Background::Beach) - 1.0 / (1.0 + others)).abs() < 1e-6);
        assert!(likelihood(&logits, Background::Snow) < 0.1);
    }

    #[test]
    fn of_equal_neighbours_one_is_a_toy() {
        let toys = [(5, 1.0, Kind::Bear, Color::Red), (6, 1.0, Kind::Bear, Color::Red)];
        assert_eq!(reading(&said(&toys), GRID).toys.len(), 1);
    }
}
