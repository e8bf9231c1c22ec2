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

impl Placement {
    /// `x` where the engine computes. What lives elsewhere or in another type (a LoRA's factors, kept in `f32` beside their
    /// optimizer) is converted at each use, and its gradient is converted back.
    fn one(&self, x: &Tensor) -> Result<Tensor> {
        let value = x.value();
        let (dtype, device) = (value.dtype(), value.device().clone());
        if dtype == self.dtype && device.same_device(&self.device) && value.is_contiguous() {
            return Ok(x.clone());
        }
        let placed = value.to_device(&self.device)?.to_dtype(self.dtype)?.contiguous()?;
        Ok(record(placed, &[x], move |dx| Ok(vec![Some(dx.to_dtype(dtype)?.to_device(&device)?)])))
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
