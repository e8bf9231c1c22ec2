//! Linear layers.

use super::bf16;
use super::raw::{Matrix, build, product, product_by_columns};
use super::weights::{Decoded, DecodedTransposed, Weights, band};

/// `x [M, I] * w [O, I]^T + b [O]`.
pub(crate) fn forward(
    x: &[f32],
    w: Weights<'_>,
    b: Option<&[f32]>,
    inputs: usize,
    outputs: usize,
) -> Vec<f32> {
    if let Some((unit, w)) = w.in_bf16(inputs) {
        return bf16::linear(unit, x, w, b, inputs, outputs);
    }
    let rows = x.len() / inputs;
    let x = Matrix::new(x, rows, inputs);
    if let Weights::F32(w) = w {
        return product(x, Matrix::new(w, outputs, inputs).t(), b);
    }
    let w = DecodedTransposed { w, cols: inputs };
    build(rows * outputs, rows * outputs, |_, y| product_by_columns(y, x, outputs, band(inputs), b, &w))
}

/// Gradient of the input: `dy [M, O] * w [O, I]`.
pub(crate) fn input_gradient(dy: &[f32], w: Weights<'_>, inputs: usize, outputs: usize) -> Vec<f32> {
    if let Some((unit, w)) = w.in_bf16(outputs) {
        return bf16::by_rows(unit, dy, w, outputs, inputs);
    }
    let rows = dy.len() / outputs;
    let dy = Matrix::new(dy, rows, outputs);
    if let Weights::F32(w) = w {
        return product(dy, Matrix::new(w, outputs, inputs), None);
    }
    let w = Decoded { w, rows: outputs, cols: inputs };
    build(rows * inputs, rows * inputs, |_, dx| product_by_columns(dx, dy, inputs, band(outputs), None, &w))
}

/// Gradient of the weight: `dy [M, O]^T * x [M, I]`.
pub(crate) fn weight_gradient(dy: &[f32], x: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = dy.len() / outputs;
    product(Matrix::new(dy, rows, outputs).t(), Matrix::new(x, rows, inputs), None)
}
