//! DoRA (Liu et al., 2024): the length of each output's weights is learnt apart from their direction.
//!
//! `W' = m (W + s B A) / |W + s B A|`, the norms being those of rows: of all weights that lead to an output. No gradient flows through
//! the norm (section 4.3), so it is a constant of a training step, computed when factors change and not in every pass.

use crate::engine::Engine;
use crate::error::Result;

/// What DoRA has besides the two factors.
pub struct Magnitude<E: Engine> {
    /// `m [outputs]`, called `lora_magnitude_vector` in PEFT's files and `dora_scale` in LyCORIS'.
    pub lengths: E::Tensor,
    /// `1 / |W + s B A|`, `[outputs]`; as [`inverse_norm`] gives them.
    pub inverse_norms: E::Tensor,
}

impl<E: Engine> Magnitude<E> {
    /// An adapted layer's answer: `base` is `W x`, `update` is `s B A x`, both without the bias. At another `strength` than 1 it lies
    /// between (or beyond) the base's answer and this, as if the change of the weights were multiplied by it.
    ///
    /// # Errors
    /// Engine errors.
    pub fn applied(
        &self,
        engine: &E,
        base: &E::Tensor,
        update: &E::Tensor,
        bias: Option<&E::Tensor>,
        strength: f32,
    ) -> Result<E::Tensor> {
        let factors = engine.mul(&self.lengths, &self.inverse_norms)?;
        let mut y = engine.mul(&engine.add(base, update)?, &factors)?;
        if strength != 1.0 {
            y = engine.add(&engine.scale(&y, strength)?, &engine.scale(base, 1.0 - strength)?)?;
        }
        let Some(bias) = bias else { return Ok(y) };
        let shape = engine.shape(&y);
        let outputs = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().product::<usize>() / outputs.max(1);
        // The bias of one sample that has all rows.
        let y = engine.reshape(&y, &[1, rows, outputs])?;
        let y = engine.add_per_sample(&y, &engine.reshape(bias, &[1, outputs])?)?;
        engine.reshape(&y, &shape)
    }
}

/// `1 / |w + scale * sum over r of up[r] down[r]|` of the weights `row` to one output, which are overwritten; `down` has as many values for
/// each `r` as there are weights. Weights of zeros stay zeros, so their factor is finite.
#[inline(always)]
#[must_use]
pub fn inverse_norm(row: &mut [f32], up: &[f32], down: &[f32], scale: f32) -> f32 {
    const LANES: usize = 16;
    // Less than any norm of weights, and its inverse is finite.
    const SMALLEST: f32 = 1e-30;
    for (&factor, down) in up.iter().zip(down.chunks_exact(row.len())) {
        let factor = scale * factor;
        for (weight, &value) in row.iter_mut().zip(down) {
            *weight += factor * value;
        }
    }
    // Lanes vectorize, and keep rounding errors small.
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|v| v * v).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += value * value;
        }
    }
    let square = lanes.iter().sum::<f32>() + rest;
    1.0 / square.sqrt().max(SMALLEST)
}

#[cfg(test)]
mod tests {
    use super::inverse_norm;

    #[test]
    fn norms_are_those_of_the_adapted_row() {
        let mut row: Vec<f32> = (0..19u8).map(|v| f32::from(v) - 9.0).collect();
        let down: Vec<f32> = (0..38u8).map(|v| f32::from(v) / 8.0).collect();
        let adapted = |i: usize| row[i] + 0.5 * (3.0 * down[i] - 2.0 * down[19 + i]);
        let expected = 1.0 / (0..19).map(|i| f64::from(adapted(i)).powi(2)).sum::<f64>().sqrt();
        let found = inverse_norm(&mut row, &[3.0, -2.0], &down, 0.5);
        assert!((f64::from(found) / expected - 1.0).abs() < 1e-6, "{found} is not {expected}");
        assert_eq!(inverse_norm(&mut [3.0, 4.0], &[], &[], 1.0), 0.2);
        assert!(inverse_norm(&mut [0.0; 4], &[0.0], &[1.0; 4], 1.0).is_finite());
    }
}
