//! Linear layers and convolutions whose weights are held in bf16, on processors that multiply such values: what goes in is rounded to bf16,
//! products are summed in `f32`.

use half::bf16;
use rayon::prelude::*;

use super::conv::ConvShape;
use super::raw::{Bf16Right, Bf16Unit, Runs, build};

/// Values that a thread rounds at a time.
const CHUNK: usize = 1 << 15;

/// `x [M, I] * w [O, I]^T + b [O]`; `inputs` is even.
pub(crate) fn linear(
    unit: Bf16Unit,
    x: &[f32],
    w: &[bf16],
    b: Option<&[f32]>,
    inputs: usize,
    outputs: usize,
) -> Vec<f32> {
    rows_by(unit, x, inputs, Bf16Right::InColumns { w, length: inputs }, b, outputs)
}

/// `x [M, I] * w [I, O]`; `inputs` is even.
pub(crate) fn by_rows(unit: Bf16Unit, x: &[f32], w: &[bf16], inputs: usize, outputs: usize) -> Vec<f32> {
    rows_by(unit, x, inputs, Bf16Right::InRows { w, bases: &[0], stride: outputs }, None, outputs)
}

/// Rows of `length` values by `right`, of `cols` columns.
fn rows_by(
    unit: Bf16Unit,
    x: &[f32],
    length: usize,
    right: Bf16Right<'_>,
    b: Option<&[f32]>,
    cols: usize,
) -> Vec<f32> {
    let mut rounded = vec![bf16::ZERO; x.len()];
    let parts = rounded.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
    parts.for_each(|(rounded, x)| unit.round(x, rounded));
    let starts: Vec<usize> = (0..x.len()).step_by(length).collect();
    let left = Runs::new(&rounded, &starts, &[0], length);
    let len = starts.len() * cols;
    build(len, len, |_, y| unit.product(y, &left, right, cols, b))
}

/// A convolution's input in bf16, with its padding.
struct Padded {
    values: Vec<bf16>,
    /// Where the patch of each output position begins.
    starts: Vec<usize>,
    /// Values of a padded row.
    line: usize,
}

impl Padded {
    fn of(unit: Bf16Unit, x: &[f32], shape: &ConvShape) -> Self {
        let ([height, width], c) = (shape.input, shape.inputs);
        let (before, after) = (shape.geometry.before, shape.geometry.after);
        let line = (before + width + after) * c;
        let lines = before + height + after;
        let mut values = vec![bf16::ZERO; shape.batch * lines * line];
        values.par_chunks_mut(line.max(1)).enumerate().for_each(|(row, values)| {
            let (sample, y) = (row / lines, row % lines);
            if let Some(y) = y.checked_sub(before).filter(|&y| y < height) {
                let x = &x[(sample * height + y) * width * c..][..width * c];
                unit.round(x, &mut values[before * c..][..width * c]);
            }
        });
        let [rows, columns] = shape.output;
        let starts = (0..shape.batch * rows * columns).map(|position| {
            let (row, column) = (position / columns, position % columns);
            ((row / rows) * lines + (row % rows) * shape.geometry.stride) * line
                + column * shape.geometry.stride * c
        });
        Self { starts: starts.collect(), values, line }
    }
}

/// `x` convolved with `w [O, kh, kw, I]`, plus `b`; a kernel's row of inputs is of an even number of values.
pub(crate) fn conv(unit: Bf16Unit, x: &[f32], w: &[bf16], b: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let padded = Padded::of(unit, x, shape);
    let [kh, kw] = shape.kernel;
    // A kernel's row lies in one piece.
    let taps: Vec<usize> = (0..kh).map(|ky| ky * padded.line).collect();
    let left = Runs::new(&padded.values, &padded.starts, &taps, kw * shape.inputs);
    let right = Bf16Right::InColumns { w, length: kh * kw * shape.inputs };
    let len = padded.starts.len() * shape.outputs;
    build(len, len, |_, y| unit.product(y, &left, right, shape.outputs, b))
}

/// Gradient of the input of a convolution with stride 1 and a square kernel: `dy` convolved with the turned kernel. `shape` is that of
/// this convolution, [`ConvShape::transposed`]; its inputs are of an even number.
pub(crate) fn conv_turned(unit: Bf16Unit, dy: &[f32], w: &[bf16], shape: &ConvShape) -> Vec<f32> {
    let padded = Padded::of(unit, dy, shape);
    let [kh, kw] = shape.kernel;
    let places = || (0..kh * kw).map(|tap| (tap / kw, tap % kw));
    let taps: Vec<usize> = places().map(|(ky, kx)| ky * padded.line + kx * shape.inputs).collect();
    let bases: Vec<usize> =
        places().map(|(ky, kx)| ((kh - 1 - ky) * kw + kw - 1 - kx) * shape.outputs).collect();
    let left = Runs::new(&padded.values, &padded.starts, &taps, shape.inputs);
    let right = Bf16Right::InRows { w, bases: &bases, stride: kh * kw * shape.outputs };
    let len = padded.starts.len() * shape.outputs;
    build(len, len, |_, dx| unit.product(dx, &left, right, shape.outputs, None))
}
