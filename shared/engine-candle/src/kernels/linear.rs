//! Linear layers.

use super::gemm::{Matrix, product_parallel};

/// `x [M, I] * w [O, I]^T + b [O]`.
pub(crate) fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = x.len() / inputs;
    let mut y = vec![0f32; rows * outputs];
    if let Some(b) = b {
        super::par_rows(&mut y, outputs, |_, rows| {
            rows.chunks_exact_mut(outputs).for_each(|y| y.copy_from_slice(b));
        });
    }
    product_parallel(&mut y, Matrix::new(x, rows, inputs), Matrix::new(w, outputs, inputs).t(), b.is_some());
    y
}

/// Gradient of the input: `dy [M, O] * w [O, I]`.
pub(crate) fn input_gradient(dy: &[f32], w: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = dy.len() / outputs;
    let mut dx = vec![0f32; rows * inputs];
    product_parallel(&mut dx, Matrix::new(dy, rows, outputs), Matrix::new(w, outputs, inputs), false);
    dx
}

/// Gradient of the weight: `dy [M, O]^T * x [M, I]`.
pub(crate) fn weight_gradient(dy: &[f32], x: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let rows = dy.len() / outputs;
    let mut dw = vec![0f32; outputs * inputs];
    product_parallel(&mut dw, Matrix::new(dy, rows, outputs).t(), Matrix::new(x, rows, inputs), false);
    dw
}
