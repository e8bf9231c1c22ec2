//! How far a mask's logits are from the truth, and the slope of that.

use super::focal::{log_sigmoid, sigmoid};

/// Weight of the mean cross entropy beside the dice loss.
const ENTROPY: f32 = 4.0;

/// The loss of one mask's logits for the share of each position that is covered (0..=1): cross entropy and dice
/// (Milletari et al., 2016); its derivatives; and the intersection over union of the masks that are there where a logit is
/// positive and where at least half is covered.
pub(super) fn mask_loss(logits: &[f32], wanted: &[f32]) -> (f32, Vec<f32>, f32) {
    // Counts as one position of both, so that nothing is divided by nothing.
    const ONE: f32 = 1.0;
    let count = logits.len() as f32;
    let found: Vec<f32> = logits.iter().map(|&logit| sigmoid(logit)).collect();
    let both: f32 = found.iter().zip(wanted).map(|(p, t)| p * t).sum();
    let sum: f32 = found.iter().chain(wanted).sum();
    let dice = (2.0 * both + ONE) / (sum + ONE);
    let mut entropy = 0f32;
    let mut slopes = Vec::with_capacity(logits.len());
    for ((logit, p), t) in logits.iter().zip(&found).zip(wanted) {
        entropy -= t * log_sigmoid(*logit) + (1.0 - t) * log_sigmoid(-logit);
        let by_p = -(2.0 * t - dice) / (sum + ONE);
        slopes.push(ENTROPY * (p - t) / count + by_p * p * (1.0 - p));
    }
    let hard = logits.iter().zip(wanted).map(|(logit, t)| (*logit > 0.0, *t >= 0.5));
    let (mut meet, mut union) = (0u32, 0u32);
    for (found, wanted) in hard {
        meet += u32::from(found && wanted);
        union += u32::from(found || wanted);
    }
    let iou = if union == 0 { 1.0 } else { meet as f32 / union as f32 };
    (ENTROPY * entropy / count + 1.0 - dice, slopes, iou)
}

#[cfg(test)]
mod tests {
    use mudi_domain::rng;

    use super::*;

    #[test]
    fn slopes_are_differences() {
        const STEP: f32 = 1e-2;
        let logits: Vec<f32> = rng::normal(&mut rng::stream(1, "test", 0), 12);
        let wanted: Vec<f32> = (0..12).map(|i| [0.0, 1.0, 0.25][i % 3]).collect();
        let (_, slopes, _) = mask_loss(&logits, &wanted);
        for at in 0..logits.len() {
            let moved = |step: f32| {
                let mut logits = logits.clone();
                logits[at] += step;
                mask_loss(&logits, &wanted).0
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!((slopes[at] - difference).abs() < 1e-3, "{at}: {}, {difference}", slopes[at]);
        }
    }

    #[test]
    fn a_sure_and_right_mask_costs_nothing() {
        let (loss, _, iou) = mask_loss(&[30.0, -30.0, 30.0], &[1.0, 0.0, 1.0]);
        assert!(loss < 1e-3 && iou == 1.0);
        assert_eq!(mask_loss(&[-1.0; 4], &[0.0; 4]).2, 1.0);
        assert_eq!(mask_loss(&[1.0, 1.0, -1.0, -1.0], &[1.0, 0.0, 1.0, 0.0]).2, 1.0 / 3.0);
    }
}
