//! Attention's values against plain loops in double precision.
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use mudi_diffusion::{Engine, ScoreBias};
use proptest::prelude::*;

mod common;
use common::{assert_close, drawn, engines};

/// Multi-head attention, one query of one head at a time; `bias(sample, head, query, key)` is added to scores.
fn attend_with(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    [batch, queries, keys, heads, width]: [usize; 5],
    bias: impl Fn([usize; 4]) -> f64,
) -> Vec<f64> {
    let channels = heads * width;
    let mut y = vec![0.0; batch * queries * channels];
    for (b, i, h) in
        (0..batch).flat_map(|b| (0..queries).flat_map(move |i| (0..heads).map(move |h| (b, i, h))))
    {
        let q = &q[(b * queries + i) * channels + h * width..][..width];
        let of = |x: &[f64], j: usize, c: usize| x[(b * keys + j) * channels + h * width + c];
        let score = |j| {
            (0..width).map(|c| q[c] * of(k, j, c)).sum::<f64>() / (width as f64).sqrt() + bias([b, h, i, j])
        };
        let weights: Vec<f64> = (0..keys).map(|j| f64::exp(score(j))).collect();
        let total: f64 = weights.iter().sum();
        for c in 0..width {
            y[(b * queries + i) * channels + h * width + c] =
                (0..keys).map(|j| weights[j] * of(v, j, c)).sum::<f64>() / total;
        }
    }
    y
}

fn check_attention(sizes: [usize; 5], causal: bool) {
    let [batch, queries, keys, heads, width] = sizes;
    let (q, qv) = drawn(1, &[batch, queries, heads * width]);
    let (k, kv) = drawn(2, &[batch, keys, heads * width]);
    let (v, vv) = drawn(3, &[batch, keys, heads * width]);
    let hidden = |[_, _, query, key]: [usize; 4]| if causal && key > query { f64::NEG_INFINITY } else { 0.0 };
    let expected = attend_with(&qv, &kv, &vv, sizes, hidden);
    for engine in engines() {
        let y = engine.attention(&q, &k, &v, heads, causal).unwrap();
        assert_close(&y, &[batch, queries, heads * width], &expected);
    }
}

fn check_biased_attention([batch, queries, keys, heads, width]: [usize; 5], each_sample: bool) {
    let sizes = [batch, queries, keys, heads, width];
    let (q, qv) = drawn(1, &[batch, queries, heads * width]);
    let (k, kv) = drawn(2, &[batch, keys, heads * width]);
    let (v, vv) = drawn(3, &[batch, keys, heads * width]);
    let (bias, bv) = drawn(4, &[if each_sample { batch * heads } else { heads }, queries, keys]);
    let expected = attend_with(&qv, &kv, &vv, sizes, |[b, h, i, j]| {
        let head = if each_sample { b * heads + h } else { h };
        bv[(head * queries + i) * keys + j]
    });
    for engine in engines() {
        let y = engine.biased_attention(&q, &k, &v, heads, ScoreBias::Full(&bias)).unwrap();
        assert_close(&y, &[batch, queries, heads * width], &expected);
    }
}

fn check_relative_attention(batch: usize, grid: [usize; 2], heads: usize, width: usize) {
    let tokens = grid[0] * grid[1];
    let [(q, qv), (k, kv), (v, vv)] = [1, 2, 3].map(|seed| drawn(seed, &[batch, tokens, heads * width]));
    let [h, w] = grid.map(|length| 2 * length - 1);
    let ((rows, rv), (columns, cv)) =
        (drawn(4, &[batch, tokens, heads * h]), drawn(5, &[batch, tokens, heads * w]));
    let expected = attend_with(&qv, &kv, &vv, [batch, tokens, tokens, heads, width], |[b, head, i, j]| {
        let place = (b * tokens + i) * heads + head;
        let [(y, x), (ky, kx)] = [i, j].map(|at| (at / grid[1], at % grid[1]));
        rv[place * h + y + grid[0] - 1 - ky] + cv[place * w + x + grid[1] - 1 - kx]
    });
    for engine in engines() {
        let bias = ScoreBias::Relative { grid, rows: &rows, columns: &columns };
        let y = engine.biased_attention(&q, &k, &v, heads, bias).unwrap();
        assert_close(&y, &[batch, tokens, heads * width], &expected);
    }
}

#[test]
fn attention_over_several_tiles() {
    check_biased_attention([2, 300, 40, 2, 8], true);
    check_relative_attention(2, [13, 14], 2, 8);
    check_attention([2, 300, 300, 2, 8], false);
    check_attention([1, 257, 257, 3, 5], true);
    check_attention([1, 129, 77, 2, 40], false);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attention(batch in 1usize..3, queries in 1usize..20, keys in 1usize..40, heads in 1usize..4, width in 1usize..9, causal in any::<bool>()) {
        check_attention([batch, queries, keys, heads, width], causal);
    }

    #[test]
    fn biased_attention(batch in 1usize..3, queries in 1usize..20, keys in 1usize..40, heads in 1usize..4, width in 1usize..9, each in any::<bool>()) {
        check_biased_attention([batch, queries, keys, heads, width], each);
    }

    #[test]
    fn relative_attention(batch in 1usize..3, height in 1usize..6, columns in 1usize..6, heads in 1usize..4, width in 1usize..9) {
        check_relative_attention(batch, [height, columns], heads, width);
    }
}
