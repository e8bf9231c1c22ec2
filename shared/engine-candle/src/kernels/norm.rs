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

/// Elements from which one sample is worth several threads, and elements that each takes then.
const LARGE: usize = 1 << 16;

/// For each channel the sum over positions of the values less its `centre`, or of their squares. Large samples are cut in the same parts
/// whatever the number of threads.
fn channel_sums<const SQUARED: bool>(x: &[f32], centre: &[f32]) -> Vec<f64> {
    let of = |x| {
        simd(
            #[inline(always)]
            || block_sums::<SQUARED>(x, centre),
        )
    };
    if x.len() <= LARGE {
        return of(x);
    }
    let channels = centre.len();
    let parts: Vec<Vec<f64>> = x.par_chunks((LARGE / channels).max(1) * channels).map(of).collect();
    let mut sums = vec![0f64; channels];
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums
}

/// [`channel_sums`] on this thread; blocks keep rounding errors small.
#[inline(always)]
fn block_sums<const SQUARED: bool>(x: &[f32], centre: &[f32]) -> Vec<f64> {
    let channels = centre.len();
    let mut sums = vec![0f64; channels];
    let mut partial = vec![0f32; channels];
    for block in x.chunks(32 * channels) {
        partial.fill(0.0);
        for row in block.chunks_exact(channels) {
            // Zipped, for an index would be checked at each value, and the loop would have no vectors.
            for ((sum, &value), &centre) in partial.iter_mut().zip(row).zip(centre) {
                let d = value - centre;
                *sum += if SQUARED { d * d } else { d };
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
    let means: Vec<f64> = shape
        .over_groups(&channel_sums::<false>(x, &vec![0.0; shape.channels]))
        .iter()
        .map(|sum| sum / shape.count())
        .collect();
    let mean: Vec<f32> = (0..shape.channels).map(|c| means[shape.group_of(c)] as f32).collect();
    let squares = shape.over_groups(&channel_sums::<true>(x, &mean));
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

/// What a group normalization does to each channel of each sample: `y = x * scale + shift`, `[B, C]` each.
fn lines(w: &[f32], b: &[f32], statistics: &Statistics) -> (Vec<f32>, Vec<f32>) {
    let channels = w.len();
    let scale: Vec<f32> =
        statistics.rstd.iter().enumerate().map(|(at, rstd)| rstd * w[at % channels]).collect();
    let shift = statistics.mean.iter().zip(&scale).enumerate();
    let shift = shift.map(|(at, (mean, scale))| b[at % channels] - mean * scale).collect();
    (scale, shift)
}

/// Normalizes `x [B, positions, C]`.
pub(crate) fn group_norm(x: &[f32], w: &[f32], b: &[f32], shape: &GroupShape) -> (Vec<f32>, Statistics) {
    let channels = shape.channels;
    let parts: Vec<(Vec<f32>, Vec<f32>)> =
        x.par_chunks(shape.sample()).map(|x| self::statistics(x, shape)).collect();
    let (mean, rstd): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let statistics = Statistics { mean: mean.concat(), rstd: rstd.concat() };
    let (scale, shift) = lines(w, b, &statistics);
    let y = super::par_rows(x.len(), channels, |first, rows| {
        simd(
            #[inline(always)]
            || {
                let x = x[first * channels..].chunks_exact(channels);
                for (index, (y, x)) in rows.chunks_exact_mut(channels).zip(x).enumerate() {
                    let at = (first + index) / shape.positions * channels;
                    let lines = scale[at..][..channels].iter().zip(&shift[at..][..channels]);
                    let line = y.iter_mut().zip(x).zip(lines);
                    if shape.silu {
                        line.for_each(|((y, x), (scale, shift))| *y = silu(x * scale + shift));
                    } else {
                        line.for_each(|((y, x), (scale, shift))| *y = x * scale + shift);
                    }
                }
            },
        );
    });
    (y, statistics)
}

/// The gradient before the scale and shift, that is, behind the activation.
#[inline(always)]
fn inner(dy: f32, x: f32, scale: f32, shift: f32, silu: bool) -> f32 {
    if silu { dy * silu_derivative(x * scale + shift) } else { dy }
}

/// Gradients of the input, the scale and the shift. The gradient behind the activation is computed twice: that takes less
/// time than to write it down and read it again.
pub(crate) fn group_norm_gradient(
    x: &[f32],
    dy: &[f32],
    w: &[f32],
    b: &[f32],
    statistics: &Statistics,
    shape: &GroupShape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let channels = shape.channels;
    let (scale, shift) = lines(w, b, statistics);
    let sums: Vec<(Vec<f64>, Vec<f64>)> = x
        .par_chunks(shape.sample())
        .zip(dy.par_chunks(shape.sample()))
        .enumerate()
        .map(|(sample, (x, dy))| {
            let of = |values: &'_ [f32]| values[sample * channels..][..channels].to_vec();
            let (sum, mut dot) =
                gradient_sums(x, dy, [&of(&scale), &of(&shift), &of(&statistics.mean)], shape.silu);
            for (dot, rstd) in dot.iter_mut().zip(of(&statistics.rstd)) {
                *dot *= f64::from(rstd);
            }
            (sum, dot)
        })
        .collect();
    // dx = rstd * (w * dn - mean(w dn) - xhat * mean(w dn xhat)), as a line in dn and x for each channel.
    let mut slope = vec![0f32; scale.len()];
    let mut constant = vec![0f32; scale.len()];
    let mut dw = vec![0f64; channels];
    let mut db = vec![0f64; channels];
    for (sample, (sum, dot)) in sums.iter().enumerate() {
        let weighted = |v: &[f64]| -> Vec<f64> {
            let weighted: Vec<f64> = v.iter().zip(w).map(|(v, &w)| v * f64::from(w)).collect();
            shape.over_groups(&weighted).iter().map(|sum| sum / shape.count()).collect()
        };
        let (group_sum, group_dot) = (weighted(sum), weighted(dot));
        for c in 0..channels {
            let (at, group) = (sample * channels + c, shape.group_of(c));
            let (mean, rstd) = (f64::from(statistics.mean[at]), f64::from(statistics.rstd[at]));
            let from_x = -rstd * rstd * group_dot[group];
            slope[at] = from_x as f32;
            constant[at] = (-rstd * group_sum[group] - from_x * mean) as f32;
            db[c] += sum[c];
            dw[c] += dot[c];
        }
    }
    let dx = super::par_rows(x.len(), channels, |first, rows| {
        simd(
            #[inline(always)]
            || {
                let inputs = x[first * channels..].chunks_exact(channels);
                let gradients = dy[first * channels..].chunks_exact(channels);
                for (index, ((dx, x), dy)) in
                    rows.chunks_exact_mut(channels).zip(inputs).zip(gradients).enumerate()
                {
                    let at = (first + index) / shape.positions * channels;
                    let [scale, shift, slope, constant] =
                        [&scale, &shift, &slope, &constant].map(|v| &v[at..][..channels]);
                    let line = dx.iter_mut().zip(x).zip(dy).zip(scale).zip(shift).zip(slope).zip(constant);
                    if shape.silu {
                        line.for_each(|((((((dx, &x), &dy), &scale), &shift), &slope), &constant)| {
                            *dx = inner(dy, x, scale, shift, true) * scale + x * slope + constant;
                        });
                    } else {
                        line.for_each(|((((((dx, &x), &dy), &scale), _), &slope), &constant)| {
                            *dx = dy * scale + x * slope + constant;
                        });
                    }
                }
            },
        );
    });
    let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    (dx, narrow(dw), narrow(db))
}

/// For each channel of one sample, the sums of the inner gradient and of it times the centred input. Large samples are cut
/// in the same parts whatever the number of threads.
fn gradient_sums(x: &[f32], dy: &[f32], lines: [&[f32]; 3], silu: bool) -> (Vec<f64>, Vec<f64>) {
    let channels = lines[0].len();
    let part = (LARGE / channels).max(1) * channels;
    let parts: Vec<(Vec<f64>, Vec<f64>)> = x
        .par_chunks(part)
        .zip(dy.par_chunks(part))
        .map(|(x, dy)| {
            simd(
                #[inline(always)]
                || block_gradient_sums(x, dy, lines, silu),
            )
        })
        .collect();
    let mut parts = parts.into_iter();
    let (mut sum, mut dot) = parts.next().unwrap_or_default();
    for (more_sum, more_dot) in parts {
        for c in 0..channels {
            sum[c] += more_sum[c];
            dot[c] += more_dot[c];
        }
    }
    (sum, dot)
}

/// [`gradient_sums`] on this thread; blocks keep rounding errors small.
#[inline(always)]
fn block_gradient_sums(
    x: &[f32],
    dy: &[f32],
    [scale, shift, mean]: [&[f32]; 3],
    silu: bool,
) -> (Vec<f64>, Vec<f64>) {
    let channels = scale.len();
    let mut sum = vec![0f64; channels];
    let mut dot = vec![0f64; channels];
    let mut partial_sum = vec![0f32; channels];
    let mut partial_dot = vec![0f32; channels];
    for (dy, x) in dy.chunks(32 * channels).zip(x.chunks(32 * channels)) {
        partial_sum.fill(0.0);
        partial_dot.fill(0.0);
        for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            let line = partial_sum.iter_mut().zip(&mut partial_dot).zip(dy).zip(x);
            let line = line.zip(scale).zip(shift).zip(mean);
            if silu {
                line.for_each(|((((((s, d), &dy), &x), &scale), &shift), &mean)| {
                    let dn = inner(dy, x, scale, shift, true);
                    *s += dn;
                    *d += dn * (x - mean);
                });
            } else {
                line.for_each(|((((((s, d), &dy), &x), _), _), &mean)| {
                    *s += dy;
                    *d += dy * (x - mean);
                });
            }
        }
        for c in 0..channels {
            sum[c] += f64::from(partial_sum[c]);
            dot[c] += f64::from(partial_dot[c]);
        }
    }
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

/// Gradients of the input, the scale and the shift; the latter two are zeros unless the layer `learns`.
pub(crate) fn layer_norm_gradient(
    x: &[f32],
    dy: &[f32],
    w: &[f32],
    eps: f32,
    learns: bool,
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
            for ((dx, x), dy) in
                dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width))
            {
                simd(
                    #[inline(always)]
                    || {
                        let (mean, rstd) = row_statistics(x, eps);
                        for (((dx, &dy), &w), &x) in dx.iter_mut().zip(dy).zip(w).zip(x) {
                            *dx = dy * w * ((x - mean) * rstd);
                        }
                        let dot = lane_sum(dx, |v| v) / width as f32;
                        for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(w) {
                            *dx = dy * w;
                        }
                        let sum = lane_sum(dx, |v| v) / width as f32;
                        for (dx, &x) in dx.iter_mut().zip(x) {
                            *dx = rstd * (*dx - sum - (x - mean) * rstd * dot);
                        }
                        if learns {
                            for (((dw, db), &dy), &x) in dw.iter_mut().zip(&mut db).zip(dy).zip(x) {
                                *dw += dy * ((x - mean) * rstd);
                                *db += dy;
                            }
                        }
                    },
                );
            }
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
