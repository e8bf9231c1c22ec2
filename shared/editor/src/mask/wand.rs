//! The magic wand: what has the colour of a place.

use image::{GrayImage, Luma, RgbImage};

/// The pixels of `photo` whose colour is that of (`x`, `y`), give or take `tolerance` in each channel; those alone that
/// hang together with it where `contiguous`. None where the place lies outside.
#[must_use]
pub(super) fn like(photo: &RgbImage, x: u32, y: u32, tolerance: u8, contiguous: bool) -> Option<GrayImage> {
    let wanted = photo.get_pixel_checked(x, y)?.0;
    let is_like = |pixel: &[u8]| pixel.iter().zip(&wanted).all(|(a, b)| a.abs_diff(*b) <= tolerance);
    if !contiguous {
        let coverage = photo.as_raw().chunks_exact(3).map(|pixel| if is_like(pixel) { 255 } else { 0 });
        return GrayImage::from_raw(photo.width(), photo.height(), coverage.collect());
    }
    let mut found = GrayImage::new(photo.width(), photo.height());
    let width = photo.width() as usize;
    let at = |x: u32, y: u32| {
        let start = (y as usize * width + x as usize) * 3;
        is_like(&photo.as_raw()[start..start + 3])
    };
    let mut left_to_do = vec![(x, y)];
    // Stretch by stretch: the whole row of like pixels at once, then what hangs on to it above and below.
    while let Some((x, y)) = left_to_do.pop() {
        if found.get_pixel(x, y)[0] != 0 {
            continue;
        }
        let mut start = x;
        while start > 0 && at(start - 1, y) && found.get_pixel(start - 1, y)[0] == 0 {
            start -= 1;
        }
        let mut end = x + 1;
        while end < photo.width() && at(end, y) && found.get_pixel(end, y)[0] == 0 {
            end += 1;
        }
        for x in start..end {
            found.put_pixel(x, y, Luma([255]));
        }
        for next in [y.checked_sub(1), Some(y + 1).filter(|&y| y < photo.height())].into_iter().flatten() {
            let mut inside = false;
            for x in start..end {
                let hangs = at(x, next) && found.get_pixel(x, next)[0] == 0;
                if hangs && !inside {
                    left_to_do.push((x, next));
                }
                inside = hangs;
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    /// A dark frame around a bright middle, and a dark spot in it.
    fn picture() -> RgbImage {
        RgbImage::from_fn(20, 16, |x, y| {
            let frame = x < 3 || y < 3 || x > 16 || y > 12;
            if frame || (x, y) == (9, 9) { Rgb([10 + x as u8 % 3, 10, 10]) } else { Rgb([200, 190, 180]) }
        })
    }

    #[test]
    fn only_what_hangs_together_is_taken_where_that_is_wanted() {
        let frame = like(&picture(), 0, 0, 4, true).unwrap();
        assert_eq!((frame.get_pixel(19, 15)[0], frame.get_pixel(9, 9)[0]), (255, 0));
        let dark = like(&picture(), 0, 0, 4, false).unwrap();
        assert_eq!(dark.get_pixel(9, 9)[0], 255);
        assert_eq!(like(&picture(), 0, 0, 255, true).unwrap().as_raw().iter().min(), Some(&255));
        assert!(like(&picture(), 20, 0, 9, true).is_none());
    }

    proptest! {
        /// Against the plain way: pixel by pixel to the four neighbours.
        #[test]
        fn stretches_find_what_single_steps_find(pixels in proptest::collection::vec(0u8..2, 96), x in 0u32..12, y in 0u32..8) {
            let photo = RgbImage::from_fn(12, 8, |x, y| Rgb([pixels[(y * 12 + x) as usize] * 100; 3]));
            let found = like(&photo, x, y, 9, true).unwrap();
            let mut plain = GrayImage::new(12, 8);
            let wanted = photo.get_pixel(x, y);
            let mut left_to_do = vec![(x, y)];
            while let Some((x, y)) = left_to_do.pop() {
                if photo.get_pixel_checked(x, y) == Some(wanted) && plain.get_pixel(x, y)[0] == 0 {
                    plain.put_pixel(x, y, Luma([255]));
                    let steps = [(0i32, 1i32), (1, 0), (0, -1), (-1, 0)];
                    left_to_do.extend(steps.map(|(dx, dy)| (x.wrapping_add_signed(dx), y.wrapping_add_signed(dy))));
                }
            }
            prop_assert_eq!(found, plain);
        }
    }
}
