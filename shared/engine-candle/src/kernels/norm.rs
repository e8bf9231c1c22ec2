//! Group and layer normalization, forward and gradients.

use rayon::prelude::*;

use super::activation::{silu, silu_derivative};
use super::simd;

/// Sizes of a group normalization of `[B, positions, channels]`.
#[derive(Clone, Copy)]
pub(crate) struct GroupShape {
    pub(crate) positions: usize,
    pub(crate) channels: usize,
    pub(crate) groups: usize,
    pub(crate) eps: f32,
    /// SiLU after the normalization.
    pub(crate) silu: bool,
}

impl GroupShape {
    fn sample(&self) -> usize {
        self.positions * self.channels
    }

    /// Sums `per channel` values over each group.
    fn over_groups(&self, per_channel: &[f64]) -> Vec<f64> {
        per_channel.chunks_exact(self.channels / self.groups).map(|group| group.iter().sum()).collect()
    }

    fn group_of(&self, channel: usize) -> usize {
        channel / (self.channels / self.groups)
    }

    fn count(&self) -> f64 {
        (self.positions * self.channels / self.groups) as f64
    }
}

/// Sum of `f(channel, value)` over positions, for each channel; blocks keep rounding errors small.
#[inline(always)]
fn channel_sums(x: &[f32], channels: usize, f: impl Fn(usize, f32) -> f32) -> Vec<f64> {
    let mut sums = vec![0f64; channels];
    let mut partial = vec![0f32; channels];
    for block in x.chunks(32 * channels) {
        partial.fill(0.0);
        for row in block.chunks_exact(channels) {
            for (c, (sum, &value)) in partial.iter_mut().zip(row).enumerate() {
                *sum += f(c, value);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(&partial) {
            *sum += f64::from(value);
        }
    }
    sums
}

/// Mean and reciprocal standard deviation of each group of one sample, spread to channels.
fn statistics(x: &[f32], shape: &GroupShape) -> (Vec<f32>, Vec<f32>) {
    let means: Vec<f64> = simd(
        #[inline(always)]
        || shape.over_groups(&channel_sums(x, shape.channels, |_, value| value)),
    )
    .iter()
    .map(|sum| sum / shape.count())
    .collect();
    let mean: Vec<f32> = (0..shape.channels).map(|c| means[shape.group_of(c)] as f32).collect();
    let squares = simd(
        #[inline(always)]
        || {
            let mean = mean.as_slice();
            shape.over_groups(&channel_sums(x, shape.channels, |c, value| {
                let d = value - mean[c];
                d * d
            }))
        },
    );
    let rstd: Vec<f64> =
        squares.iter().map(|sum| 1.0 / (sum / shape.count() + f64::from(shape.eps)).sqrt()).collect();
    let rstd = (0..shape.channels).map(|c| rstd[shape.group_of(c)] as f32).collect();
    (mean, rstd)
}

/// Mean and reciprocal standard deviation, `[B, C]` each.
pub(crate) struct Statistics {
    mean: Vec<f32>,
    rstd: Vec<f32>,
}

/// Normalizes `x [B, positions, C]`.
pub(crate) fn group_norm(x: &[f32], w: &[f32], b: &[f32], shape: &GroupShape) -> (Vec<f32>, Statistics) {
    let mut y = vec![0f32; x.len()];
    let channels = shape.channels;
    let parts: Vec<(Vec<f32>, Vec<f32>)> = x
        .par_chunks(shape.sample())
        .zip(y.par_chunks_mut(shape.sample()))
        .map(|(x, y)| {
            let (mean, rstd) = statistics(x, shape);
            let scale: Vec<f32> = rstd.iter().zip(w).map(|(rstd, w)| rstd * w).collect();
            let shift: Vec<f32> =
                mean.iter().zip(&scale).zip(b).map(|((mean, scale), b)| b - mean * scale).collect();
            simd(
                #[inline(always)]
                || {
                    for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                        for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
                            *y = x * scale + shift;
                        }
                    }
                    if shape.silu {
                        for y in y.iter_mut() {
                            *y = silu(*y);
                        }
                    }
                },
            );
            (mean, rstd)
        })
        .collect();
    let (mut mean, mut rstd) = (Vec::new(), Vec::new());
    for (m, r) in parts {
        mean.extend(m);
        rstd.extend(r);
    }
    (y, Statistics { mean, rstd })
}

/// Gradients of the input, the scale and the shift.
pub(crate) fn group_norm_gradient(
    x: &[f32],
    dy: &[f32],
    w: &[f32],
    b: &[f32],
    statistics: &Statistics,
    shape: &GroupShape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let channels = shape.channels;
    let mut dx = vec![0f32; x.len()];
    let sums: Vec<(Vec<f64>, Vec<f64>)> = x
        .par_chunks(shape.sample())
        .zip(dy.par_chunks(shape.sample()))
        .zip(dx.par_chunks_mut(shape.sample()))
        .zip(statistics.mean.par_chunks(channels).zip(statistics.rstd.par_chunks(channels)))
        .map(|(((x, dy), dx), (mean, rstd))| sample_gradient(x, dy, dx, [w, b, mean, rstd], shape))
        .collect();
    let mut dw = vec![0f64; channels];
    let mut db = vec![0f64; channels];
    for (sum, dot) in &sums {
        for c in 0..channels {
            db[c] += sum[c];
            dw[c] += dot[c];
        }
    }
    let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    (dx, narrow(dw), narrow(db))
}

