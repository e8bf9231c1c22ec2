//! Prodigy (Mishchenko and Defazio, 2023): Adam that estimates how far the solution is, and with it its learning rate.

use mudi_diffusion::{Error, Result};
use rayon::prelude::*;

use super::{AdamWConfig, CHUNK, Kept, on_values};
use crate::slices::Slice;
use crate::tape::{Gradients, Tensor};

/// The first estimate of the distance.
const START: f64 = 1e-6;

/// What is kept of one weight.
#[derive(Clone, Debug, PartialEq)]
struct State {
    first: Vec<f32>,
    second: Vec<f32>,
    /// Running sum of gradients: where the start is seen from the solution.
    distance: Vec<f32>,
    /// The weight before the first step.
    start: Vec<f32>,
}

/// Prodigy with decoupled weight decay and without bias correction, as its authors set it. The learning rate multiplies
/// its own and is 1 as a rule.
pub struct Prodigy {
    config: AdamWConfig,
    /// Updates made so far.
    pub step: u64,
    states: Vec<State>,
    /// The estimate of the distance, the paper's `d`.
    estimate: f64,
    /// The paper's `r`, what the estimate is a quotient of.
    numerator: f64,
}

impl Prodigy {
    /// An optimizer that has not made a step.
    #[must_use]
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, step: 0, states: Vec::new(), estimate: START, numerator: 0.0 }
    }

    /// The learning rate that it has found, without the one that is given.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    pub(super) fn update<'a>(
        &mut self,
        weights: impl IntoIterator<Item = (&'a Tensor, f64)>,
        gradients: &Gradients,
        gradient_scale: f64,
    ) -> Result<()> {
        self.step += 1;
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let beta3 = beta2.sqrt();
        let (weights, rates): (Vec<&Tensor>, Vec<f64>) = weights.into_iter().unzip();
        let learning_rate = rates.into_iter().fold(0.0, f64::max);
        let d = self.estimate;
        let rate = d * learning_rate;
        let growth = d / START * rate;
        let mut numerator = self.numerator * beta3;
        let mut denominator = 0.0;
        let scale = gradient_scale as f32;
        for (index, weight) in weights.iter().enumerate() {
            let length = weight.value().elem_count();
            if self.states.len() <= index {
                let zeros = vec![0.0; length];
                let start = Slice::of(weight.value())?.to_vec();
                self.states.push(State {
                    first: zeros.clone(),
                    second: zeros.clone(),
                    distance: zeros,
                    start,
                });
            }
            let Some(gradient) = gradients.get(weight) else { continue };
            let gradient = gradient.contiguous().map_err(Error::engine)?;
            let gradient = Slice::of(&gradient)?;
            let values = Slice::of(weight.value())?;
            let State { first, second, distance, start } = &mut self.states[index];
            let (b1, b2, b3) = (beta1 as f32, beta2 as f32, beta3 as f32);
            let (new1, new2) = ((d * (1.0 - beta1)) as f32, (d * d * (1.0 - beta2)) as f32);
            let grown = growth as f32;
            let parts: Vec<[f64; 2]> = values
                .par_chunks(CHUNK)
                .zip(gradient.par_chunks(CHUNK))
                .zip(start.par_chunks(CHUNK))
                .zip(first.par_chunks_mut(CHUNK))
                .zip(second.par_chunks_mut(CHUNK))
                .zip(distance.par_chunks_mut(CHUNK))
                .map(|(((((values, gradient), start), first), second), distance)| {
                    let mut sums = [0.0f64; 2];
                    for (at, &g) in gradient.iter().enumerate() {
                        let g = g * scale;
                        sums[0] += f64::from(g) * f64::from(start[at] - values[at]);
                        first[at] = b1 * first[at] + new1 * g;
                        second[at] = b2 * second[at] + new2 * g * g;
                        distance[at] = b3 * distance[at] + grown * g;
                        sums[1] += f64::from(distance[at].abs());
                    }
                    sums
                })
                .collect();
            // In order, so that the number of threads changes nothing.
            for [product, sum] in parts {
                numerator += growth * product;
                denominator += sum;
            }
        }
        self.numerator = numerator;
        if denominator == 0.0 {
            return Ok(());
        }
        self.estimate = self.estimate.max(numerator / denominator);
        let added = (self.estimate * epsilon) as f32;
        let (step, keep) = (rate as f32, (1.0 - weight_decay * rate) as f32);
        for (index, weight) in weights.into_iter().enumerate() {
            if gradients.get(weight).is_none() {
                continue;
            }
            let State { first, second, .. } = &self.states[index];
            on_values(weight, |values| {
                values
                    .par_chunks_mut(CHUNK)
                    .zip(first.par_chunks(CHUNK).zip(second.par_chunks(CHUNK)))
                    .for_each(|(values, (first, second))| {
                        for ((w, m), v) in values.iter_mut().zip(first).zip(second) {
                            *w = keep * *w - step * m / (v.sqrt() + added);
                        }
                    });
            })?;
        }
        Ok(())
    }

    pub(super) fn kept(&self, index: usize) -> Option<Vec<Kept>> {
        let State { first, second, distance, start } = self.states.get(index)?.clone();
        Some([first, second, distance, start].map(Kept::Numbers).into())
    }

    pub(super) fn numbers(&self) -> Vec<f64> {
        vec![self.estimate, self.numerator]
    }

    pub(super) fn restore(
        &mut self,
        step: u64,
        numbers: &[f64],
        kept: Vec<(usize, Vec<Kept>)>,
    ) -> Option<()> {
        let state = |(length, parts): (usize, Vec<Kept>)| {
            let parts = parts.into_iter().map(Kept::numbers).collect::<Option<Vec<_>>>()?;
            let [first, second, distance, start] = <[Vec<f32>; 4]>::try_from(parts).ok()?;
            let fits = [&first, &second, &distance, &start].iter().all(|part| part.len() == length);
            fits.then_some(State { first, second, distance, start })
        };
        let &[estimate, numerator] = numbers else { return None };
        self.states = kept.into_iter().map(state).collect::<Option<_>>()?;
        (self.estimate, self.numerator, self.step) = (estimate, numerator, step);
        Some(())
    }
}
