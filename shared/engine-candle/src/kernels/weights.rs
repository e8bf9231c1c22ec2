//! Weights of linear layers and convolutions, in the precision that they are held in.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use super::raw::{Bf16Unit, Matrix, RightSide};
use super::{par_rows, simd};

/// Values that a thread decodes at a time: they stay in its cache for the product.
const DECODED: usize = 1 << 18;

/// Columns of a result for which a decoded band of weights, of `length` values each, is about [`DECODED`] long.
pub(crate) fn band(length: usize) -> usize {
    const STEP: usize = 48;
    (DECODED / length.max(1)).next_multiple_of(STEP)
}

/// Values of a weight, `[N, K]` row by row.
#[derive(Clone, Copy)]
pub(crate) enum Weights<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    F16(&'a [f16]),
}

impl Weights<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// The values, where they are in bf16 and the processor multiplies such values. It does so in pairs: `length`, of what is summed, has to
    /// be even.
    pub(crate) fn in_bf16(&self, length: usize) -> Option<(Bf16Unit, &[bf16])> {
        let Self::Bf16(values) = self else { return None };
        Bf16Unit::detect().filter(|_| length > 0 && length.is_multiple_of(2)).map(|unit| (unit, *values))
    }

    /// Whether no value is infinite or not a number.
    pub(crate) fn all_finite(&self) -> bool {
        // Without an early end, the loops become instructions on many values.
        const PART: usize = 1 << 16;
        match self {
            Self::F32(values) => {
                values.par_chunks(PART).all(|part| part.iter().fold(true, |all, v| all & v.is_finite()))
            }
            Self::Bf16(values) => {
                values.par_chunks(PART).all(|part| part.iter().fold(true, |all, v| all & v.is_finite()))
            }
            Self::F16(values) => {
                values.par_chunks(PART).all(|part| part.iter().fold(true, |all, v| all & v.is_finite()))
            }
        }
    }

    /// Values `first..first + out.len()`.
    pub(crate) fn decode(&self, first: usize, out: &mut [f32]) {
        let range = first..first + out.len();
        match self {
            Self::F32(values) => out.copy_from_slice(&values[range]),
            Self::Bf16(values) => {
                let values = &values[range];
                simd(
                    #[inline(always)]
                    || {
                        // The upper half of an f32.
                        for (out, value) in out.iter_mut().zip(values) {
                            *out = f32::from_bits(u32::from(value.to_bits()) << 16);
                        }
                    },
                );
            }
            Self::F16(values) => values[range].convert_to_f32_slice(out),
        }
    }

    /// All values.
    pub(crate) fn decode_all(&self) -> Vec<f32> {
        par_rows(self.len(), 1, |first, out| self.decode(first, out))
    }
}

/// `w [N, K]` as the right side of a product.
pub(crate) struct Decoded<'a> {
    pub(crate) w: Weights<'a>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl RightSide for Decoded<'_> {
    fn columns<'s>(&'s self, scratch: &'s mut Vec<f32>, first: usize, count: usize) -> Matrix<'s> {
        scratch.resize(self.rows * count, 0.0);
        for (row, out) in scratch.chunks_exact_mut(count).enumerate() {
            self.w.decode(row * self.cols + first, out);
        }
        Matrix::new(scratch, self.rows, count)
    }
}

/// The transpose of `w [N, K]` as the right side of a product.
pub(crate) struct DecodedTransposed<'a> {
    pub(crate) w: Weights<'a>,
    pub(crate) cols: usize,
}

impl RightSide for DecodedTransposed<'_> {
    fn columns<'s>(&'s self, scratch: &'s mut Vec<f32>, first: usize, count: usize) -> Matrix<'s> {
        scratch.resize(count * self.cols, 0.0);
        self.w.decode(first * self.cols, scratch);
        Matrix::new(scratch, count, self.cols).t()
    }
}
