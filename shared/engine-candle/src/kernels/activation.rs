//! Pointwise non-linearities and their derivatives, written so that they vectorize.

use mudi_diffusion::Activation;

use super::raw::{Fresh, build, map, map2};
use super::{CHUNK, par_rows, simd};

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

/// The normal distribution's function and density. With the error function of Abramowitz and Stegun, 7.1.26, whose
/// absolute error is below 2e-7; its exponential is the density's.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let p = 1.061_405_4 * t - 1.453_152_1;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_72;
    let p = (p * t + 0.254_829_6) * t;
    // The tail beyond |x|.
    let tail = 0.5 * p * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, INV_SQRT_TAU * bell)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * normal(x).0
}

#[inline(always)]
fn gelu_derivative(x: f32) -> f32 {
    let (phi, density) = normal(x);
    phi + x * density
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

/// Near 0 by the series, where a difference of two numbers next to 1 would have few digits left.
#[inline(always)]
fn elu(x: f32) -> f32 {
    let p = x * (1.0 / 40320.0) + 1.0 / 5040.0;
    let p = p * x + 1.0 / 720.0;
    let p = p * x + 1.0 / 120.0;
    let p = p * x + 1.0 / 24.0;
    let p = p * x + 1.0 / 6.0;
    let p = p * x + 0.5;
    let near = (p * x + 1.0) * x;
    let below = if x > -0.5 { near } else { exp(x) - 1.0 };
    if x > 0.0 { x } else { below }
}

const QUICK: f32 = 1.702;

/// Calls `f` with vectors as wide as the processor's.
#[inline(always)]
fn each<'a>(y: &'a mut Fresh, x: &[f32], f: impl Fn(f32) -> f32) -> &'a mut [f32] {
    simd(
        #[inline(always)]
        || map(y, x, f),
    )
}

/// The function at each value.
pub(crate) fn forward(x: &[f32], kind: Activation) -> Vec<f32> {
    build(x.len(), CHUNK, |index, y| {
        let x = &x[index * CHUNK..];
        match kind {
            Activation::Silu => each(y, x, silu),
            Activation::Gelu => each(y, x, gelu),
            Activation::QuickGelu => each(y, x, |x| x * sigmoid(QUICK * x)),
            Activation::Relu => each(y, x, |x| x.max(0.0)),
            Activation::Elu => each(y, x, elu),
        }
    })
}

#[inline(always)]
fn each2<'a>(dx: &'a mut Fresh, x: &[f32], dy: &[f32], f: impl Fn(f32) -> f32) -> &'a mut [f32] {
    simd(
        #[inline(always)]
        || map2(dx, x, dy, |x, dy| dy * f(x)),
    )
}

/// `dy` times the derivative at each value.
pub(crate) fn gradient(x: &[f32], dy: &[f32], kind: Activation) -> Vec<f32> {
    build(x.len(), CHUNK, |index, dx| {
        let (x, dy) = (&x[index * CHUNK..], &dy[index * CHUNK..]);
        match kind {
            Activation::Silu => each2(dx, x, dy, silu_derivative),
            Activation::Gelu => each2(dx, x, dy, gelu_derivative),
            Activation::QuickGelu => each2(dx, x, dy, |x| {
                let s = sigmoid(QUICK * x);
                s * (1.0 + QUICK * x * (1.0 - s))
            }),
            Activation::Relu => each2(dx, x, dy, |x| if x > 0.0 { 1.0 } else { 0.0 }),
            Activation::Elu => each2(dx, x, dy, |x| if x > 0.0 { 1.0 } else { exp(x) }),
        }
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
                    for ((da, &b), &dy) in da.iter_mut().zip(b).zip(dy) {
                        *da = dy * gelu(b);
                    }
                    for (((db, &a), &b), &dy) in db.iter_mut().zip(a).zip(b).zip(dy) {
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
    fn exp_and_the_normal_distribution_are_as_exact_as_they_say() {
        for i in -8000..8000 {
            let x = i as f32 * 0.01;
            assert!((exp(x) / x.exp() - 1.0).abs() < 3e-7, "exp({x})");
        }
        assert_eq!(exp(-1000.0), exp(-87.0));
        // Values of the distribution function to seven places.
        for (x, y) in [(0.0, 0.5), (0.5, 0.691_462_5), (1.0, 0.841_344_7), (-2.0, 0.022_750_1), (-6.0, 0.0)] {
            let (phi, density) = normal(x);
            assert!((phi - y).abs() < 2e-7, "Phi({x}) = {phi}");
            assert!((density - 0.398_942_3 * (-0.5 * x * x).exp()).abs() < 1e-7, "density({x}) = {density}");
        }
    }
}
