//! The engine's own operations on the CPU: plain functions on `f32` slices, channels last.
//!
//! Loops are written so that the compiler vectorizes them, and run under [`simd`], which picks AVX-512, AVX2 or the
//! portable build of the same loop at run time. Work is split over rayon's threads by rows, so that no result depends on
//! how many there are.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod conv;
pub(crate) mod gemm;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod pointwise;

use rayon::prelude::*;

/// Runs a loop with the widest vectors of this processor.
#[inline]
pub(crate) fn simd<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Elements below which a pass over memory stays on one thread.
const PARALLEL_FROM: usize = 1 << 14;

/// Rows of `width` elements that one thread should take of `len` elements.
fn rows_for_thread(len: usize, width: usize) -> usize {
    let rows = len / width.max(1);
    if len < PARALLEL_FROM { rows.max(1) } else { rows.div_ceil(rayon::current_num_threads()).max(1) }
}

/// Calls `work(first_row, rows)` for bands of rows of `out`, on all threads.
pub(crate) fn par_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let band = rows_for_thread(out.len(), width);
    if band * width >= out.len() {
        return work(0, out);
    }
    out.par_chunks_mut(band * width).enumerate().for_each(|(index, rows)| work(index * band, rows));
}

/// Sums over rows: `[rows, width]` to `[width]`.
pub(crate) fn sum_rows(x: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0f32; width];
    // Blocks keep the rounding error of long sums small.
    for block in x.chunks(64 * width) {
        let mut partial = vec![0f32; width];
        simd(
            #[inline(always)]
            || {
                for row in block.chunks_exact(width) {
                    for (sum, &value) in partial.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
            },
        );
        for (sum, value) in sums.iter_mut().zip(&partial) {
            *sum += value;
        }
    }
    sums
}
