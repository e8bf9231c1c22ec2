//! How well a score tells right from wrong.

/// The probability that a right one scores higher than a wrong one, ties counting half: the area under the curve of hits over
/// false alarms. `None` where there are none of either.
pub(super) fn auroc(right: &[f64], wrong: &[f64]) -> Option<f64> {
    let wins: f64 = right
        .iter()
        .flat_map(|r| {
            wrong.iter().map(move |w| {
                if r > w {
                    1.0
                } else if r == w {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    let pairs = right.len() * wrong.len();
    (pairs > 0).then(|| wins / pairs as f64)
}

/// The threshold for which the share of right ones at or above it and of wrong ones below it have the largest sum (Youden,
/// 1950), and both shares: midway between the two scores that it separates. `None` where there are none of either.
pub(super) fn best_threshold(right: &[f64], wrong: &[f64]) -> Option<(f64, f64, f64)> {
    let mut scores: Vec<f64> = right.iter().chain(wrong).copied().collect();
    scores.sort_by(f64::total_cmp);
    scores.dedup();
    if right.is_empty() || wrong.is_empty() {
        return None;
    }
    let share = |of: &[f64], is: &dyn Fn(f64) -> bool| {
        of.iter().filter(|score| is(**score)).count() as f64 / of.len() as f64
    };
    let judged = |threshold: f64| {
        (threshold, share(right, &|score| score >= threshold), share(wrong, &|score| score < threshold))
    };
    let between = scores.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    let candidates = scores.first().copied().into_iter().chain(between);
    candidates.map(judged).max_by(|a, b| (a.1 + a.2).total_cmp(&(b.1 + b.2)))
}

/// The smallest threshold that at most a share of `passing` of the scores is at or above: midway between the two scores that it
/// separates. `None` where there are no scores, or where no threshold between two of them is so high.
pub(super) fn threshold_passed_by(scores: &[f64], passing: f64) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Shares of whole scores, that rounding must not turn into one less.
    let pass = (passing * sorted.len() as f64 + 1e-9).floor() as usize;
    let first = sorted.len().checked_sub(pass)?;
    let below = sorted[..first].last()?;
    sorted[first..].iter().find(|score| *score > below).map(|above| f64::midpoint(*below, *above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_pass_as_may() {
        let scores = [0.0, 0.3, 0.1, 0.5];
        assert_eq!(threshold_passed_by(&scores, 0.25), Some(0.4));
        assert_eq!(threshold_passed_by(&scores, 0.5), Some(0.2));
        assert_eq!(threshold_passed_by(&scores, 0.0), None);
        assert_eq!(threshold_passed_by(&scores, 1.0), None);
        // Equal scores pass together or not at all.
        assert_eq!(threshold_passed_by(&[0.0, 0.0, 0.0, 1.0], 0.5), Some(0.5));
        assert_eq!(threshold_passed_by(&[], 0.5), None);
    }

    #[test]
    fn worked_out_by_hand() {
        assert_eq!(auroc(&[3.0, 2.0], &[1.0, 0.0]), Some(1.0));
        assert_eq!(auroc(&[3.0, 1.0], &[2.0, 0.0]), Some(0.75));
        assert_eq!(auroc(&[1.0], &[1.0]), Some(0.5));
        assert_eq!(auroc(&[], &[1.0]), None);
    }

    #[test]
    fn the_threshold_lies_between() {
        assert_eq!(best_threshold(&[0.75, 1.0], &[0.25, 0.0]), Some((0.5, 1.0, 1.0)));
        // One wrong one above all right ones cannot be told from them.
        let (threshold, hits, rejected) = best_threshold(&[0.8, 0.7], &[0.9, 0.5, 0.1, 0.0]).unwrap();
        assert!((threshold - 0.6).abs() < 1e-12 && hits == 1.0 && rejected == 0.75);
        assert_eq!(best_threshold(&[], &[]), None);
    }
}
