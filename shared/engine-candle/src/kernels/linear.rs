//! Linear layers.

use super::raw::{Matrix, product};

/// `x [M, I] * w [O, I]^T + b [O]`.
pub(crate) fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, inputs: usize, outputs: usize) -> Vec<f32> {
    product(Matrix::new(x, x.len() / inputs, inputs), Matrix::new(w, outputs, inputs).t(), b)
}

/// Gradient of the input: `dy [M, O] * w [O, I]`.
pub(crate) fn input_gradient(dy: &[f32], w: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    product(Matrix::new(dy, dy.len() / outputs, outputs), Matrix::new(w, outputs, inputs), None)
}

/// Gradient of the weight: `dy [M, O]^T * x [M, I]`.
pub(crate) fn weight_gradient(dy: &[f32], x: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = dy.len() / outputs;
    product(Matrix::new(dy, rows, outputs).t(), Matrix::new(x, rows, inputs), None)
}
