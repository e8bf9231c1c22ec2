//! Convolutions of each channel by itself.

use rayon::prelude::*;

use super::conv::ConvShape;
use super::{par_rows, simd};

/// Parts that the weight's gradient is cut into, whatever the number of threads: the result must not depend on it.
const PARTS: usize = 4;

/// `[rows, columns]` to `[columns, rows]`; for weights, which are small.
fn turned(w: &[f32], rows: usize) -> Vec<f32> {
    let columns = w.len() / rows.max(1);
    (0..w.len()).map(|at| w[at % rows * columns + at / rows]).collect()
}

impl ConvShape {
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The input position, along an axis, that the output position `at` sees at `tap`.
    fn seen(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        (at * self.geometry.stride + tap)
            .checked_sub(self.geometry.before)
            .filter(|&place| place < self.input[axis])
    }

    /// The output position, along an axis, that sees the input position `at` at `tap`.
    fn seeing(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let start = (at + self.geometry.before).checked_sub(tap)?;
        let place = start / self.geometry.stride;
        (start.is_multiple_of(self.geometry.stride) && place < self.output[axis]).then_some(place)
    }
}

/// For each position of `to` (rows counted through all samples), adds the products of the weights `[taps, C]` with the
/// positions of `x` that `find(axis, position, tap)` names.
fn accumulate(
    x: &[f32],
    weights: &[f32],
    shape: &ConvShape,
    [to, from]: [[usize; 2]; 2],
    start: Option<&[f32]>,
    find: impl Fn(usize, usize, usize) -> Option<usize> + Sync,
) -> Vec<f32> {
    let c = shape.inputs;
    let line = to[1] * c;
    par_rows(shape.batch * to[0] * line, line, |first, lines| {
        simd(
            #[inline(always)]
            || {
                for (index, line) in lines.chunks_exact_mut(line).enumerate() {
                    let (sample, y) = ((first + index) / to[0], (first + index) % to[0]);
                    for (column, out) in line.chunks_exact_mut(c).enumerate() {
                        if let Some(start) = start {
                            out.copy_from_slice(start);
                        }
                        for tap in 0..shape.taps() {
                            let (ky, kx) = (tap / shape.kernel[1], tap % shape.kernel[1]);
                            let (Some(y), Some(column)) = (find(0, y, ky), find(1, column, kx)) else {
                                continue;
                            };
                            let x = &x[((sample * from[0] + y) * from[1] + column) * c..][..c];
                            for ((out, x), w) in out.iter_mut().zip(x).zip(&weights[tap * c..][..c]) {
                                *out += x * w;
                            }
                        }
                    }
                }
            },
        );
    })
}

/// `x` convolved with `w [C, kh * kw]`, plus `b`.
pub(crate) fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let weights = turned(w, shape.inputs);
    let find = |axis, at, tap| shape.seen(axis, at, tap);
    accumulate(x, &weights, shape, [shape.output, shape.input], b, find)
}

/// Gradient of the input.
pub(crate) fn input_gradient(dy: &[f32], w: &[f32], shape: &ConvShape) -> Vec<f32> {
    let weights = turned(w, shape.inputs);
    let find = |axis, at, tap| shape.seeing(axis, at, tap);
    accumulate(dy, &weights, shape, [shape.input, shape.output], None, find)
}

/// Gradient of the weight, `[C, kh * kw]`.
pub(crate) fn weight_gradient(dy: &[f32], x: &[f32], shape: &ConvShape) -> Vec<f32> {
    let c = shape.inputs;
    let total = shape.batch * shape.output[0];
    let part = total.div_ceil(PARTS).max(1);
    let partial: Vec<Vec<f32>> = (0..PARTS)
        .into_par_iter()
        .map(|index| {
            let mut dw = vec![0f32; shape.taps() * c];
            for row in index * part..((index + 1) * part).min(total) {
                simd(
                    #[inline(always)]
                    || add_row(&mut dw, dy, x, shape, row),
                );
            }
            dw
        })
        .collect();
    let sum: Vec<f32> = (0..shape.taps() * c).map(|at| partial.iter().map(|part| part[at]).sum()).collect();
    turned(&sum, shape.taps())
}

/// Adds what output row `row`, counted through all samples, gives to the gradient of the weights `[taps, C]`.
#[inline(always)]
fn add_row(dw: &mut [f32], dy: &[f32], x: &[f32], shape: &ConvShape, row: usize) {
    let c = shape.inputs;
    let (sample, y) = (row / shape.output[0], row % shape.output[0]);
    for column in 0..shape.output[1] {
        let dy = &dy[(row * shape.output[1] + column) * c..][..c];
        for (tap, dw) in dw.chunks_exact_mut(c).enumerate() {
            let (ky, kx) = (tap / shape.kernel[1], tap % shape.kernel[1]);
            let (Some(iy), Some(ix)) = (shape.seen(0, y, ky), shape.seen(1, column, kx)) else { continue };
            let x = &x[((sample * shape.input[0] + iy) * shape.input[1] + ix) * c..][..c];
            for ((dw, dy), x) in dw.iter_mut().zip(dy).zip(x) {
                *dw += dy * x;
            }
        }
    }
}
