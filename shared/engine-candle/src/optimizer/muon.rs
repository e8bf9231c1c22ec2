//! Muon (Jordan et al., 2024): momentum whose singular values are all brought near one, for weights that are matrices.

use mudi_diffusion::{Error, Result};
use rayon::prelude::*;

use super::on_values;
use crate::kernels::raw::{Matrix, product_into};
use crate::slices::Slice;
use crate::tape::{Gradients, Tensor};

/// Rounds of the Newton-Schulz iteration.
const ROUNDS: usize = 5;
/// Its odd polynomial, `a x + b x³ + c x⁵`, which takes five rounds to bring singular values from 0.01 and more to 0.7 to 1.2.
const POLYNOMIAL: [f32; 3] = [3.4445, -4.775, 2.0315];
/// The root mean square of an update over the learning rate, about that of AdamW's (Liu et al., 2025), so that one learning rate
/// suits both.
const UPDATE_SIZE: f64 = 0.2;

/// Muon's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonConfig {
    /// Decay of the sum of gradients (Nesterov's momentum), 0 to 1.
    pub momentum: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self { momentum: 0.95, weight_decay: 1e-2 }
    }
}

/// The optimizer and all of its state.
pub struct Muon {
    config: MuonConfig,
    /// Running means of gradients, one for each weight, in the order that the weights are given in.
    pub momenta: Vec<Vec<f32>>,
}

impl Muon {
    /// An optimizer that has not made a step.
    #[must_use]
    pub fn new(config: MuonConfig) -> Self {
        Self { config, momenta: Vec::new() }
    }

    /// Updates weights, each with its learning rate; gradients are multiplied by `gradient_scale` first (accumulation, clipping).
    /// A weight is a matrix of as many rows as its first dimension says. One without a gradient stays as it is.
    ///
    /// # Errors
    /// Weights that are not on the CPU; engine errors.
    pub fn update<'a>(
        &mut self,
        weights: impl IntoIterator<Item = (&'a Tensor, f64)>,
        gradients: &Gradients,
        gradient_scale: f64,
    ) -> Result<()> {
        let weights: Vec<(&Tensor, f64)> = weights.into_iter().collect();
        let seen = self.momenta.len();
        self.momenta
            .extend(weights.iter().skip(seen).map(|(weight, _)| vec![0.0; weight.value().elem_count()]));
        let config = self.config;
        // A matrix a thread: most are too small to be shared well.
        self.momenta.par_iter_mut().zip(weights).with_max_len(1).try_for_each(|(momentum, (weight, rate))| {
            let Some(gradient) = gradients.get(weight) else { return Ok(()) };
            let gradient = gradient.contiguous().map_err(Error::engine)?;
            let direction = config.advance(momentum, &Slice::of(&gradient)?, gradient_scale as f32);
            let rows = weight.value().dims().first().copied().unwrap_or(1).max(1);
            let cols = direction.len() / rows;
            let update = orthogonal(direction, rows, cols);
            let step = (rate * UPDATE_SIZE * (rows.max(cols) as f64).sqrt()) as f32;
            let keep = (1.0 - rate * config.weight_decay) as f32;
            on_values(weight, |weights| {
                weights.iter_mut().zip(&update).for_each(|(w, u)| *w = keep * *w - step * u);
            })
        })
    }
}

impl MuonConfig {
    /// Moves a momentum by a scaled gradient; returns where Nesterov's goes.
    fn advance(self, momentum: &mut [f32], gradient: &[f32], scale: f32) -> Vec<f32> {
        let (decay, new) = (self.momentum as f32, (1.0 - self.momentum) as f32);
        let ahead = |(m, g): (&mut f32, &f32)| {
            *m = decay * *m + new * scale * g;
            decay * *m + new * scale * g
        };
        momentum.iter_mut().zip(gradient).map(ahead).collect()
    }
}

/// `x [rows, cols]` with its singular values brought near one; all zeros stay so.
///
/// Each round takes `x` to `(a + b s + c s²) x`, where `s` is the product of `x` and its transpose. As such factors commute, rounds
/// need neither `x`: they move `s`, and the product of the factors, which are squares of the shorter side.
fn orthogonal(mut x: Vec<f32>, rows: usize, cols: usize) -> Vec<f32> {
    let [a, b, c] = POLYNOMIAL;
    let norm = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 {
        return x;
    }
    x.iter_mut().for_each(|v| *v /= norm as f32);
    let side = rows.min(cols);
    let matrix = Matrix::new(&x, rows, cols);
    let wide = rows <= cols;
    let mut square = if wide { times(matrix, matrix.t()) } else { times(matrix.t(), matrix) };
    let by = |lhs: &[f32], rhs: &[f32]| times(Matrix::new(lhs, side, side), Matrix::new(rhs, side, side));
    let mut factors = Vec::new();
    for round in 1..=ROUNDS {
        let fourth = by(&square, &square);
        let mut factor: Vec<f32> = square.iter().zip(&fourth).map(|(s, f)| b * s + c * f).collect();
        factor.iter_mut().step_by(side + 1).for_each(|v| *v += a);
        if round < ROUNDS {
            square = by(&by(&factor, &square), &factor);
        }
        factors = if factors.is_empty() { factor } else { by(&factors, &factor) };
    }
    let factors = Matrix::new(&factors, side, side);
    if wide { times(factors, matrix) } else { times(matrix, factors) }
}

/// A product on this thread.
fn times(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let (rows, cols) = (lhs.rows(), rhs.cols());
    let mut out = vec![0.0; rows * cols];
    product_into(&mut out, cols, lhs, rhs, false);
    out
}
