//! What is read off each patch: its box, whether it holds anything, and what.

use mudi_diffusion::nn::{Builder, Linear};
use mudi_diffusion::{Activation, Engine, Result};

/// Three layers with GELU between: to a box, or to the logit that there is something.
pub(super) struct BoxHead<E: Engine>([Linear<E>; 3]);

impl<E: Engine> BoxHead<E> {
    pub(super) fn new(mut at: Builder<'_, E>, width: usize, outputs: usize) -> Result<Self> {
        Ok(Self([
            at.linear("dense0", width, width)?,
            at.linear("dense1", width, width)?,
            at.linear("dense2", width, outputs)?,
        ]))
    }

    /// `[B, P, C]` to `[B, P, outputs]`.
    pub(super) fn forward(&self, engine: &E, features: &E::Tensor) -> Result<E::Tensor> {
        let [first, second, third] = &self.0;
        let x = engine.activation(&first.forward(engine, features)?, Activation::Gelu)?;
        let x = engine.activation(&second.forward(engine, &x)?, Activation::Gelu)?;
        third.forward(engine, &x)
    }
}

/// Cosines with the texts, shifted and scaled by the patch itself.
pub(super) struct ClassHead<E: Engine> {
    vector: Linear<E>,
    shift: Linear<E>,
    scale: Linear<E>,
}

impl<E: Engine> ClassHead<E> {
    pub(super) fn new(mut at: Builder<'_, E>, width: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            vector: at.linear("dense0", width, outputs)?,
            shift: at.linear("logit_shift", width, 1)?,
            scale: at.linear("logit_scale", width, 1)?,
        })
    }

    /// `features [B, P, C]` and `texts [Q, D]` to logits `[B, P, Q]`.
    pub(super) fn forward(&self, engine: &E, features: &E::Tensor, texts: &E::Tensor) -> Result<E::Tensor> {
        let vectors = unit_length(engine, &self.vector.forward(engine, features)?)?;
        let cosines = engine.linear(&vectors, &unit_length(engine, texts)?, None)?;
        // A layer of ones repeats a patch's number for each text.
        let count = engine.shape(texts)[0];
        let (column, row) = (
            engine.from_slice(&vec![1.0; count], &[count, 1])?,
            engine.from_slice(&vec![1.0; count], &[count])?,
        );
        let shift = engine.linear(&self.shift.forward(engine, features)?, &column, None)?;
        let scale = engine.activation(&self.scale.forward(engine, features)?, Activation::Elu)?;
        let scale = engine.linear(&scale, &column, Some(&row))?;
        engine.mul(&engine.add(&cosines, &shift)?, &scale)
    }
}

/// The vectors of the last axis, each divided by its length; zeros stay zeros.
///
/// By a layer norm: beside its negative a vector has a mean of 0, and its variance is its mean square.
fn unit_length<E: Engine>(engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
    // The reference adds 1e-6 to the length; this much added to the square bounds it in the same way.
    const LEAST_SQUARE: f32 = 1e-12;
    let shape = engine.shape(x);
    let axis = shape.len() - 1;
    let width = shape[axis];
    let both = engine.concat(x, &engine.scale(x, -1.0)?, axis)?;
    let factor = engine.from_slice(&vec![1.0 / (width as f32).sqrt(); 2 * width], &[2 * width])?;
    let zeros = engine.from_slice(&vec![0.0; 2 * width], &[2 * width])?;
    let both = engine.layer_norm(&both, &factor, &zeros, LEAST_SQUARE / width as f32)?;
    engine.slice(&both, axis, 0, width)
}

/// What is added to the boxes, before the sigmoid: a patch's own box, with its lower right corner as the centre, as the
/// reference has it. `[h * w, 4]`, row by row.
pub(super) fn grid_bias([height, width]: [usize; 2]) -> Vec<f32> {
    // The inverse of the sigmoid, kept finite at 1.
    let logit = |share: f32| (share + 1e-4).ln() - (1e-4 - share).ln_1p();
    let share = |index: usize, count: usize| logit((index + 1) as f32 / count as f32);
    (0..height)
        .flat_map(|y| {
            (0..width)
                .flat_map(move |x| [share(x, width), share(y, height), share(0, width), share(0, height)])
        })
        .collect()
}
