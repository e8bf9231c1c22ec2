//! Matrix products of bf16 values, summed in `f32`, where the processor has instructions for them.

#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod unit;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_unit.rs"]
mod unit;

use half::bf16;

pub(crate) use unit::Bf16Unit;

/// A left side in bf16: row `m` is the runs of `width` values that begin at `starts[m] + taps[0]`, at `starts[m] + taps[1]`, and so on.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only the instructions read it"))]
pub(crate) struct Runs<'a> {
    pub(super) data: &'a [bf16],
    pub(super) starts: &'a [usize],
    pub(super) taps: &'a [usize],
    pub(super) width: usize,
}

impl<'a> Runs<'a> {
    /// `width` is even.
    pub(crate) fn new(data: &'a [bf16], starts: &'a [usize], taps: &'a [usize], width: usize) -> Self {
        let last = |of: &[usize]| of.iter().copied().max().unwrap_or(0);
        assert!(width.is_multiple_of(2), "pairs are multiplied");
        let end = last(starts) + last(taps) + width;
        assert!(starts.is_empty() || end <= data.len(), "runs reach outside their slice");
        Self { data, starts, taps, width }
    }
}

/// A right side.
#[derive(Clone, Copy)]
pub(crate) enum RightSide<'a> {
    /// Value `k`, counted through all runs, of column `n` is `w[n * length + k]`.
    InColumns { w: &'a [bf16], length: usize },
    /// Value `k` of run `t` of column `n` is `w[bases[t] + k * stride + n]`.
    InRows { w: &'a [bf16], bases: &'a [usize], stride: usize },
}

impl RightSide<'_> {
    /// Panics where it has not `cols` columns of the length of `left`'s rows.
    pub(super) fn check(&self, left: &Runs<'_>, cols: usize) {
        let (taps, width) = (left.taps.len(), left.width);
        let fits = match *self {
            Self::InColumns { w, length } => length == taps * width && cols * length <= w.len(),
            Self::InRows { w, bases, stride } => {
                let last = bases.iter().copied().max().unwrap_or(0);
                bases.len() == taps && (width == 0 || last + (width - 1) * stride + cols <= w.len())
            }
        };
        assert!(fits, "the right side has other sizes than the left one");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::kernels::raw::build;

    #[test]
    fn values_are_rounded_to_the_nearest() {
        let Some(unit) = Bf16Unit::detect() else { return };
        // More than a vector; ties; what is no number.
        let mut x: Vec<f32> = (0..37).map(|at| 1.0 + at as f32 / 256.0).collect();
        x.extend([-0.0, 1e-40, f32::INFINITY, -3.4e38, 65504.0]);
        let mut rounded = vec![bf16::ZERO; x.len()];
        unit.round(&x, &mut rounded);
        for (x, rounded) in x.iter().zip(&rounded) {
            let normal = if x.is_subnormal() { 0.0 } else { *x };
            assert_eq!(rounded.to_bits(), bf16::from_f32(normal).to_bits(), "{x}");
        }
        unit.round(&[f32::NAN; 17], &mut rounded[..17]);
        assert!(rounded[..17].iter().all(|value| value.is_nan()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_are_sums_of_products(
            seed in 0u64..1000, rows in 1usize..60, pairs in 1usize..40, runs in 1usize..4, cols in 1usize..90, in_rows in any::<bool>(),
        ) {
            // Without the instructions there is nothing to test.
            let Some(unit) = Bf16Unit::detect() else { return Ok(()) };
            let (width, gap) = (2 * pairs, 3);
            let length = runs * width;
            let mut stream = ChaCha8Rng::seed_from_u64(seed);
            let mut drawn = |count: usize| -> Vec<f32> { (0..count).map(|_| stream.random_range(-1.0..1.0)).collect() };
            let rounded = |x: Vec<f32>| {
                let mut values = vec![bf16::ZERO; x.len()];
                unit.round(&x, &mut values);
                values
            };
            // Rows overlap, as those of a convolution do.
            let starts: Vec<usize> = (0..rows).rev().map(|row| row * gap).collect();
            let taps: Vec<usize> = (0..runs).map(|run| run * (width + 1)).collect();
            let data = rounded(drawn((rows - 1) * gap + (runs - 1) * (width + 1) + width));
            let w = rounded(drawn(length * cols));
            let bias = drawn(cols);
            // Runs of the right side from the last to the first.
            let bases: Vec<usize> = (0..runs).rev().map(|run| run * width * cols).collect();
            let right = if in_rows {
                RightSide::InRows { w: &w, bases: &bases, stride: cols }
            } else {
                RightSide::InColumns { w: &w, length }
            };
            let left = Runs::new(&data, &starts, &taps, width);
            let y = build(rows * cols, rows * cols, |_, y| unit.product(y, &left, right, cols, Some(&bias)));
            for (row, y) in y.chunks_exact(cols).enumerate() {
                for (col, y) in y.iter().enumerate() {
                    let product = |k: usize| {
                        let x = data[starts[row] + taps[k / width] + k % width];
                        let w = if in_rows { w[bases[k / width] + k % width * cols + col] } else { w[col * length + k] };
                        x.to_f64() * w.to_f64()
                    };
                    let wanted = f64::from(bias[col]) + (0..length).map(product).sum::<f64>();
                    let size = f64::from(bias[col]).abs() + (0..length).map(|k| product(k).abs()).sum::<f64>();
                    prop_assert!((f64::from(*y) - wanted).abs() <= 1e-6 * size, "{y} instead of {wanted}");
                }
            }
        }
    }
}
