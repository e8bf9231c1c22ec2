//! The operations as compositions of candle's, for every device that candle has: CUDA, Metal, and the CPU for tests.
//!
//! Shapes have been checked by the engine. As on the CPU's own path, each operation records its gradient itself, computes it only
//! where the input that it belongs to is tracked, and keeps an input only where a gradient needs it. Every value that
//! an operation returns is contiguous. Sums, norms, softmax and non-linearities are computed in `f32`, whatever the tensors are in.

mod attention;
mod depthwise;
#[cfg(feature = "flash-attn")]
mod flash;
mod layout;
mod norm;
mod pointwise;
mod product;
mod rows;
mod score_bias;

use std::sync::PoisonError;

use candle_core::{DType, Result, Tensor as Value};
use mudi_diffusion::Error;

use crate::placement::Placement;
use crate::tape::Tensor;

pub(crate) use attention::{attention, biased_attention};
pub(crate) use depthwise::depthwise_conv2d;
pub(crate) use layout::{concat, permute, slice};
pub(crate) use norm::{group_norm, layer_norm};
pub(crate) use pointwise::{activation, add, add_per_sample, add_positions, geglu, mul, scale};
pub(crate) use product::{conv2d, linear};
pub(crate) use rows::{embedding, select_positions, upsample_nearest};

/// Values in what is small: biases and norms are, matrices are not.
const SMALL: usize = 1 << 15;

impl Placement {
    /// `x` where the engine computes. What lives elsewhere or in another type (a LoRA's factors, kept in `f32` beside their
    /// optimizer) is converted, and its gradient is converted back. The gradient stays where it was computed; the tape brings those of
    /// leaves home when all are there.
    fn one(&self, x: &Tensor) -> Result<Tensor> {
        if self.holds(x.value()) {
            return Ok(x.clone());
        }
        let dtype = x.value().dtype();
        Ok(record(self.converted(x)?, &[x], move |dx| Ok(vec![Some(dx.to_dtype(dtype)?)])))
    }

    fn holds(&self, value: &Value) -> bool {
        value.dtype() == self.dtype && value.device().same_device(&self.device) && value.is_contiguous()
    }

    /// The value of `x` where the engine computes. What comes from elsewhere is kept for the next use, since a copy to a graphics card waits for the
    /// card, and so is what is small; large weights that are there in another type are not, which would need the memory that the type saves.
    fn converted(&self, x: &Tensor) -> Result<Value> {
        let value = x.value();
        let elsewhere = !value.device().same_device(&self.device);
        let convert = || {
            let narrow = self.dtype.size_in_bytes() < value.dtype().size_in_bytes();
            let sent = if elsewhere && narrow { value.to_dtype(self.dtype)? } else { value.clone() };
            sent.to_device(&self.device)?.to_dtype(self.dtype)?.contiguous()
        };
        let Some(copied) = x.copied().filter(|_| elsewhere || value.elem_count() <= SMALL) else {
            return convert();
        };
        let mut copied = copied.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = copied.as_ref().filter(|value| self.holds(value)) {
            return Ok(value.clone());
        }
        let value = convert()?;
        *copied = Some(value.clone());
        Ok(value)
    }

    /// The same place, computing in `f32`.
    fn in_single(&self) -> Self {
        Self { device: self.device.clone(), dtype: DType::F32 }
    }

    fn all<const N: usize>(&self, tensors: [&Tensor; N]) -> Result<[Tensor; N]> {
        let mut placed = tensors.map(Tensor::clone);
        for tensor in &mut placed {
            *tensor = self.one(tensor)?;
        }
        Ok(placed)
    }

    /// Values that an operation may hold beside its inputs and results at a time: little enough for a cache on the CPU,
    /// enough to keep a GPU busy elsewhere.
    fn working_set(&self) -> usize {
        if self.device.is_cpu() { 1 << 16 } else { 1 << 25 }
    }

    /// Row numbers, as a tensor.
    fn ids(&self, ids: impl Iterator<Item = usize>) -> Result<Value> {
        let ids: Vec<u32> = ids.map(|id| id as u32).collect();
        let count = ids.len();
        Value::from_vec(ids, count, &self.device)
    }
}

/// [`Tensor::recorded`] for a gradient made of candle's operations, which is given contiguous values.
fn record<F>(y: Value, inputs: &[&Tensor], backward: F) -> Tensor
where
    F: FnOnce(&Value) -> Result<Vec<Option<Value>>> + Send + 'static,
{
    Tensor::recorded(y, inputs, move |dy| dy.contiguous().and_then(|dy| backward(&dy)).map_err(Error::engine))
}

/// In `f32`; no copy where the values are already.
fn wide(x: &Value) -> Result<Value> {
    x.to_dtype(DType::F32)
}

/// `[.., C]` as rows, `[N, C]`.
fn as_rows(x: &Value) -> Result<Value> {
    x.reshape(((), x.dim(candle_core::D::Minus1)?))
}

/// `[.., C]` summed over all but the last axis, in the type of `x`: `[C]`.
fn column_sums(x: &Value) -> Result<Value> {
    wide(&as_rows(x)?)?.sum(0)?.to_dtype(x.dtype())
}

/// The shape of `x` with another last axis.
fn with_last(x: &Value, width: usize) -> Vec<usize> {
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    dims
}
