//! Multi-head attention without a whole matrix of scores: one tile of queries at a time, recomputed in the backward pass.

use rayon::prelude::*;

use super::activation::exp;
use super::raw::{Matrix, product_into};
use super::score_bias::{Bias, BiasGradient};
use super::simd;

/// Sizes of an attention of `[B, queries, heads * width]` over `[B, keys, heads * width]`.
#[derive(Clone, Copy)]
pub(crate) struct AttentionShape {
    pub(crate) batch: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) heads: usize,
    /// Channels of one head.
    pub(crate) width: usize,
    /// Query `i` sees keys `0..=i` only.
    pub(crate) causal: bool,
}

/// Most queries in one tile.
const TILE: usize = 128;

impl AttentionShape {
    fn channels(&self) -> usize {
        self.heads * self.width
    }

    /// Queries in one tile; tiles are about equally large.
    fn tile(&self) -> usize {
        self.queries.div_ceil(self.queries.div_ceil(TILE).max(1)).max(1)
    }

    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// Rows `first..first + rows` of head `head` of sample `sample` in `[B, length, channels]`.
    fn head<'a>(
        &self,
        x: &'a [f32],
        length: usize,
        at: (usize, usize),
        first: usize,
        rows: usize,
    ) -> Matrix<'a> {
        let channels = self.channels();
        let start = (at.0 * length + first) * channels + at.1 * self.width;
        Matrix::strided(&x[start..], rows, self.width, channels)
    }

    /// `[B, heads, length, width]` to `[B, length, heads * width]`.
    pub(super) fn join(&self, x: &[f32], length: usize, width: usize) -> Vec<f32> {
        let heads = self.heads;
        let channels = heads * width;
        super::par_rows(x.len(), channels, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(channels).enumerate() {
                let (sample, position) = ((first + index) / length, (first + index) % length);
                for (head, row) in row.chunks_exact_mut(width).enumerate() {
                    row.copy_from_slice(&x[((sample * heads + head) * length + position) * width..][..width]);
                }
            }
        })
    }

    /// Softmax of a tile's scores, scaled and with `bias`, in place; query `first + i` of head `at` is row `i`.
    fn softmax(&self, scores: &mut [f32], at: (usize, usize), first: usize, bias: Option<Bias<'_>>) {
        let scale = match bias {
            None => self.scale(),
            Some(bias) => {
                bias.add_to_scaled(scores, self, at, first);
                1.0
            }
        };
        simd(
            #[inline(always)]
            || {
                for (index, row) in scores.chunks_exact_mut(self.keys).enumerate() {
                    let seen = if self.causal { (first + index + 1).min(self.keys) } else { self.keys };
                    let (row, hidden) = row.split_at_mut(seen);
                    hidden.fill(0.0);
                    let max = lane_max(row);
                    let sum = exponentials(row, max, scale);
                    let inverse = 1.0 / sum;
                    for value in row.iter_mut() {
                        *value *= inverse;
                    }
                }
            },
        );
    }
}

/// The largest value, in sixteen lanes, which vectorizes.
#[inline(always)]
fn lane_max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = x.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().fold(rest, |a, &b| a.max(b))
}

/// `e^((x - max) * scale)` in place; returns the sum.
#[inline(always)]
fn exponentials(x: &mut [f32], max: f32, scale: f32) -> f32 {
    let mut lanes = [0f32; 16];
    let mut chunks = x.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *value = exp((*value - max) * scale);
            *lane += *value;
        }
    }
    let mut rest = 0.0;
    for value in chunks.into_remainder() {
        *value = exp((*value - max) * scale);
        rest += *value;
    }
    lanes.iter().sum::<f32>() + rest
}

