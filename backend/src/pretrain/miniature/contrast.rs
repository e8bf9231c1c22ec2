//! Supervised contrast (Khosla et al., 2020): pictures of one identity are to be nearer to each other than to any other's.

/// How sharply neighbours are told apart.
const TEMPERATURE: f32 = 0.1;

/// The mean loss of vectors (`width` values each) of the identities `who`, and its derivatives by all values. Only angles
/// count. A vector whose identity nobody shares has no loss of its own.
pub(super) fn contrast(vectors: &[f32], width: usize, who: &[usize]) -> (f64, Vec<f32>) {
    let count = who.len();
    let lengths: Vec<f32> = vectors
        .chunks_exact(width)
        .map(|vector| vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12))
        .collect();
    let unit: Vec<f32> = vectors
        .chunks_exact(width)
        .zip(&lengths)
        .flat_map(|(vector, length)| vector.iter().map(move |v| v / length))
        .collect();
    let of = |index: usize| &unit[index * width..(index + 1) * width];
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let anchors: Vec<usize> =
        (0..count).filter(|&i| (0..count).any(|j| j != i && who[j] == who[i])).collect();
    let share = 1.0 / anchors.len().max(1) as f32;
    let mut loss = 0f64;
    // Derivatives by the directions.
    let mut slopes = vec![0f32; unit.len()];
    for &anchor in &anchors {
        let scores: Vec<f32> = (0..count).map(|other| dot(of(anchor), of(other)) / TEMPERATURE).collect();
        let others = || (0..count).filter(|&other| other != anchor);
        let most = others().map(|other| scores[other]).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = others().map(|other| (scores[other] - most).exp()).sum();
        let alike = others().filter(|&other| who[other] == who[anchor]).count() as f32;
        for other in others() {
            let mut slope = (scores[other] - most).exp() / sum;
            if who[other] == who[anchor] {
                slope -= 1.0 / alike;
                loss += f64::from(share / alike * (most + sum.ln() - scores[other]));
            }
            let slope = share * slope / TEMPERATURE;
            for i in 0..width {
                slopes[anchor * width + i] += slope * unit[other * width + i];
                slopes[other * width + i] += slope * unit[anchor * width + i];
            }
        }
    }
    for (index, slopes) in slopes.chunks_exact_mut(width).enumerate() {
        let along = dot(slopes, of(index));
        for (slope, unit) in slopes.iter_mut().zip(of(index)) {
            *slope = (*slope - along * unit) / lengths[index];
        }
    }
    (loss, slopes)
}

#[cfg(test)]
mod tests {
    use mudi_domain::rng;

    use super::*;

    #[test]
    fn derivatives_are_differences() {
        const STEP: f32 = 1e-2;
        let vectors = rng::normal(&mut rng::stream(5, "test", 0), 35);
        let who = [0, 1, 0, 2, 1, 3, 0];
        let (_, slopes) = contrast(&vectors, 5, &who);
        for at in 0..vectors.len() {
            let moved = |step: f32| {
                let mut moved = vectors.clone();
                moved[at] += step;
                contrast(&moved, 5, &who).0
            };
            let difference = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            assert!((f64::from(slopes[at]) - difference).abs() < 5e-3, "{at}: {}, {difference}", slopes[at]);
        }
    }

    #[test]
    fn apart_is_better_than_mixed() {
        let apart = [1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.1, 0.9];
        let who = |of: [usize; 4]| contrast(&apart, 2, &of).0;
        assert!(who([0, 0, 1, 1]) < 0.1 && who([0, 1, 0, 1]) > 1.0);
        // Nobody to be near to.
        assert_eq!(contrast(&apart, 2, &[0, 1, 2, 3]), (0.0, vec![0.0; 8]));
    }
}
