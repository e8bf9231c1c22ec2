//! Between the engine's `[B, H, W, C]` and the `[B, C, H, W]` of diffusers' tensors and files.

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::{Error, Result};

use crate::tape::Tensor;

/// `[B, C, H, W]` of any float type to a constant `[B, H, W, C]`.
///
/// # Errors
/// Tensors that have not four axes.
pub fn to_channels_last(value: &Value) -> Result<Tensor> {
    value
        .to_dtype(DType::F32)
        .and_then(|value| value.permute((0, 2, 3, 1)))
        .and_then(|value| value.contiguous())
        .map(Tensor::constant)
        .map_err(Error::engine)
}

/// `[B, H, W, C]` to `[B, C, H, W]`.
///
/// # Errors
/// Tensors that have not four axes.
pub fn to_channels_first(tensor: &Tensor) -> Result<Value> {
    tensor.value().permute((0, 3, 1, 2)).and_then(|value| value.contiguous()).map_err(Error::engine)
}