/// One sample of [`group_norm_gradient`]; returns, for each channel, the sums of the gradient and of the gradient times the
/// normalized input.
fn sample_gradient(
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    [w, b, mean, rstd]: [&[f32]; 4],
    shape: &GroupShape,
) -> (Vec<f64>, Vec<f64>) {
    let channels = shape.channels;
    let scale: Vec<f32> = rstd.iter().zip(w).map(|(rstd, w)| rstd * w).collect();
    let shift: Vec<f32> = mean.iter().zip(&scale).zip(b).map(|((mean, scale), b)| b - mean * scale).collect();
    // The gradient before the activation goes into `dx` for now.
    simd(
        #[inline(always)]
        || {
            if shape.silu {
                for ((dx, dy), x) in
                    dx.chunks_exact_mut(channels).zip(dy.chunks_exact(channels)).zip(x.chunks_exact(channels))
                {
                    for ((((dx, &dy), &x), &scale), &shift) in
                        dx.iter_mut().zip(dy).zip(x).zip(&scale).zip(&shift)
                    {
                        *dx = dy * silu_derivative(x * scale + shift);
                    }
                }
            } else {
                dx.copy_from_slice(dy);
            }
        },
    );
    let mut sum = vec![0f64; channels];
    let mut dot = vec![0f64; channels];
    simd(
        #[inline(always)]
        || {
            let mut partial_sum = vec![0f32; channels];
            let mut partial_dot = vec![0f32; channels];
            for (dx, x) in dx.chunks(32 * channels).zip(x.chunks(32 * channels)) {
                partial_sum.fill(0.0);
                partial_dot.fill(0.0);
                for (dx, x) in dx.chunks_exact(channels).zip(x.chunks_exact(channels)) {
                    for ((((s, d), &dx), &x), &mean) in
                        partial_sum.iter_mut().zip(&mut partial_dot).zip(dx).zip(x).zip(mean)
                    {
                        *s += dx;
                        *d += dx * (x - mean);
                    }
                }
                for c in 0..channels {
                    sum[c] += f64::from(partial_sum[c]);
                    dot[c] += f64::from(partial_dot[c] * rstd[c]);
                }
            }
        },
    );
    let weighted = |v: &[f64]| -> Vec<f64> {
        let weighted: Vec<f64> = v.iter().zip(w).map(|(v, &w)| v * f64::from(w)).collect();
        shape.over_groups(&weighted).iter().map(|sum| sum / shape.count()).collect()
    };
    let (group_sum, group_dot) = (weighted(&sum), weighted(&dot));
    // dx = rstd * (w * dn - mean(w dn) - xhat * mean(w dn xhat)), as a line in dn and x for each channel.
    let mut from_x = vec![0f32; channels];
    let mut constant = vec![0f32; channels];
    for c in 0..channels {
        let (rstd, group) = (f64::from(rstd[c]), shape.group_of(c));
        let slope = -rstd * rstd * group_dot[group];
        from_x[c] = slope as f32;
        constant[c] = (-rstd * group_sum[group] - slope * f64::from(mean[c])) as f32;
    }
    simd(
        #[inline(always)]
        || {
            for (dx, x) in dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for ((((dx, &x), &scale), &slope), &constant) in
                    dx.iter_mut().zip(x).zip(&scale).zip(&from_x).zip(&constant)
                {
                    *dx = *dx * scale + x * slope + constant;
                }
            }
        },
    );
    (sum, dot)
}

/// Sum in sixteen lanes, which vectorizes and keeps rounding errors small.
#[inline(always)]
pub(crate) fn lane_sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; 16];
    let chunks = x.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|&x| f(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn row_statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = lane_sum(x, |x| x) / x.len() as f32;
    let variance = lane_sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Normalizes each row of `x [rows, width]`.
pub(crate) fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32) -> Vec<f32> {
    let width = w.len();
    super::par_rows(x.len(), width, |first, rows| {
        simd(
            #[inline(always)]
            || {
                for (y, x) in rows.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width)) {
                    let (mean, rstd) = row_statistics(x, eps);
                    for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(w).zip(b) {
                        *y = (x - mean) * rstd * w + b;
                    }
                }
            },
        );
    })
}

/// Partial sums of a layer normalization's gradients, whatever the number of threads: the result must not depend on it.
const BANDS: usize = 4;

/// Gradients of the input, the scale and the shift.
pub(crate) fn layer_norm_gradient(
    x: &[f32],
    dy: &[f32],
    w: &[f32],
    eps: f32,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = w.len();
    let mut dx = vec![0f32; x.len()];
    let band = (x.len() / width).div_ceil(BANDS).max(1) * width;
    let parts: Vec<(Vec<f32>, Vec<f32>)> = dx
        .par_chunks_mut(band)
        .zip(x.par_chunks(band).zip(dy.par_chunks(band)))
        .map(|(dx, (x, dy))| {
            let mut dw = vec![0f32; width];
            let mut db = vec![0f32; width];
            let mut weighted = vec![0f32; width];
            let mut hat = vec![0f32; width];
            simd(
                #[inline(always)]
                || {
                    for ((dx, x), dy) in
                        dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width))
                    {
                        let (mean, rstd) = row_statistics(x, eps);
                        for i in 0..width {
                            hat[i] = (x[i] - mean) * rstd;
                            weighted[i] = dy[i] * w[i];
                            dw[i] += dy[i] * hat[i];
                            db[i] += dy[i];
                            dx[i] = weighted[i] * hat[i];
                        }
                        let sum = lane_sum(&weighted, |v| v) / width as f32;
                        let dot = lane_sum(dx, |v| v) / width as f32;
                        for i in 0..width {
                            dx[i] = rstd * (weighted[i] - sum - hat[i] * dot);
                        }
                    }
                },
            );
            (dw, db)
        })
        .collect();
    let mut dw = vec![0f32; width];
    let mut db = vec![0f32; width];
    for (w, b) in parts {
        for i in 0..width {
            dw[i] += w[i];
            db[i] += b[i];
        }
    }
    (dx, dw, db)
}
