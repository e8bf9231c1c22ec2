//! Copies that change where values lie: axes in another order, and parts of an axis.

use super::par_rows;
use super::raw::{build, zeros};

/// `x` of shape `dims` with its axes in the order `axes`.
pub(crate) fn permute(x: &[f32], dims: &[usize], axes: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    // Axes that stay last are copied as one run.
    let kept = axes.iter().enumerate().rev().take_while(|&(place, &axis)| place == axis).count();
    let (moved, last) = axes.split_at(axes.len() - kept);
    let run: usize = last.iter().map(|&axis| dims[axis]).product();
    // Otherwise the values of a row lie a stride apart.
    let (moved, width, stride) = match moved.split_last() {
        Some((&axis, moved)) if kept == 0 => (moved, dims[axis], strides[axis]),
        _ => (moved, run, 1),
    };
    par_rows(x.len(), width, |first, rows| {
        for (index, row) in rows.chunks_exact_mut(width).enumerate() {
            let (mut rest, mut start) = (first + index, 0);
            for &axis in moved.iter().rev() {
                start += rest % dims[axis] * strides[axis];
                rest /= dims[axis];
            }
            if stride == 1 {
                row.copy_from_slice(&x[start..][..width]);
            } else {
                row.iter_mut().zip(x[start..].iter().step_by(stride)).for_each(|(to, &from)| *to = from);
            }
        }
    })
}

/// The transpose of `x [rows, cols]`.
pub(crate) fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    /// Rows of the result that are made together: they share the lines of the cache that they are read from.
    const BAND: usize = 16;
    /// Values of each of them at a time: as many lines as the first cache has room for.
    const RUN: usize = 64;
    build(rows * cols, BAND * rows, |band, to| {
        let to = zeros(to);
        let first = band * BAND;
        for start in (0..rows).step_by(RUN) {
            let run = RUN.min(rows - start);
            for (row, to) in to.chunks_exact_mut(rows).enumerate() {
                let from = x[start * cols + first + row..].iter().step_by(cols);
                to[start..start + run].iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
        to
    })
}

/// Rows of zeros, `stride` long, with the rows of `x [rows, width]` at `from..from + width`: what takes the gradient of
/// [`columns`](super::pointwise::columns) back.
pub(crate) fn spread(x: &[f32], stride: usize, from: usize, width: usize) -> Vec<f32> {
    par_rows(x.len() / width * stride, stride, |first, rows| {
        let x = x[first * width..].chunks_exact(width);
        for (row, x) in rows.chunks_exact_mut(stride).zip(x) {
            row[from..from + width].copy_from_slice(x);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_of_all_sizes_are_permutations() {
        for [rows, cols] in [[1, 1], [1, 40], [40, 1], [16, 16], [17, 15], [64, 33], [130, 70]] {
            let x: Vec<f32> = (0..rows * cols).map(|value| value as f32).collect();
            assert_eq!(transposed(&x, rows, cols), permute(&x, &[rows, cols], &[1, 0]), "{rows} x {cols}");
        }
    }
}
