//! The networks that see, on a picture of the toybox: a mask by a class's name, and Detect-and-Compare of an image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mudi_diffusion::{Engine, ParameterKind, Parameters};
use mudi_domain::rng;
use mudi_engine_candle::{CandleEngine, Tensor, on_pool};
use mudi_toybox::{Background, Scene, similar_pair};
use mudi_vision::owl::{Owl, OwlConfig};
use mudi_vision::sam::{Published, Sam, SamConfig};

use super::BenchError;
use super::networks::drawn_from;
use super::worker::Prepared;
use crate::evaluate::{Eyes, Judge};
use crate::probe::{ProbeError, references};
use crate::segment::{AutoSegmenter, AutomaticError, Networks, THRESHOLD};

/// Side of the pictures, in pixels.
const SIDE: u32 = 96;

/// Why a network that sees could not be timed.
#[derive(Debug, thiserror::Error)]
pub enum SeeingError {
    /// No mask.
    #[error(transparent)]
    Mask(#[from] AutomaticError),
    /// No comparison.
    #[error(transparent)]
    Evaluate(#[from] crate::evaluate::EvaluateError),
    /// No references.
    #[error(transparent)]
    References(#[from] ProbeError),
}

/// Pictures that are tried until one shows a toy that the detector finds once.
const TRIED: u64 = 50;

/// The mask of the only toy of a picture, from the name of its kind.
pub(super) fn mask(detector: PathBuf, segmenter: PathBuf) -> Result<Prepared, BenchError> {
    let networks = Networks { detector, segmenter };
    let segmenter = AutoSegmenter::load(&networks, THRESHOLD).map_err(SeeingError::from)?;
    let mut index = 0;
    let (image, class) = loop {
        let stream = &mut rng::stream(0, "bench mask", index);
        let (toy, _) = similar_pair(stream);
        let class = toy.kind.name();
        let image = Scene::compose(stream, [SIDE; 2], Background::Garden, vec![toy]).render().image;
        index += 1;
        match segmenter.mask(Path::new("picture"), &image, class) {
            Err(error) if index == TRIED => return Err(SeeingError::from(error).into()),
            Err(_) => {}
            Ok(_) => break (image, class),
        }
    };
    Ok(Box::new(move || {
        segmenter.mask(Path::new("picture"), &image, class).map_err(SeeingError::from)?;
        Ok(())
    }))
}

/// Random weights of a network, in memory.
struct RandomWeights<'a>(&'a CandleEngine);

impl Parameters<CandleEngine> for RandomWeights<'_> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> mudi_diffusion::Result<Tensor> {
        let (mean, spread) = drawn_from(shape, kind);
        let drawn = rng::normal(&mut rng::stream(0, name, 0), shape.iter().product());
        let values: Vec<f32> = drawn.iter().map(|value| mean + spread * value).collect();
        self.0.from_slice(&values, shape)
    }

    fn contains(&self, _name: &str) -> bool {
        true
    }
}

/// Random pixels of a square image.
fn pixels(engine: &CandleEngine, side: usize) -> mudi_diffusion::Result<Tensor> {
    let values = rng::normal(&mut rng::stream(0, "pixels", 0), side * side * 3);
    engine.from_slice(&values, &[1, side, side, 3])
}

/// OWLv2 base at its size.
pub(super) fn owlv2() -> Result<Prepared, BenchError> {
    let engine = CandleEngine::cpu();
    let mut config = OwlConfig::default();
    config.vision_config.image_size = 960;
    let network = Owl::new(config, &mut RandomWeights(&engine))?;
    let pixels = pixels(&engine, 960)?;
    // Two texts of a few tokens, ended by CLIP's own token.
    let mut ids = [0; 32];
    ids[..4].copy_from_slice(&[49406, 320, 1929, 49407]);
    ids[16..22].copy_from_slice(&[49406, 320, 2368, 17240, 4298, 49407]);
    Ok(Box::new(move || {
        on_pool(|| network.forward(&engine, &pixels, &network.encode_texts(&engine, &ids, 2)?))?;
        Ok(())
    }))
}

/// SAM's image encoder, ViT-B, at its size.
pub(super) fn sam() -> Result<Prepared, BenchError> {
    let engine = CandleEngine::cpu();
    let config = SamConfig::published(Published::VitB);
    let network = Sam::new(&engine, config, &mut RandomWeights(&engine))?;
    let pixels = pixels(&engine, network.config.image_size())?;
    Ok(Box::new(move || {
        on_pool(|| network.embed(&engine, &pixels))?;
        Ok(())
    }))
}

/// Detect-and-Compare of a picture of two toys with five photos of each.
pub(super) fn compare(detector: &Path, embedder: &Path) -> Result<Prepared, BenchError> {
    let stream = &mut rng::stream(0, "bench compare", 0);
    let (first, second) = similar_pair(stream);
    let toys = [first, second];
    let image = Scene::compose(stream, [SIDE; 2], Background::Garden, toys.to_vec()).render().image;
    let eyes = Eyes::load(detector, &[embedder]).map_err(SeeingError::from)?;
    let data = references(&toys, 0).map_err(SeeingError::from)?;
    let options = eyes.options();
    let judge = Judge::new(Arc::new(eyes), &data, options).map_err(SeeingError::from)?;
    Ok(Box::new(move || {
        judge.judge(Path::new("picture"), &image).map_err(SeeingError::from)?;
        Ok(())
    }))
}
