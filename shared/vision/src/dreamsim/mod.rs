//! DreamSim's ensemble (Fu et al., 2023): how alike two images look to people, by three networks side by side, as the
//! authors' package `dreamsim` computes it.
//!
//! DINO's class token (as it leaves the last block, without the final norm) and the projections of CLIP and OpenCLIP, each
//! fine-tuned by a LoRA, are laid end to end, centred and brought to length 1.

mod config;
mod merged;
mod tower;

use mudi_diffusion::{Engine, Error, Result};

pub use config::{DreamSimConfig, TOWERS};
pub use merged::Adapter;
pub use tower::Tower;

use crate::preprocess::Pixels;

/// The ensemble.
pub struct DreamSim<E: Engine> {
    towers: Vec<Tower<E>>,
}

impl<E: Engine> DreamSim<E> {
    /// The ensemble of its towers, in the order of [`TOWERS`].
    #[must_use]
    pub fn new(towers: Vec<Tower<E>>) -> Self {
        Self { towers }
    }

    /// What the ensemble makes of images of one size, 0..=1 and not normalized
    /// ([`Processor::dreamsim`](crate::preprocess::Processor::dreamsim)): vectors of length 1, `[B, D]`. The distance of two
    /// images is 1 minus their product.
    ///
    /// # Errors
    /// No image, images of different sizes; engine errors.
    pub fn embed(&self, engine: &E, images: &[Pixels]) -> Result<E::Tensor> {
        // Keeps an image that all towers find featureless from dividing by 0.
        const LEAST_VARIANCE: f32 = 1e-12;
        let mut all: Option<E::Tensor> = None;
        for tower in &self.towers {
            let normalized: Vec<Pixels> =
                images.iter().map(|image| image.clone().normalized(tower.normalization())).collect();
            let features = tower.forward(engine, &Pixels::batch(engine, &normalized)?)?;
            all = Some(match all {
                None => features,
                Some(before) => engine.concat(&before, &features, 1)?,
            });
        }
        let all = all.ok_or_else(|| Error::Config("an ensemble without towers".to_owned()))?;
        // A layer norm centres, and divides by the deviation; the length is that times the root of the width.
        let width = engine.shape(&all)[1];
        let factor = engine.from_slice(&vec![1.0 / (width as f32).sqrt(); width], &[width])?;
        let zeros = engine.from_slice(&vec![0.0; width], &[width])?;
        engine.layer_norm(&all, &factor, &zeros, LEAST_VARIANCE)
    }
}
