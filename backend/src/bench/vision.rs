//! The networks that see, on a picture of the toybox: a mask by a class's name, and Detect-and-Compare of an image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mudi_domain::rng;
use mudi_toybox::{Background, Scene, similar_pair};

use super::BenchError;
use super::worker::Prepared;
use crate::evaluate::{Eyes, Judge, Options as JudgeOptions};
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
        let image = Scene::compose(stream, SIDE, Background::Garden, vec![toy]).render().image;
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

/// Detect-and-Compare of a picture of two toys with five photos of each.
pub(super) fn compare(detector: &Path, embedder: &Path) -> Result<Prepared, BenchError> {
    let stream = &mut rng::stream(0, "bench compare", 0);
    let (first, second) = similar_pair(stream);
    let toys = [first, second];
    let image = Scene::compose(stream, SIDE, Background::Garden, toys.to_vec()).render().image;
    let eyes = Eyes::load(detector, &[embedder]).map_err(SeeingError::from)?;
    let data = references(&toys, 0).map_err(SeeingError::from)?;
    let options = JudgeOptions::for_toys();
    let judge = Judge::new(Arc::new(eyes), data, options).map_err(SeeingError::from)?;
    Ok(Box::new(move || {
        judge.judge(Path::new("picture"), &image).map_err(SeeingError::from)?;
        Ok(())
    }))
}
