//! Reading candle tensors as slices, and making tensors from vectors.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Device, Shape, Storage, StorageRef, Tensor as Value};
use mudi_diffusion::{Error, Result};

use crate::kernels::weights::Weights;

/// The values of a contiguous `f32` tensor on the CPU, borrowed.
pub(crate) struct Slice<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl<'a> Slice<'a> {
    /// Borrows the values of `value`.
    pub(crate) fn of(value: &'a Value) -> Result<Self> {
        let (storage, layout) = value.storage_and_layout();
        let bounds = layout.contiguous_offsets();
        match (&*storage, bounds) {
            (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => Ok(Self { storage, start, end }),
            _ => Err(Error::Input {
                name: "tensor",
                reason: format!(
                    "expected contiguous f32 values on the CPU, found {layout:?} of {:?}",
                    value.dtype()
                ),
            }),
        }
    }
}

impl Deref for Slice<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => &[],
        }
    }
}

/// The values of a contiguous weight on the CPU, borrowed, in the precision that it is held in.
pub(crate) struct WeightSlice<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl<'a> WeightSlice<'a> {
    /// Borrows the values of `value`.
    pub(crate) fn of(value: &'a Value) -> Result<Self> {
        let (storage, layout) = value.storage_and_layout();
        let bounds = layout.contiguous_offsets();
        match (&*storage, bounds) {
            (
                Storage::Cpu(CpuStorage::F32(_) | CpuStorage::BF16(_) | CpuStorage::F16(_)),
                Some((start, end)),
            ) => Ok(Self { storage, start, end }),
            _ => Err(Error::Input {
                name: "weight",
                reason: format!(
                    "expected contiguous f32, bf16 or f16 values on the CPU, found {layout:?} of {:?}",
                    value.dtype()
                ),
            }),
        }
    }

    /// The values.
    pub(crate) fn values(&self) -> Weights<'_> {
        let range = self.start..self.end;
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => Weights::F32(&values[range]),
            Storage::Cpu(CpuStorage::BF16(values)) => Weights::Bf16(&values[range]),
            Storage::Cpu(CpuStorage::F16(values)) => Weights::F16(&values[range]),
            _ => Weights::F32(&[]),
        }
    }
}

/// A tensor of `shape` that takes `values` over.
pub(crate) fn value(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Value> {
    Value::from_vec(values, shape.into(), &Device::Cpu).map_err(Error::engine)
}

/// The values of any tensor, as `f32` in row-major order.
pub(crate) fn to_vec(value: &Value) -> Result<Vec<f32>> {
    value
        .to_device(&Device::Cpu)
        .and_then(|value| value.to_dtype(DType::F32))
        .and_then(|value| value.flatten_all())
        .and_then(|value| value.to_vec1())
        .map_err(Error::engine)
}
