//! Convolutions, as matrix products over tiles of gathered patches; 3x3 ones by [`winograd`] where that is quicker.

use mudi_diffusion::ConvGeometry;
use rayon::prelude::*;

use super::layout::transposed;
use super::raw::{
    Matrix, build, build_with, product, product_by_columns, product_fresh, product_into, zeros,
};
use super::weights::{Decoded, DecodedTransposed, Weights, band};
use super::{bf16, linear, par_rows, simd, winograd};

/// Sizes of a convolution of `[B, height, width, inputs]` with `[outputs, kernel.0, kernel.1, inputs]`.
#[derive(Clone, Copy)]
pub(crate) struct ConvShape {
    pub(crate) batch: usize,
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) geometry: ConvGeometry,
}

/// Positions in one tile: enough for the matrix product to be efficient, few enough for the patches to stay in cache.
const TILE: usize = 512;

/// Parts that even a small convolution is cut into, whatever the number of threads: the result must not depend on it.
const PARTS: usize = 4;

impl ConvShape {
    fn patch(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.inputs
    }

    /// A 1x1 convolution with stride 1 and no padding is a linear layer.
    fn is_linear(&self) -> bool {
        self.kernel == [1, 1] && self.geometry == ConvGeometry { stride: 1, before: 0, after: 0 }
    }

    /// Output rows in one tile, rows counted through all samples. Matrix products of other heights add in another order,
    /// so this must not depend on the number of threads.
    fn tile_rows(&self) -> usize {
        let rows = self.batch * self.output[0];
        (TILE / self.output[1].max(1)).clamp(1, rows.div_ceil(PARTS).max(1))
    }

    /// Gathers the patches of output rows `first..first + rows` (counted through all samples).
    fn gather(&self, x: &[f32], first: usize, rows: usize, patches: &mut [f32]) {
        let [height, width] = self.input;
        let c = self.inputs;
        let kw = self.kernel[1];
        let ConvGeometry { stride, before, .. } = self.geometry;
        let mut patches = patches.chunks_exact_mut(self.patch());
        for row in first..first + rows {
            let (sample, y) = (row / self.output[0], row % self.output[0]);
            let image = &x[sample * height * width * c..][..height * width * c];
            for column in 0..self.output[1] {
                let Some(patch) = patches.next() else { return };
                for (ky, line) in patch.chunks_exact_mut(kw * c).enumerate() {
                    let Some(iy) = (y * stride + ky).checked_sub(before).filter(|&iy| iy < height) else {
                        line.fill(0.0);
                        continue;
                    };
                    // Columns `left..right` of the kernel lie inside the image; they are contiguous there.
                    let start = column * stride;
                    let left = before.saturating_sub(start).min(kw);
                    let right = (width + before).saturating_sub(start).min(kw).max(left);
                    line[..left * c].fill(0.0);
                    line[right * c..].fill(0.0);
                    if left < right {
                        let from = (iy * width + start + left - before) * c;
                        line[left * c..right * c].copy_from_slice(&image[from..from + (right - left) * c]);
                    }
                }
            }
        }
    }

    /// The convolution that turns the gradient of the output into that of the input; stride 1 and square kernels only
    /// (others would need a padding for each direction).
    fn transposed(&self) -> Self {
        let flip = |pad: usize, kernel: usize| kernel - 1 - pad;
        Self {
            input: self.output,
            output: self.input,
            inputs: self.outputs,
            outputs: self.inputs,
            geometry: ConvGeometry {
                stride: 1,
                before: flip(self.geometry.before, self.kernel[0]),
                after: flip(self.geometry.after, self.kernel[0]),
            },
            ..*self
        }
    }
}

/// `x` convolved with `w`, plus `b`.
pub(crate) fn forward(x: &[f32], w: Weights<'_>, b: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    if shape.is_linear() {
        return linear::forward(x, w, b, shape.inputs, shape.outputs);
    }
    if let Some((unit, w)) = w.in_bf16(shape.kernel[1] * shape.inputs) {
        return bf16::conv(unit, x, w, b, shape);
    }
    let w = match w {
        Weights::F32(w) => w,
        half => return forward_half(x, half, b, shape),
    };
    by_patches(x, &transposed(w, shape.outputs, shape.patch()), b, shape)
}

