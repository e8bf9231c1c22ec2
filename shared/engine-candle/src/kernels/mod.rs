//! The engine's own operations on the CPU: plain functions on `f32` slices, channels last.
//!
//! Loops are written so that the compiler vectorizes them, and run under [`simd`], which picks AVX-512, AVX2 or the
//! portable build of the same loop at run time. Work is split over rayon's threads by rows, so that no result depends on
//! how many there are.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod bf16;
pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod layout;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod pointwise;
pub(crate) mod raw;
pub(crate) mod score_bias;
pub(crate) mod weights;
pub(crate) mod winograd;

/// Runs a loop with the widest vectors of this processor.
#[inline]
pub(crate) fn simd<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Elements that a thread takes at a time: few enough to stay in its cache from one loop to the next.
const CHUNK: usize = 1 << 15;

/// Whole rows of `width` elements that make up about a [`CHUNK`].
fn chunk_of_rows(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1) * width.max(1)
}

/// A vector of `len` values in rows of `width`, made by `work(first_row, rows)` on all threads; the rows start as zeros.
pub(crate) fn par_rows(len: usize, width: usize, work: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let chunk = chunk_of_rows(width);
    raw::build(len, chunk, |index, rows| {
        let rows = raw::zeros(rows);
        work(index * (chunk / width.max(1)), rows);
        rows
    })
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
