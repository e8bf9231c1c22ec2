//! Matrix products, on the `gemm` crate's run-time dispatched kernels.

use rayon::prelude::*;

use super::super::layout::transposed;
use super::fresh::{Fresh, build, repeat, written_by};

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

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
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
    let (m, n) = (lhs.rows, rhs.cols);
    assert!(stride >= n && fits(out.len(), m, n, stride, 1), "result {m}x{n} reaches outside its slice");
    // SAFETY: the assertion above.
    unsafe { run(out.as_mut_ptr(), stride, lhs, rhs, accumulate) }
}

/// `lhs * rhs`, plus `bias` in each row, on this thread, written to `out`, whose rows have no gaps.
pub(crate) fn product_fresh<'a>(
    out: &'a mut Fresh,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    bias: Option<&[f32]>,
) -> &'a mut [f32] {
    let (m, n) = (lhs.rows, rhs.cols);
    assert_eq!(out.len(), m * n, "result {m}x{n} does not fill its slice");
    if let Some(bias) = bias {
        let out = repeat(out, bias);
        product_into(out, n, lhs, rhs, true);
        return out;
    }
    // SAFETY: `out` has exactly the `m` rows of `n` elements that the product writes.
    unsafe { written_by(out, |out| run(out, n, lhs, rhs, false)) }
}

/// Multiply-adds below which a product stays on one thread.
const PARALLEL_FROM: usize = 1 << 18;

/// Parts that a product is cut into, whatever the number of threads: the result must not depend on it, and a thread that
/// is held up leaves parts to the others.
const PARTS: usize = 8;

/// Rows or columns that a part has at least, and a multiple of which it has.
const PART: usize = 48;

/// `lhs * rhs`, plus `bias` in each row, on all threads. The order of additions does not depend on their number.
pub(crate) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let (rows, cols) = (lhs.rows, rhs.cols);
    let part = |length: usize| length.div_ceil(PARTS).next_multiple_of(PART);
    if rows * cols * lhs.cols < PARALLEL_FROM {
        return build(rows * cols, rows * cols, |_, out| product_fresh(out, lhs, rhs, bias));
    }
    // Each part packs the operand that is not split once more, so the longer side is split.
    if rows >= cols {
        let band = part(rows);
        // Packing columns is slow, so they are made rows once, and not in each part.
        let in_columns = rhs.row_stride == 1 && rhs.col_stride == rhs.rows;
        let made =
            (in_columns && rows > band).then(|| transposed(&rhs.data[..cols * rhs.rows], cols, rhs.rows));
        let rhs = made.as_deref().map_or(rhs, |made| Matrix::new(made, rhs.rows, cols));
        return build(rows * cols, band * cols, |index, out| {
            let lhs = lhs.row_range(index * band, out.len() / cols);
            product_fresh(out, lhs, rhs, bias)
        });
    }
    build(rows * cols, rows * cols, |_, out| product_by_columns(out, lhs, cols, part(cols), bias, &rhs))
}

/// A right side whose columns may have to be made first.
pub(crate) trait RightSide: Sync {
    /// Columns `first..first + count`; `scratch` is the thread's own, to make them in.
    fn columns<'s>(&'s self, scratch: &'s mut Vec<f32>, first: usize, count: usize) -> Matrix<'s>;
}

impl RightSide for Matrix<'_> {
    fn columns<'s>(&'s self, _: &'s mut Vec<f32>, first: usize, count: usize) -> Matrix<'s> {
        self.t().row_range(first, count).t()
    }
}

/// `lhs * rhs`, plus `bias` in each row, on all threads, written to `out` in bands of `band` columns.
pub(crate) fn product_by_columns<'a>(
    out: &'a mut Fresh,
    lhs: Matrix<'_>,
    cols: usize,
    band: usize,
    bias: Option<&[f32]>,
    rhs: &impl RightSide,
) -> &'a mut [f32] {
    let rows = lhs.rows;
    assert_eq!(out.len(), rows * cols, "result {rows}x{cols} does not fill its slice");
    let write = |out: Columns| {
        (0..cols.div_ceil(band)).into_par_iter().for_each_init(Vec::new, |scratch, index| {
            let first = index * band;
            let count = band.min(cols - first);
            let rhs = rhs.columns(scratch, first, count);
            assert_eq!(rhs.cols, count, "another number of columns than asked for");
            // SAFETY: columns `first..first + count` of the result's rows lie inside it, and no other band writes them.
            unsafe {
                let out = out.at(first);
                if let Some(bias) = bias {
                    for row in 0..rows {
                        out.add(row * cols).copy_from_nonoverlapping(bias[first..][..count].as_ptr(), count);
                    }
                }
                run(out, cols, lhs, rhs, bias.is_some());
            }
        });
    };
    // SAFETY: the bands cover all columns of all rows.
    unsafe { written_by(out, |out| write(Columns(out))) }
}

/// A result that threads write side by side, each its own columns.
#[derive(Clone, Copy)]
pub(super) struct Columns(pub(super) *mut f32);

// SAFETY: the pointer is only used to write columns that no other thread touches.
unsafe impl Sync for Columns {}
// SAFETY: as above.
unsafe impl Send for Columns {}

impl Columns {
    /// # Safety
    /// `place` must lie inside the result.
    pub(super) unsafe fn at(self, place: usize) -> *mut f32 {
        // SAFETY: the caller's word.
        unsafe { self.0.add(place) }
    }
}

/// # Safety
/// `out` must be valid for writes (and initialized, for `accumulate`) at `lhs.rows` rows of `rhs.cols` elements that are
/// `stride` apart, `stride` at least `rhs.cols`, and overlap neither operand.
unsafe fn run(out: *mut f32, stride: usize, lhs: Matrix<'_>, rhs: Matrix<'_>, accumulate: bool) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(k, rhs.rows, "inner dimensions differ");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: `Matrix` guarantees that every element that its strides reach lies inside the slice that the pointer comes
    // from; the caller vouches for `out`. With `accumulate` false the old values are not read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
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
            gemm::Parallelism::None,
        );
    }
}