/// The sum of products.
#[inline(always)]
fn lane_dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Attention, `[B, queries, channels]`.
pub(crate) fn forward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    bias: Option<Bias<'_>>,
    shape: &AttentionShape,
) -> Vec<f32> {
    let &AttentionShape { batch, queries, keys, heads, width, .. } = shape;
    let mut out = vec![0f32; batch * heads * queries * width];
    out.par_chunks_mut((queries * width).max(1)).enumerate().for_each_init(
        Vec::new,
        |scores, (index, out)| {
            let at = (index / heads, index % heads);
            let k = shape.head(k, keys, at, 0, keys);
            let v = shape.head(v, keys, at, 0, keys);
            for (tile, out) in out.chunks_mut(shape.tile() * width).enumerate() {
                let (first, rows) = (tile * shape.tile(), out.len() / width);
                scores.resize(rows * keys, 0.0);
                product_into(scores, keys, shape.head(q, queries, at, first, rows), k.t(), false);
                shape.softmax(scores, at, first, bias);
                product_into(out, width, Matrix::new(scores, rows, keys), v, false);
            }
        },
    );
    shape.join(&out, queries, width)
}

/// Gradients of queries, keys and values, and of the bias where `bias_learns`.
pub(crate) fn gradient(
    [q, k, v]: [&[f32]; 3],
    bias: Option<Bias<'_>>,
    bias_learns: bool,
    dy: &[f32],
    shape: &AttentionShape,
) -> ([Vec<f32>; 3], BiasGradient) {
    let &AttentionShape { batch, queries, keys, heads, width, .. } = shape;
    let scale = shape.scale();
    let mut dq = vec![0f32; batch * heads * queries * width];
    let mut dk = vec![0f32; batch * heads * keys * width];
    let mut dv = vec![0f32; batch * heads * keys * width];
    let learning = bias.filter(|_| bias_learns);
    let mut dbias = BiasGradient::new(learning, shape);
    dq.par_chunks_mut((queries * width).max(1))
        .zip(dk.par_chunks_mut((keys * width).max(1)).zip(dv.par_chunks_mut((keys * width).max(1))))
        .zip(dbias.heads())
        .enumerate()
        .for_each_init(
            || (Vec::new(), Vec::new()),
            |(weights, dscores), (index, ((dq, (dk, dv)), dbias))| {
                let at = (index / heads, index % heads);
                let keys_matrix = shape.head(k, keys, at, 0, keys);
                let values = shape.head(v, keys, at, 0, keys);
                for (tile, dq) in dq.chunks_mut(shape.tile() * width).enumerate() {
                    let (first, rows) = (tile * shape.tile(), dq.len() / width);
                    weights.resize(rows * keys, 0.0);
                    dscores.resize(rows * keys, 0.0);
                    let q = shape.head(q, queries, at, first, rows);
                    let dy = shape.head(dy, queries, at, first, rows);
                    product_into(weights, keys, q, keys_matrix.t(), false);
                    shape.softmax(weights, at, first, bias);
                    product_into(dv, width, Matrix::new(weights, rows, keys).t(), dy, true);
                    product_into(dscores, keys, dy, values.t(), false);
                    softmax_gradient(weights, dscores, keys, scale);
                    if let Some(bias) = learning {
                        dbias.add(bias, dscores, shape, first);
                    }
                    let dscores = Matrix::new(dscores, rows, keys);
                    product_into(dq, width, dscores, keys_matrix, false);
                    product_into(dk, width, dscores.t(), q, true);
                }
            },
        );
    let joined =
        [shape.join(&dq, queries, width), shape.join(&dk, keys, width), shape.join(&dv, keys, width)];
    (joined, dbias)
}

/// Gradient of the scores from that of the weights, in place of the latter; with the scores' scale.
fn softmax_gradient(weights: &[f32], dweights: &mut [f32], keys: usize, scale: f32) {
    simd(
        #[inline(always)]
        || {
            for (w, dw) in weights.chunks_exact(keys).zip(dweights.chunks_exact_mut(keys)) {
                let dot = lane_dot(w, dw);
                for (&w, dw) in w.iter().zip(dw.iter_mut()) {
                    *dw = w * (*dw - dot) * scale;
                }
            }
        },
    );
}
