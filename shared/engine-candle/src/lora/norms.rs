//! The norms that DoRA divides by, of one layer.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::lora::{LoraFactors, Magnitude, inverse_norm};
use mudi_diffusion::nn::Adaptable;
use mudi_diffusion::{Error, Result};
use rayon::prelude::*;

use crate::engine::CandleEngine;
use crate::kernels::simd;
use crate::slices::{Slice, WeightSlice, value};
use crate::tape::Tensor;

/// The inverse norms of a layer's adapted rows, and what they are made of. The layer holds the same storage.
pub(super) struct Norms {
    weight: Value,
    down: Value,
    up: Value,
    scale: f32,
    inverse: Tensor,
}

impl Norms {
    /// Those of a layer that is given these factors.
    pub(super) fn new(
        layer: &Adaptable<'_, CandleEngine>,
        factors: &LoraFactors<CandleEngine>,
    ) -> Result<Self> {
        let norms = Self {
            weight: layer.weight().value().clone(),
            down: factors.down.value().clone(),
            up: factors.up.value().clone(),
            scale: factors.scale,
            inverse: Tensor::constant(value(vec![0.0; layer.outputs()], layer.outputs())?),
        };
        norms.renew()?;
        Ok(norms)
    }

    /// What the layer is to be given, with these lengths.
    pub(super) fn with(&self, lengths: Tensor) -> Magnitude<CandleEngine> {
        Magnitude { lengths, inverse_norms: self.inverse.clone() }
    }

    /// The norms as they are now.
    pub(super) fn lengths(&self) -> Result<Vec<f32>> {
        Ok(Slice::of(self.inverse.value())?.iter().map(|inverse| 1.0 / inverse).collect())
    }

    /// Computes them of the factors' present values, where the weight is.
    pub(super) fn renew(&self) -> Result<()> {
        let inverse = self.inverse.value();
        let found = if self.weight.device().is_cpu() {
            value(self.by_rows()?, inverse.dims())?
        } else {
            self.composed().map_err(Error::engine)?
        };
        let set = inverse.slice_set(&found, 0, 0).map_err(Error::engine);
        self.inverse.changed();
        set
    }

    fn by_rows(&self) -> Result<Vec<f32>> {
        /// Rows that a thread takes at a time.
        const ROWS: usize = 16;
        let weight = WeightSlice::of(&self.weight)?;
        let (down, up) = (Slice::of(&self.down)?, Slice::of(&self.up)?);
        let (weight, down, up) = (weight.values(), &*down, &*up);
        let mut inverse = vec![0.0; self.inverse.value().elem_count()];
        let (width, rank) = (self.weight.elem_count() / inverse.len(), up.len() / inverse.len());
        inverse.par_chunks_mut(ROWS).enumerate().for_each_init(
            || vec![0.0; width],
            |row, (chunk, inverse)| {
                for (at, inverse) in (chunk * ROWS..).zip(inverse) {
                    weight.decode(at * width, row);
                    let up = &up[at * rank..][..rank];
                    *inverse = simd(
                        #[inline(always)]
                        || inverse_norm(row, up, down, self.scale),
                    );
                }
            },
        );
        Ok(inverse)
    }

    fn composed(&self) -> candle_core::Result<Value> {
        /// As [`inverse_norm`] has it.
        const SMALLEST: f64 = 1e-30;
        let device = self.weight.device();
        let matrix =
            |value: &Value| value.to_device(device)?.to_dtype(DType::F32)?.flatten_from(1)?.contiguous();
        let update = (matrix(&self.up)?.matmul(&matrix(&self.down)?)? * f64::from(self.scale))?;
        let square = (matrix(&self.weight)? + update)?.sqr()?.sum(1)?;
        square.sqrt()?.maximum(SMALLEST)?.recip()?.to_device(&Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn both_ways_give_the_same_norms() {
        let of = |seed: usize, shape: &[usize]| {
            let count: usize = shape.iter().product();
            let values = (0..count).map(|i| ((i * 37 + seed * 11) % 29) as f32 / 29.0 - 0.4).collect();
            value(values, shape).unwrap()
        };
        for (weight, down, up) in
            [([20, 1, 1, 33], [4, 1, 1, 33], [20, 1, 1, 4]), ([3, 3, 3, 5], [2, 3, 3, 5], [3, 1, 1, 2])]
        {
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let weight = of(1, &weight).to_dtype(dtype).unwrap();
                let inverse = Tensor::constant(value(vec![0.0; weight.dims()[0]], weight.dims()[0]).unwrap());
                let norms = Norms { weight, down: of(2, &down), up: of(3, &up), scale: 1.5, inverse };
                norms.renew().unwrap();
                let composed: Vec<f32> = norms.composed().unwrap().to_vec1().unwrap();
                for (a, b) in norms.by_rows().unwrap().iter().zip(&composed) {
                    assert!((a / b - 1.0).abs() < 1e-6, "{dtype:?}: {a} is not {b}");
                }
                for (a, b) in norms.lengths().unwrap().iter().zip(&composed) {
                    assert!((a * b - 1.0).abs() < 1e-6, "{dtype:?}: {a} is not 1 / {b}");
                }
            }
        }
        // What a base holds in two bytes is what is measured.
        let weight = Value::from_vec(vec![bf16::from_f32(1.001); 4], (1, 4), &Device::Cpu).unwrap();
        let nothing = [value(vec![0.0; 4], (1, 4)).unwrap(), value(vec![0.0], (1, 1)).unwrap()];
        let [down, up] = nothing;
        let norms =
            Norms { weight, down, up, scale: 1.0, inverse: Tensor::constant(value(vec![0.0], 1).unwrap()) };
        norms.renew().unwrap();
        assert_eq!(norms.lengths().unwrap(), [2.0]);
    }
}
