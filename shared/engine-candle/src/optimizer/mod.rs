//! What makes weights learn from their gradients.

mod adamw;
mod adamw8;
mod muon;
mod prodigy;
mod quantized;

use std::cell::RefCell;

pub use adamw::{AdamW, AdamWConfig, Moments};
pub use adamw8::AdamW8;
use candle_core::{CpuStorage, InplaceOp1, Layout};
use mudi_diffusion::{Error, Result};
pub use muon::{Muon, MuonConfig};
pub use prodigy::Prodigy;
use rayon::prelude::*;

use crate::kernels::norm::lane_sum;
use crate::kernels::simd;
use crate::slices::Slice;
use crate::tape::{Gradients, Tensor};

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 16;

/// A part of what an optimizer keeps of one weight.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// Numbers.
    Numbers(Vec<f32>),
    /// Numbers in one byte each, as indices into a table.
    Codes(Vec<u8>),
}

impl Kept {
    fn numbers(self) -> Option<Vec<f32>> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            Self::Codes(_) => None,
        }
    }

    fn codes(self) -> Option<Vec<u8>> {
        match self {
            Self::Codes(codes) => Some(codes),
            Self::Numbers(_) => None,
        }
    }
}

/// An optimizer and all of its state.
pub enum Optimizer {
    /// AdamW with moments in four bytes.
    AdamW(AdamW),
    /// AdamW with moments in one byte.
    AdamW8(AdamW8),
    /// Prodigy, which finds its learning rate by itself.
    Prodigy(Prodigy),
}

impl Optimizer {
    /// Updates made so far.
    #[must_use]
    pub fn step(&self) -> u64 {
        match self {
            Self::AdamW(adamw) => adamw.step,
            Self::AdamW8(adamw) => adamw.step,
            Self::Prodigy(prodigy) => prodigy.step,
        }
    }

    /// Updates weights, each with its learning rate; gradients are multiplied by `gradient_scale` first (accumulation, clipping). A
    /// weight without a gradient stays as it is. Prodigy has one learning rate, the largest that is given.
    ///
    /// # Errors
    /// Weights that are not on the CPU; engine errors.
    pub fn update<'a>(
        &mut self,
        weights: impl IntoIterator<Item = (&'a Tensor, f64)>,
        gradients: &Gradients,
        gradient_scale: f64,
    ) -> Result<()> {
        match self {
            Self::AdamW(adamw) => adamw.update(weights, gradients, gradient_scale),
            Self::AdamW8(adamw) => adamw.update(weights, gradients, gradient_scale),
            Self::Prodigy(prodigy) => prodigy.update(weights, gradients, gradient_scale),
        }
    }

    /// The names of what is kept of each weight, in the order of [`Self::kept`].
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) => &["first", "second"],
            Self::AdamW8(_) => &["first", "first_scales", "second", "second_scales"],
            Self::Prodigy(_) => &["first", "second", "distance", "start"],
        }
    }

    /// What is kept of the weight `index`; none of one that has not been updated.
    #[must_use]
    pub fn kept(&self, index: usize) -> Option<Vec<Kept>> {
        match self {
            Self::AdamW(adamw) => {
                let Moments { first, second } = adamw.moments.get(index)?.clone();
                Some(vec![Kept::Numbers(first), Kept::Numbers(second)])
            }
            Self::AdamW8(adamw) => adamw.kept(index),
            Self::Prodigy(prodigy) => prodigy.kept(index),
        }
    }

    /// What is kept besides: nothing but of Prodigy.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Self::AdamW(_) | Self::AdamW8(_) => Vec::new(),
            Self::Prodigy(prodigy) => prodigy.numbers(),
        }
    }

    /// Takes a state over: what [`Self::step`], [`Self::numbers`] and, for each weight in order, [`Self::kept`] gave, and
    /// how many values each weight has. False where it is none of this optimizer.
    #[must_use]
    pub fn restore(&mut self, step: u64, numbers: &[f64], kept: Vec<(usize, Vec<Kept>)>) -> bool {
        let restored = match self {
            Self::AdamW(adamw) => adamw_moments(kept).map(|moments| {
                adamw.moments = moments;
                adamw.step = step;
            }),
            Self::AdamW8(adamw) => adamw.restore(step, kept),
            Self::Prodigy(prodigy) => prodigy.restore(step, numbers, kept),
        };
        restored.is_some()
    }
}

fn adamw_moments(kept: Vec<(usize, Vec<Kept>)>) -> Option<Vec<Moments>> {
    let moments = |(length, parts): (usize, Vec<Kept>)| {
        let [first, second] = <[Kept; 2]>::try_from(parts).ok()?;
        let (first, second) = (first.numbers()?, second.numbers()?);
        (first.len() == length && second.len() == length).then_some(Moments { first, second })
    };
    kept.into_iter().map(moments).collect()
}

/// A change of one weight's values, in place.
struct InPlace<F>(RefCell<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "optimizer"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("optimizers update contiguous f32 weights");
        };
        if let Some(change) = self.0.borrow_mut().take() {
            change(&mut values[start..end]);
        }
        Ok(())
    }
}

/// Changes the values of a weight on the CPU.
fn on_values(weight: &Tensor, change: impl FnOnce(&mut [f32])) -> Result<()> {
    let done = weight.value().inplace_op1(&InPlace(RefCell::new(Some(change)))).map_err(Error::engine);
    weight.changed();
    done
}

/// Moves a running average of a weight's values towards them: `average += share * (weight - average)`.
///
/// # Errors
/// A weight that is not on the CPU or not of the average's length.
pub fn follow(average: &mut [f32], weight: &Tensor, share: f32) -> Result<()> {
    let values = Slice::of(weight.value())?;
    if values.len() != average.len() {
        let reason = format!("{} values for a weight of {}", average.len(), values.len());
        return Err(Error::Input { name: "average", reason });
    }
    average.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(average, values)| {
        for (average, value) in average.iter_mut().zip(values) {
            *average += share * (value - *average);
        }
    });
    Ok(())
}

/// The Euclidean norm of the gradients of `weights` taken together; the same whatever the number of threads.
///
/// # Errors
/// Engine errors.
pub fn gradient_norm<'a>(
    weights: impl IntoIterator<Item = &'a Tensor>,
    gradients: &Gradients,
) -> Result<f64> {
    let mut sum = 0f64;
    for weight in weights {
        if let Some(gradient) = gradients.get(weight) {
            let gradient = gradient.contiguous().map_err(Error::engine)?;
            let values = Slice::of(&gradient)?;
            let parts: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_squares).collect();
            sum += parts.iter().sum::<f64>();
        }
    }
    Ok(sum.sqrt())
}

fn sum_of_squares(values: &[f32]) -> f64 {
    simd(
        #[inline(always)]
        || values.chunks(4096).map(|part| f64::from(lane_sum(part, |g| g * g))).sum(),
    )
}

#[cfg(test)]
mod tests;
