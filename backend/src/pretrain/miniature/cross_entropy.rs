//! Cross entropy of logits, one of which is right.

/// The loss, times `weight`; its derivatives are added to `slopes`, one for each logit.
pub(super) fn cross_entropy(logits: &[f32], right: usize, weight: f32, slopes: &mut [f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    for (at, (slope, logit)) in slopes.iter_mut().zip(logits).enumerate() {
        let share = (logit - most).exp() / sum;
        *slope += weight * (share - f32::from(at == right));
    }
    weight * (most + sum.ln() - logits[right])
}
