//! Average precision of detections.

/// A detection: how sure, and whether it is right.
pub(super) type Ranked = (f32, bool);

/// The area under the curve of precision over recall, where precision is the best at that recall or a higher one (as for
/// PASCAL VOC since 2010). `there` is how many there were to be found.
pub(super) fn average_precision(mut ranked: Vec<Ranked>, there: usize) -> f64 {
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = 0usize;
    let mut precisions = Vec::new();
    for (rank, (_, hit)) in ranked.into_iter().enumerate() {
        if hit {
            right += 1;
            precisions.push(right as f64 / (rank + 1) as f64);
        }
    }
    let mut best = 0f64;
    let mut area = 0f64;
    for precision in precisions.into_iter().rev() {
        best = best.max(precision);
        area += best;
    }
    if there == 0 { 1.0 } else { area / there as f64 }
}

#[cfg(test)]
mod tests {
    use super::average_precision;

    #[test]
    fn worked_out_by_hand() {
        assert_eq!(average_precision(vec![(0.9, true), (0.8, true)], 2), 1.0);
        // The second hit comes third: precisions 1 and 2/3.
        let ranked = vec![(0.5, true), (0.9, true), (0.7, false)];
        assert!((average_precision(ranked, 2) - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        // A miss before two hits does not lower the first one below what comes later.
        let ranked = vec![(0.9, false), (0.8, true), (0.7, true)];
        assert!((average_precision(ranked, 2) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(average_precision(vec![(0.9, true)], 2), 0.5);
        assert_eq!(average_precision(Vec::new(), 3), 0.0);
    }
}