/// [`forward`] with weights `[kh, kw, inputs, outputs]`. Matrix products pack their weights for each tile of positions, which is
/// quick where outputs lie side by side.
fn by_patches(x: &[f32], w: &[f32], b: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    if winograd::suits(shape) {
        return winograd::forward(x, w, b, shape);
    }
    let (patch, outputs) = (shape.patch(), shape.outputs);
    let len = shape.batch * shape.output[0] * shape.output[1] * outputs;
    let rows = shape.tile_rows();
    let weight = Matrix::new(w, patch, outputs);
    build_with(len, rows * shape.output[1] * outputs, Vec::new, |patches, tile, y| {
        let positions = y.len() / outputs;
        patches.resize(positions * patch, 0.0);
        shape.gather(x, tile * rows, positions / shape.output[1], patches);
        product_fresh(y, Matrix::new(patches, positions, patch), weight, b)
    })
}

/// Positions whose patches are gathered at a time where weights are in half precision: many, since they are decoded anew
/// for each.
const HALF_TILE: usize = 1024;

/// [`forward`] with weights in half precision.
fn forward_half(x: &[f32], w: Weights<'_>, b: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let (patch, outputs) = (shape.patch(), shape.outputs);
    let width = shape.output[1];
    let rows = (HALF_TILE / width.max(1)).max(1);
    let len = shape.batch * shape.output[0] * width * outputs;
    // One tile after the other, each on all threads: two at a time would hold the patches of two.
    let mut y = Vec::with_capacity(len);
    for first in (0..shape.batch * shape.output[0]).step_by(rows) {
        let rows = rows.min(shape.batch * shape.output[0] - first);
        let positions = rows * width;
        let patches = par_rows(positions * patch, width * patch, |row, patches| {
            shape.gather(x, first + row, patches.len() / (width * patch), patches);
        });
        let patches = Matrix::new(&patches, positions, patch);
        let w = DecodedTransposed { w, cols: patch };
        y.extend(build(positions * outputs, positions * outputs, |_, y| {
            product_by_columns(y, patches, outputs, band(patch), b, &w)
        }));
    }
    y
}

/// Gradient of the input.
pub(crate) fn input_gradient(dy: &[f32], w: Weights<'_>, shape: &ConvShape) -> Vec<f32> {
    if shape.is_linear() {
        return linear::input_gradient(dy, w, shape.inputs, shape.outputs);
    }
    let positions = shape.batch * shape.output[0] * shape.output[1];
    let turned = shape.geometry.stride == 1 && shape.kernel[0] == shape.kernel[1];
    if turned && let Some((unit, w)) = w.in_bf16(shape.outputs) {
        return bf16::conv_turned(unit, dy, w, &shape.transposed());
    }
    // Turning the weights is a pass over all of them, so it pays where there are more positions than weights to each.
    if !turned || positions <= shape.outputs {
        return gathered_gradient(dy, w, shape);
    }
    let decoded;
    let w = match w {
        Weights::F32(w) => w,
        half => {
            decoded = half.decode_all();
            &decoded
        }
    };
    by_patches(dy, &half_turned(w, shape), None, &shape.transposed())
}

/// `[O, kh, kw, I]` to `[kh, kw, O, I]`, the kernel turned by half a turn.
fn half_turned(w: &[f32], shape: &ConvShape) -> Vec<f32> {
    let taps = shape.kernel[0] * shape.kernel[1];
    let (inputs, outputs) = (shape.inputs, shape.outputs);
    build(w.len(), outputs * inputs, |tap, rows| {
        let rows = zeros(rows);
        for (output, row) in rows.chunks_exact_mut(inputs).enumerate() {
            row.copy_from_slice(&w[((output + 1) * taps - 1 - tap) * inputs..][..inputs]);
        }
        rows
    })
}

