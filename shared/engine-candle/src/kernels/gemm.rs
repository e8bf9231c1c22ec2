//! Matrix products, on the `gemm` crate's run-time dispatched kernels. The only module with `unsafe` code.
#![allow(unsafe_code)]

use rayon::prelude::*;

/// A read-only matrix in a slice, with strides in elements.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// Whether the last element of a matrix lies inside `len` elements.
fn fits(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + (cols - 1) * col_stride < len
}

impl<'a> Matrix<'a> {
    /// `rows` by `cols`, the rows `stride` elements apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, stride, 1), "matrix {rows}x{cols} reaches outside its slice");
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// `rows` by `cols`, without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// `count` rows from `first`.
    fn row_range(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "rows outside the matrix");
        let start = (first * self.row_stride).min(self.data.len());
        Self { data: &self.data[start..], rows: count, ..self }
    }
}

/// `out = lhs * rhs`, or `out += lhs * rhs`, on this thread; `out` rows are `stride` apart.
pub(crate) fn product_into(
    out: &mut [f32],
    stride: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    accumulate: bool,
) {
    run(out, stride, lhs, rhs, accumulate, gemm::Parallelism::None);
}

/// Multiply-adds below which a product stays on one thread.
const PARALLEL_FROM: usize = 1 << 18;

/// The same on all threads, `out` without gaps. The order of additions does not depend on the number of threads.
pub(crate) fn product_parallel(out: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>, accumulate: bool) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    let threads = rayon::current_num_threads();
    if threads == 1 || rows * cols * lhs.cols < PARALLEL_FROM {
        product_into(out, cols, lhs, rhs, accumulate);
    } else if rows >= 32 * threads {
        let band = rows.div_ceil(threads);
        out.par_chunks_mut(band * cols).enumerate().for_each(|(index, out)| {
            let lhs = lhs.row_range(index * band, out.len() / cols);
            product_into(out, cols, lhs, rhs, accumulate);
        });
    } else {
        run(out, cols, lhs, rhs, accumulate, gemm::Parallelism::Rayon(threads));
    }
}

fn run(
    out: &mut [f32],
    stride: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    accumulate: bool,
    parallelism: gemm::Parallelism,
) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(k, rhs.rows, "inner dimensions differ");
    assert!(stride >= n && fits(out.len(), m, n, stride, 1), "result {m}x{n} reaches outside its slice");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: `Matrix` and the assertion above guarantee that every element that the strides reach lies inside the slice
    // that the pointer comes from; `out` is borrowed mutably, so it overlaps neither operand; rows of `out` do not overlap
    // one another because `stride >= n`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
