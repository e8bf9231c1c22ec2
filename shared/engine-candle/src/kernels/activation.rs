//! Pointwise non-linearities and their derivatives, written so that they vectorize.

use mudi_diffusion::Activation;

use super::{par_rows, simd};

/// `e^x`, within two units in the last place; branch free. Cody-Waite reduction and a Taylor polynomial of degree 6.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = (p * r + 1.0) * r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, absolute error below 2e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4 * t - 1.453_152_1;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_72;
    let p = (p * t + 0.254_829_6) * t;
    (1.0 - p * exp(-a * a)).copysign(x)
}

/// The normal distribution function.
#[inline(always)]
fn phi(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * phi(x)
}

#[inline(always)]
fn gelu_derivative(x: f32) -> f32 {
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    phi(x) + x * INV_SQRT_TAU * exp(-0.5 * x * x)
}

#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
pub(crate) fn silu_derivative(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

const QUICK: f32 = 1.702;

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    simd(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f(x);
            }
        },
    );
}

/// The function at each value.
pub(crate) fn forward(x: &[f32], kind: Activation) -> Vec<f32> {
    par_rows(x.len(), 1, |first, y| {
        let x = &x[first..first + y.len()];
        match kind {
            Activation::Silu => map(x, y, silu),
            Activation::Gelu => map(x, y, gelu),
            Activation::QuickGelu => map(x, y, |x| x * sigmoid(QUICK * x)),
        }
    })
}

/// `dy` times the derivative at each value.
pub(crate) fn gradient(x: &[f32], dy: &[f32], kind: Activation) -> Vec<f32> {
    par_rows(x.len(), 1, |first, dx| {
        let x = &x[first..first + dx.len()];
        match kind {
            Activation::Silu => map(x, dx, silu_derivative),
            Activation::Gelu => map(x, dx, gelu_derivative),
            Activation::QuickGelu => map(x, dx, |x| {
                let s = sigmoid(QUICK * x);
                s * (1.0 + QUICK * x * (1.0 - s))
            }),
        }
        let dy = &dy[first..first + dx.len()];
        simd(
            #[inline(always)]
            || {
                for (dx, dy) in dx.iter_mut().zip(dy) {
                    *dx *= dy;
                }
            },
        );
    })
}

/// `x [.., 2 C]` to `a * gelu(b)`, `[.., C]`.
pub(crate) fn geglu(x: &[f32], width: usize) -> Vec<f32> {
    par_rows(x.len() / 2, width, |first, rows| {
        simd(
            #[inline(always)]
            || {
                for (y, x) in rows.chunks_exact_mut(width).zip(x[2 * first * width..].chunks_exact(2 * width))
                {
                    let (a, b) = x.split_at(width);
                    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                        *y = a * gelu(b);
                    }
                }
            },
        );
    })
}

/// Gradient of [`geglu`]'s input.
pub(crate) fn geglu_gradient(x: &[f32], dy: &[f32], width: usize) -> Vec<f32> {
    par_rows(x.len(), 2 * width, |first, rows| {
        simd(
            #[inline(always)]
            || {
                let inputs = x[2 * first * width..].chunks_exact(2 * width);
                let gradients = dy[first * width..].chunks_exact(width);
                for ((dx, x), dy) in rows.chunks_exact_mut(2 * width).zip(inputs).zip(gradients) {
                    let (da, db) = dx.split_at_mut(width);
                    let (a, b) = x.split_at(width);
                    for ((((da, db), &a), &b), &dy) in da.iter_mut().zip(db).zip(a).zip(b).zip(dy) {
                        *da = dy * gelu(b);
                        *db = dy * a * gelu_derivative(b);
                    }
                }
            },
        );
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_erf_are_as_exact_as_they_say() {
        for i in -8000..8000 {
            let x = i as f32 * 0.01;
            assert!((exp(x) / x.exp() - 1.0).abs() < 3e-7, "exp({x})");
        }
        assert_eq!(exp(-1000.0), exp(-87.0));
        // Values of erf to seven places.
        for (x, y) in
            [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (-1.0, -0.842_700_8)]
        {
            assert!((erf(x) - y).abs() < 3e-7, "erf({x}) = {}", erf(x));
        }
    }
}
