//! A mask at 1, 1/2, 1/4, ... of its size, so that drawing costs what the screen has, not what the photo has.

use image::{GrayImage, Luma};
use mudi_domain::geometry::Rect;

/// The mask's reductions. Level 0 is the mask itself, which is kept elsewhere; each further one has half the side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pyramid(Vec<GrayImage>);

impl Pyramid {
    /// Of a mask.
    #[must_use]
    pub fn of(mask: &GrayImage) -> Self {
        let (mut width, mut height) = mask.dimensions();
        let mut levels = Vec::new();
        while width > 256 || height > 256 {
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
            levels.push(GrayImage::new(width, height));
        }
        let mut pyramid = Self(levels);
        pyramid.update(mask, Rect::whole(mask.width(), mask.height()));
        pyramid
    }

    /// Brings it up to date where the mask has changed inside of `area`.
    pub fn update(&mut self, mask: &GrayImage, area: Rect) {
        let mut area = area;
        for level in 0..self.0.len() {
            let (above, rest) = self.0.split_at_mut(level);
            let (source, target) = (above.last().unwrap_or(mask), &mut rest[0]);
            let (left, top) = (area.x.max(0) / 2, area.y.max(0) / 2);
            let end = |end: i64| ((end + 1) / 2).max(0) as u32;
            let (right, bottom) =
                (end(area.right()).min(target.width()), end(area.bottom()).min(target.height()));
            for y in top as u32..bottom {
                for x in left as u32..right {
                    target.put_pixel(x, y, Luma([mean(source, 2 * x, 2 * y)]));
                }
            }
            area = Rect::new(left, top, right.saturating_sub(left as u32), bottom.saturating_sub(top as u32));
        }
    }

    /// How many levels there are, the mask included.
    #[must_use]
    pub fn levels(&self) -> u32 {
        self.0.len() as u32 + 1
    }

    /// The level, or the smallest one there is.
    #[must_use]
    pub fn level<'a>(&'a self, mask: &'a GrayImage, level: u32) -> &'a GrayImage {
        match level.checked_sub(1) {
            Some(index) => self.0.get(index as usize).or(self.0.last()).unwrap_or(mask),
            None => mask,
        }
    }
}

/// The mean of the pixel at (`x`, `y`) and its neighbours right and below, as far as there are any.
fn mean(source: &GrayImage, x: u32, y: u32) -> u8 {
    let (right, below) = ((x + 1).min(source.width() - 1), (y + 1).min(source.height() - 1));
    let sum: u32 = [(x, y), (right, y), (x, below), (right, below)]
        .iter()
        .map(|&(x, y)| u32::from(source.get_pixel(x, y)[0]))
        .sum();
    ((sum + 2) / 4) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_even_mask_is_even_at_every_level() {
        let mask = GrayImage::from_pixel(1001, 517, Luma([77]));
        let pyramid = Pyramid::of(&mask);
        assert_eq!(pyramid.levels(), 3);
        assert_eq!(pyramid.level(&mask, 2).dimensions(), (251, 130));
        assert!(pyramid.level(&mask, 9).as_raw().iter().all(|&pixel| pixel == 77));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_change_brings_what_a_new_one_would(x in 0u32..600, y in 0u32..300, w in 1u32..90, h in 1u32..90) {
            let mut mask = GrayImage::from_fn(600, 300, |x, y| Luma([(x * 7 + y * 13) as u8]));
            let mut pyramid = Pyramid::of(&mask);
            let area = Rect::new(x as i32, y as i32, w, h).intersect(&Rect::whole(600, 300)).unwrap();
            for y in area.y..area.bottom() as i32 {
                for x in area.x..area.right() as i32 {
                    mask.put_pixel(x as u32, y as u32, Luma([255]));
                }
            }
            pyramid.update(&mask, area);
            prop_assert_eq!(pyramid, Pyramid::of(&mask));
        }
    }
}
