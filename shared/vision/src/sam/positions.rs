//! Positions as random Fourier features (Tancik et al., 2020), which points, boxes and the image share.

use std::f32::consts::TAU;

use mudi_diffusion::{Engine, Result};

/// The random frequencies, `[2, features]`: of x in the first row, of y in the second.
pub(super) struct Frequencies {
    matrix: Vec<f32>,
}

impl Frequencies {
    pub(super) fn new(matrix: Vec<f32>) -> Self {
        Self { matrix }
    }

    /// Sines, then cosines, of each place `(x, y)` in `0..1`: `[places, 2 features]`, row by row.
    pub(super) fn encode(&self, places: impl Iterator<Item = [f32; 2]>) -> Vec<f32> {
        let features = self.matrix.len() / 2;
        let (of_x, of_y) = self.matrix.split_at(features);
        let mut encoded = Vec::new();
        let mut phases = vec![0f32; features];
        for [x, y] in places {
            let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
            for ((phase, fx), fy) in phases.iter_mut().zip(of_x).zip(of_y) {
                *phase = TAU * (x * fx + y * fy);
            }
            encoded.extend(phases.iter().map(|phase| phase.sin()));
            encoded.extend(phases.iter().map(|phase| phase.cos()));
        }
        encoded
    }

    /// The centres of a square grid of `side` by `side` positions: `[side * side, 2 features]`.
    pub(super) fn grid<E: Engine>(&self, engine: &E, side: usize) -> Result<E::Tensor> {
        let at = |index: usize| (index as f32 + 0.5) / side as f32;
        let places = (0..side * side).map(|place| [at(place % side), at(place / side)]);
        engine.from_slice(&self.encode(places), &[side * side, self.matrix.len()])
    }
}
