//! Focal loss (Lin et al., 2017) of logits, which counts little what is sure already.

/// Weight of what is there; what is not has the rest. OWL-ViT's.
const ALPHA: f32 = 0.3;
/// How little sure answers count: this is the power.
const GAMMA: i32 = 2;

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The logarithm of the sigmoid, finite for every finite `x`.
pub(super) fn log_sigmoid(x: f32) -> f32 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// The loss of one logit, and its derivative.
pub(super) fn focal(logit: f32, there: bool) -> (f32, f32) {
    // What is not there with `x` is there with `-x`.
    let (x, weight, sign) = if there { (logit, ALPHA, 1.0) } else { (-logit, 1.0 - ALPHA, -1.0) };
    let (p, log_p) = (sigmoid(x), log_sigmoid(x));
    let unsure = (1.0 - p).powi(GAMMA);
    let slope = weight * unsure * (GAMMA as f32 * p * log_p - (1.0 - p));
    (-weight * unsure * log_p, sign * slope)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::E;

    use super::*;

    #[test]
    fn slopes_are_differences() {
        for there in [true, false] {
            for x in [-30.0f32, -4.0, -0.5, 0.0, 0.7, 3.0, 30.0] {
                let (loss, slope) = focal(x, there);
                assert!(loss >= 0.0 && loss.is_finite());
                let difference = (focal(x + 1e-2, there).0 - focal(x - 1e-2, there).0) / 2e-2;
                assert!(
                    (slope - difference).abs() < 2e-3 * (1.0 + slope.abs()),
                    "{x}: {slope}, {difference}"
                );
            }
        }
    }

    #[test]
    fn logarithms_of_sigmoids() {
        assert!((log_sigmoid(-1.0) - (1.0 / (1.0 + E)).ln()).abs() < 1e-6);
        assert_eq!(log_sigmoid(-200.0), -200.0);
    }
}
