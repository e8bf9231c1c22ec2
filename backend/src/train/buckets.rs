//! Sizes of training images with the aspect ratios of photos.

/// Buckets lie this share of the side apart: 64 pixels at 1024, as SDXL was trained.
const SHARE: usize = 16;
/// The longest side, as a multiple of the shortest one.
const LONGEST: usize = 4;

/// Height and width of the training image of a photo of `width` x `height` pixels: the bucket with the nearest aspect ratio.
///
/// Buckets have at most the area of a square of `side` pixels, and sides that are multiples of a sixteenth of it, rounded to
/// `multiple`; the longer side is at most twice that of the square.
pub(super) fn bucket(side: usize, multiple: usize, [width, height]: [usize; 2]) -> [usize; 2] {
    let multiple = multiple.max(1);
    let step = (side / SHARE / multiple * multiple).max(multiple);
    let wanted = (width.max(1) as f64 / height.max(1) as f64).ln();
    let mut best = [side, side];
    let mut distance = wanted.abs();
    let mut across = step;
    while across <= 2 * side {
        let down = (side * side / across / step * step).min(2 * side / step * step);
        if down > 0 && across.max(down) <= LONGEST * across.min(down) {
            let found = ((across as f64 / down as f64).ln() - wanted).abs();
            if found < distance {
                (best, distance) = ([down, across], found);
            }
        }
        across += step;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdxls_buckets() {
        for (photo, expected) in [
            ([100, 100], [1024, 1024]),
            ([1216, 832], [832, 1216]),
            ([832, 1216], [1216, 832]),
            ([1600, 900], [768, 1344]),
            ([4000, 1000], [512, 2048]),
            // Beyond four to one the longest bucket remains.
            ([9000, 100], [512, 2048]),
            ([1, 9000], [2048, 512]),
        ] {
            assert_eq!(bucket(1024, 8, photo), expected, "{photo:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_bucket_fits(side in 32usize..1100, multiple in 1usize..65, width in 1usize..5000, height in 1usize..5000) {
            let side = side.next_multiple_of(multiple);
            let [h, w] = bucket(side, multiple, [width, height]);
            proptest::prop_assert!(h * w <= side * side && h > 0 && w > 0);
            proptest::prop_assert!(h % multiple == 0 && w % multiple == 0);
            proptest::prop_assert!(h.max(w) <= 2 * side);
        }
    }
}