/// Gradient of the input for any stride and kernel: gradients of the patches, summed where the patches came from. One
/// sample at a time.
fn gathered_gradient(dy: &[f32], w: Weights<'_>, shape: &ConvShape) -> Vec<f32> {
    let [height, width] = shape.input;
    let (c, patch, outputs) = (shape.inputs, shape.patch(), shape.outputs);
    let [kh, kw] = shape.kernel;
    let ConvGeometry { stride, before, .. } = shape.geometry;
    let positions = shape.output[0] * shape.output[1];
    // The output position whose patch shows input position `at` at `tap`.
    let shows = |at: usize, tap: usize, length: usize| {
        let start = (at + before).checked_sub(tap)?;
        (start.is_multiple_of(stride) && start / stride < length).then_some(start / stride)
    };
    let decoded = Decoded { w, rows: outputs, cols: patch };
    let dx: Vec<Vec<f32>> = dy
        .par_chunks(positions * outputs)
        .map(|dy| {
            let in_bf16 = w.in_bf16(outputs).map(|(unit, w)| bf16::by_rows(unit, dy, w, outputs, patch));
            let dy = Matrix::new(dy, positions, outputs);
            let patches = match (in_bf16, w) {
                (Some(patches), _) => patches,
                (None, Weights::F32(w)) => product(dy, Matrix::new(w, outputs, patch), None),
                (None, _) => build(positions * patch, positions * patch, |_, patches| {
                    product_by_columns(patches, dy, patch, band(outputs), None, &decoded)
                }),
            };
            par_rows(height * width * c, c, |first, rows| {
                simd(
                    #[inline(always)]
                    || {
                        for (index, dx) in rows.chunks_exact_mut(c).enumerate() {
                            let (y, x) = ((first + index) / width, (first + index) % width);
                            for tap in 0..kh * kw {
                                let row = shows(y, tap / kw, shape.output[0]);
                                let column = shows(x, tap % kw, shape.output[1]);
                                let (Some(row), Some(column)) = (row, column) else { continue };
                                let from = (row * shape.output[1] + column) * patch + tap * c;
                                for (dx, &value) in dx.iter_mut().zip(&patches[from..][..c]) {
                                    *dx += value;
                                }
                            }
                        }
                    },
                );
            })
        })
        .collect();
    dx.concat()
}

/// Gradient of the weight, `[O, kh, kw, I]`.
pub(crate) fn weight_gradient(dy: &[f32], x: &[f32], shape: &ConvShape) -> Vec<f32> {
    if shape.is_linear() {
        return linear::weight_gradient(dy, x, shape.inputs, shape.outputs);
    }
    if winograd::suits(shape) {
        return winograd::weight_gradient(dy, x, shape);
    }
    let (patch, outputs) = (shape.patch(), shape.outputs);
    let total = shape.batch * shape.output[0];
    let part = total.div_ceil(PARTS).max(1);
    let rows = (TILE / shape.output[1].max(1)).clamp(1, part);
    let partial: Vec<Vec<f32>> = (0..total)
        .step_by(part)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|first| {
            let mut dw = vec![0f32; outputs * patch];
            let end = (first + part).min(total);
            let mut patches = Vec::new();
            for row in (first..end).step_by(rows) {
                let count = rows.min(end - row);
                let positions = count * shape.output[1];
                patches.resize(positions * patch, 0.0);
                shape.gather(x, row, count, &mut patches);
                let dy = &dy[row * shape.output[1] * outputs..][..positions * outputs];
                let patches = Matrix::new(&patches, positions, patch);
                product_into(&mut dw, patch, Matrix::new(dy, positions, outputs).t(), patches, row > first);
            }
            dw
        })
        .collect();
    par_rows(outputs * patch, 1, |first, dw| {
        simd(
            #[inline(always)]
            || {
                for part in &partial {
                    for (sum, value) in dw.iter_mut().zip(&part[first..]) {
                        *sum += value;
                    }
                }
            },
        );
    })
}
