//! AdamW (Loshchilov and Hutter, 2019).

use mudi_diffusion::{Error, Result};
use rayon::prelude::*;

use super::{CHUNK, on_values};
use crate::kernels::simd;
use crate::slices::Slice;
use crate::tape::{Gradients, Tensor};

/// AdamW's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients, 0 to 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, 0 to 1.
    pub beta2: f64,
    /// Added to the root of the second mean.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

/// First and second moments of one weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Running mean of gradients.
    pub first: Vec<f32>,
    /// Running mean of squared gradients.
    pub second: Vec<f32>,
}

/// The optimizer and all of its state.
pub struct AdamW {
    config: AdamWConfig,
    /// Updates made so far.
    pub step: u64,
    /// One for each weight, in the order that the weights are given in.
    pub moments: Vec<Moments>,
}

/// One weight's update, in place.
struct Update<'a> {
    gradient: &'a [f32],
    moments: &'a mut Moments,
    config: AdamWConfig,
    /// Learning rate over the first bias correction.
    rate: f32,
    /// One over the root of the second bias correction.
    correction: f32,
    /// What is left of the weight after decay.
    keep: f32,
    gradient_scale: f32,
}

impl Update<'_> {
    fn apply(self, weights: &mut [f32]) {
        let Moments { first, second } = self.moments;
        let (b1, b2) = (self.config.beta1 as f32, self.config.beta2 as f32);
        // In double precision: `1 - 0.999` would keep only five digits.
        let (new1, new2) = ((1.0 - self.config.beta1) as f32, (1.0 - self.config.beta2) as f32);
        let epsilon = self.config.epsilon as f32;
        let (keep, rate, correction, scale) = (self.keep, self.rate, self.correction, self.gradient_scale);
        weights
            .par_chunks_mut(CHUNK)
            .zip(self.gradient.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
            .for_each(|((weights, gradient), (first, second))| {
                simd(
                    #[inline(always)]
                    || {
                        for (((w, &g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
                            let g = g * scale;
                            *m = b1 * *m + new1 * g;
                            *v = b2 * *v + new2 * g * g;
                            *w = keep * *w - rate * *m / (v.sqrt() * correction + epsilon);
                        }
                    },
                );
            });
    }
}

impl AdamW {
    /// An optimizer that has not made a step.
    #[must_use]
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, step: 0, moments: Vec::new() }
    }

    /// Updates weights, each with its learning rate; gradients are multiplied by `gradient_scale` first (accumulation, clipping). A
    /// weight without a gradient stays as it is.
    ///
    /// # Errors
    /// Weights that are not on the CPU; engine errors.
    pub fn update<'a>(
        &mut self,
        weights: impl IntoIterator<Item = (&'a Tensor, f64)>,
        gradients: &Gradients,
        gradient_scale: f64,
    ) -> Result<()> {
        self.step += 1;
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let first_correction = 1.0 - self.config.beta1.powi(power);
        let second_correction = 1.0 - self.config.beta2.powi(power);
        for (index, (weight, learning_rate)) in weights.into_iter().enumerate() {
            let length = weight.value().elem_count();
            if self.moments.len() <= index {
                self.moments.push(Moments { first: vec![0.0; length], second: vec![0.0; length] });
            }
            let Some(gradient) = gradients.get(weight) else { continue };
            let gradient = gradient.contiguous().map_err(Error::engine)?;
            let update = Update {
                gradient: &Slice::of(&gradient)?,
                moments: &mut self.moments[index],
                config: self.config,
                rate: (learning_rate / first_correction) as f32,
                correction: (1.0 / second_correction.sqrt()) as f32,
                keep: (1.0 - learning_rate * self.config.weight_decay) as f32,
                gradient_scale: gradient_scale as f32,
            };
            on_values(weight, |weights| update.apply(weights))?;
        }
        Ok(())
    }
}
