//! OWLv2's resize along one axis: a Gaussian that takes away what the new size cannot show, then linear interpolation.

/// The pixels that make up a new one, by index, with a weight for each; the weights sum to 1.
pub(super) type Tap = Vec<(usize, f32)>;

/// The taps from `from` pixels to `to`, both at least 1.
///
/// The Gaussian has a deviation of `(from / to - 1) / 2` pixels, reaches three deviations, and reflects at the borders;
/// interpolation repeats the outermost pixels. Both are linear, so their product is one list of weights.
pub(super) fn taps(from: usize, to: usize) -> Vec<Tap> {
    let factor = from as f64 / to as f64;
    let deviation = ((factor - 1.0) / 2.0).max(0.0);
    let kernel = gaussian(deviation);
    let radius = (kernel.len() / 2) as i64;
    (0..to)
        .map(|index| {
            let position = ((index as f64 + 0.5) * factor - 0.5).max(0.0);
            let first = (position as usize).min(from - 1);
            let second = (first + 1).min(from - 1);
            let share = position - first as f64;
            let mut tap = Tap::with_capacity(2 * kernel.len());
            for (center, weight) in [(first, 1.0 - share), (second, share)] {
                if weight != 0.0 {
                    let at = |offset: usize| reflect(center as i64 + offset as i64 - radius, from);
                    tap.extend(kernel.iter().enumerate().map(|(k, g)| (at(k), (g * weight) as f32)));
                }
            }
            tap
        })
        .collect()
}

/// A Gaussian that sums to 1, of an odd length; alone 1 for a deviation of 0.
fn gaussian(deviation: f64) -> Vec<f64> {
    let radius = (3.0 * deviation).ceil() as i64;
    let at = |x: i64| if x == 0 { 1.0 } else { (-0.5 * (x as f64 / deviation).powi(2)).exp() };
    let sum: f64 = (-radius..=radius).map(at).sum();
    (-radius..=radius).map(|x| at(x) / sum).collect()
}

/// The pixel that a position outside of `0..length` shows, mirrored at the middle of the outermost pixels.
fn reflect(position: i64, length: usize) -> usize {
    let last = length as i64 - 1;
    if last == 0 {
        return 0;
    }
    let folded = position.rem_euclid(2 * last);
    (if folded > last { 2 * last - folded } else { folded }) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn borders_are_mirrored() {
        assert_eq!(
            (-4..8).map(|at| reflect(at, 4)).collect::<Vec<_>>(),
            [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
        );
        assert_eq!(reflect(-5, 1), 0);
    }

    proptest! {
        #[test]
        fn weights_sum_to_one(from in 1usize..300, to in 1usize..60) {
            for tap in taps(from, to) {
                let sum: f32 = tap.iter().map(|(_, weight)| weight).sum();
                prop_assert!((sum - 1.0).abs() < 1e-4);
                prop_assert!(tap.iter().all(|&(at, weight)| at < from && weight >= 0.0));
            }
        }
    }
}
