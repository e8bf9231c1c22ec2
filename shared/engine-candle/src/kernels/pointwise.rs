//! Additions, copies and resampling.

use super::raw::{beside, build, map, map2};
use super::{CHUNK, chunk_of_rows, par_rows, simd};

/// `a + b`.
pub(crate) fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    build(a.len(), CHUNK, |index, y| {
        let first = index * CHUNK;
        simd(
            #[inline(always)]
            || map2(y, &a[first..], &b[first..], |a, b| a + b),
        )
    })
}

/// `factor * x`.
pub(crate) fn scale(x: &[f32], factor: f32) -> Vec<f32> {
    build(x.len(), CHUNK, |index, y| map(y, &x[index * CHUNK..], |x| factor * x))
}

/// `x [rows, N]` times `by [N]`.
pub(crate) fn mul(x: &[f32], by: &[f32]) -> Vec<f32> {
    if by.len() == x.len() {
        return build(x.len(), CHUNK, |index, y| {
            let first = index * CHUNK;
            simd(
                #[inline(always)]
                || map2(y, &x[first..], &by[first..], |a, b| a * b),
            )
        });
    }
    par_rows(x.len(), by.len(), |first, rows| {
        simd(
            #[inline(always)]
            || {
                let x = x[first * by.len()..].chunks_exact(by.len());
                for (y, x) in rows.chunks_exact_mut(by.len()).zip(x) {
                    for ((y, &x), &by) in y.iter_mut().zip(x).zip(by) {
                        *y = x * by;
                    }
                }
            },
        );
    })
}

/// `x [rows, width]` plus row `row_of(index)` of `v`.
pub(crate) fn add_rows(
    x: &[f32],
    v: &[f32],
    width: usize,
    row_of: impl Fn(usize) -> usize + Sync,
) -> Vec<f32> {
    par_rows(x.len(), width, |first, rows| {
        simd(
            #[inline(always)]
            || {
                let x = x[first * width..].chunks_exact(width);
                for (index, (y, x)) in rows.chunks_exact_mut(width).zip(x).enumerate() {
                    let v = &v[row_of(first + index) * width..][..width];
                    for ((y, &x), &v) in y.iter_mut().zip(x).zip(v) {
                        *y = x + v;
                    }
                }
            },
        );
    })
}

/// `[rows, left]` and `[rows, right]` to `[rows, left + right]`.
pub(crate) fn concat(a: &[f32], b: &[f32], left: usize, right: usize) -> Vec<f32> {
    let chunk = chunk_of_rows(left + right);
    let rows = chunk / (left + right);
    build(a.len() + b.len(), chunk, |index, y| {
        let first = index * rows;
        beside(y, &a[first * left..], left, &b[first * right..], right)
    })
}

/// Columns `from..from + width` of `x [rows, stride]`.
pub(crate) fn columns(x: &[f32], stride: usize, from: usize, width: usize) -> Vec<f32> {
    par_rows(x.len() / stride * width, width, |first, rows| {
        for (index, y) in rows.chunks_exact_mut(width).enumerate() {
            y.copy_from_slice(&x[(first + index) * stride + from..][..width]);
        }
    })
}

/// Sizes of a nearest-neighbour enlargement of `[B, height, width, channels]`.
#[derive(Clone, Copy)]
pub(crate) struct Enlargement {
    pub(crate) from: [usize; 2],
    pub(crate) to: [usize; 2],
    pub(crate) channels: usize,
}

impl Enlargement {
    /// Where position `(row, column)` of the result comes from, for row `row` counted through all samples.
    fn source(&self, row: usize, column: usize) -> usize {
        let (sample, y) = (row / self.to[0], row % self.to[0]);
        let (y, x) = (y * self.from[0] / self.to[0], column * self.from[1] / self.to[1]);
        ((sample * self.from[0] + y) * self.from[1] + x) * self.channels
    }
}

/// Enlarges.
pub(crate) fn upsample(x: &[f32], batch: usize, shape: Enlargement) -> Vec<f32> {
    let c = shape.channels;
    par_rows(batch * shape.to[0] * shape.to[1] * c, shape.to[1] * c, |first, rows| {
        for (index, y) in rows.chunks_exact_mut(shape.to[1] * c).enumerate() {
            for (column, y) in y.chunks_exact_mut(c).enumerate() {
                y.copy_from_slice(&x[shape.source(first + index, column)..][..c]);
            }
        }
    })
}

/// Gradient of [`upsample`]: each input position sums over the positions that show it.
pub(crate) fn upsample_gradient(dy: &[f32], batch: usize, shape: Enlargement) -> Vec<f32> {
    let c = shape.channels;
    let sample = shape.from[0] * shape.from[1] * c;
    par_rows(batch * sample, sample, |first, samples| {
        let rows = samples.len() / sample * shape.to[0];
        let base = first * sample;
        simd(
            #[inline(always)]
            || {
                for row in 0..rows {
                    let row = first * shape.to[0] + row;
                    for column in 0..shape.to[1] {
                        let dy = &dy[(row * shape.to[1] + column) * c..][..c];
                        for (dx, &dy) in samples[shape.source(row, column) - base..][..c].iter_mut().zip(dy) {
                            *dx += dy;
                        }
                    }
                }
            },
        );
    })
}

/// Rows `ids` of `table [N, width]`.
pub(crate) fn gather(table: &[f32], ids: impl Iterator<Item = usize>, width: usize) -> Vec<f32> {
    ids.flat_map(|id| table[id * width..][..width].iter().copied()).collect()
}

/// Gradient of [`gather`]: rows of `dy` summed into the rows that they came from.
pub(crate) fn scatter(dy: &[f32], ids: impl Iterator<Item = usize>, width: usize, rows: usize) -> Vec<f32> {
    let mut table = vec![0f32; rows * width];
    for (id, dy) in ids.zip(dy.chunks_exact(width)) {
        for (sum, &dy) in table[id * width..][..width].iter_mut().zip(dy) {
            *sum += dy;
        }
    }
    table
}
