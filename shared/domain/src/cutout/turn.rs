//! Cutouts mirrored and turned.

use image::imageops;
use image::{Luma, Rgb, RgbImage};

use super::Cutout;
use crate::geometry::Rect;
use crate::mask::Mask;

/// A mirror and a turn after it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Turn {
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// Degrees clockwise.
    pub degrees: f64,
}

/// Sine and cosine of an angle in degrees, the same to the bit in every browser and on every server (the system's own
/// differ in the last digit), and exact at quarter turns.
fn sin_cos(degrees: f64) -> (f64, f64) {
    let turn = libm::fmod(degrees, 360.0);
    let turn = if turn < 0.0 { turn + 360.0 } else { turn };
    if turn == 0.0 {
        (0.0, 1.0)
    } else if turn == 90.0 {
        (1.0, 0.0)
    } else if turn == 180.0 {
        (0.0, -1.0)
    } else if turn == 270.0 {
        (-1.0, 0.0)
    } else {
        libm::sincos(turn.to_radians())
    }
}

/// Width and height of the upright box around a rectangle of `width` by `height` that is turned by `degrees`.
#[must_use]
pub fn turned_extent(width: f64, height: f64, degrees: f64) -> (f64, f64) {
    let (sin, cos) = sin_cos(degrees);
    (width * cos.abs() + height * sin.abs(), width * sin.abs() + height * cos.abs())
}

impl Turn {
    /// Whether nothing is mirrored or turned.
    #[must_use]
    pub fn is_none(&self) -> bool {
        !self.flip && sin_cos(self.degrees) == (0.0, 1.0)
    }

    /// The upright box, in whole pixels, around `rect` turned about its middle.
    #[must_use]
    pub fn bounds(&self, rect: Rect) -> Rect {
        let (width, height) = turned_extent(f64::from(rect.width), f64::from(rect.height), self.degrees);
        let (x, y) = rect.center();
        // A hair less, so that what is a whole number but for its last digits does not become a pixel more.
        const HAIR: f64 = 1e-6;
        let start = |center: f64, extent: f64| (center - extent / 2.0 + HAIR).floor();
        let end = |center: f64, extent: f64| (center + extent / 2.0 - HAIR).ceil();
        let (left, top) = (start(x, width), start(y, height));
        Rect::new(
            left as i32,
            top as i32,
            ((end(x, width) - left) as u32).max(1),
            ((end(y, height) - top) as u32).max(1),
        )
    }
}

impl Cutout {
    /// The cutout, which fills `rect`, mirrored and turned about the middle of `rect`; of the size of
    /// [`Turn::bounds`]. Between pixels it is bilinear, weighted by the mask.
    ///
    /// `rect` must have the cutout's size; only its place decides where pixels fall.
    #[must_use]
    pub fn turned(&self, turn: Turn, rect: Rect) -> Self {
        let source = if turn.flip {
            let image = imageops::flip_horizontal(&self.image);
            let mask = Mask::from_gray(imageops::flip_horizontal(self.mask.as_gray()));
            Self { image, mask }
        } else {
            self.clone()
        };
        let (sin, cos) = sin_cos(turn.degrees);
        if (sin, cos) == (0.0, 1.0) {
            return source;
        }
        let bounds = turn.bounds(rect);
        let (x, y) = rect.center();
        // From the middle of the box, in pixels.
        let (left, top) = (f64::from(bounds.x) + 0.5 - x, f64::from(bounds.y) + 0.5 - y);
        let (half_width, half_height) = (f64::from(source.width()) / 2.0, f64::from(source.height()) / 2.0);
        let mut image = RgbImage::from_pixel(bounds.width, bounds.height, Rgb([255; 3]));
        let mut mask = Mask::empty(bounds.width, bounds.height);
        for row in 0..bounds.height {
            for column in 0..bounds.width {
                let (dx, dy) = (left + f64::from(column), top + f64::from(row));
                let u = dx * cos + dy * sin + half_width - 0.5;
                let v = dy * cos - dx * sin + half_height - 0.5;
                if let Some((color, coverage)) = source.between(u, v) {
                    image.put_pixel(column, row, Rgb(color));
                    mask.as_gray_mut().put_pixel(column, row, Luma([coverage]));
                }
            }
        }
        Self { image, mask }
    }

    /// Colour and coverage at (`u`, `v`), where whole numbers are the middles of pixels; none where nothing is covered.
    fn between(&self, u: f64, v: f64) -> Option<([u8; 3], u8)> {
        let (left, top) = (u.floor(), v.floor());
        let (mut color, mut coverage) = ([0.0; 3], 0.0);
        for (x, y) in [(left, top), (left + 1.0, top), (left, top + 1.0), (left + 1.0, top + 1.0)] {
            if x < 0.0 || y < 0.0 || x >= f64::from(self.width()) || y >= f64::from(self.height()) {
                continue;
            }
            let (x, y, weight) = (x as u32, y as u32, (1.0 - (u - x).abs()) * (1.0 - (v - y).abs()));
            let alpha = f64::from(self.mask.coverage(x, y)) * weight;
            coverage += alpha;
            for (sum, channel) in color.iter_mut().zip(self.image.get_pixel(x, y).0) {
                *sum += f64::from(channel) * alpha;
            }
        }
        let rounded = coverage.round().clamp(0.0, 255.0) as u8;
        (rounded > 0).then(|| (color.map(|sum| (sum / coverage).round() as u8), rounded))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(width: u32, height: u32) -> Cutout {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8 * 8, y as u8 * 8, 7]));
        Cutout::new(&image, &Mask::full(width, height)).unwrap()
    }

    fn turned(cutout: &Cutout, flip: bool, degrees: f64) -> Cutout {
        cutout.turned(Turn { flip, degrees }, Rect::whole(cutout.width(), cutout.height()))
    }

    #[test]
    fn quarter_turns_move_pixels_and_change_none() {
        let cutout = marked(6, 4);
        assert_eq!(turned(&cutout, false, 90.0).image(), &imageops::rotate90(cutout.image()));
        assert_eq!(turned(&cutout, false, 180.0).image(), &imageops::rotate180(cutout.image()));
        assert_eq!(turned(&cutout, false, -90.0).image(), &imageops::rotate270(cutout.image()));
        assert_eq!(turned(&cutout, true, 0.0).image(), &imageops::flip_horizontal(cutout.image()));
        assert_eq!(turned(&turned(&cutout, true, 360.0), true, 0.0), cutout);
    }

    #[test]
    fn nothing_of_what_is_around_bleeds_in() {
        let image =
            RgbImage::from_fn(20, 20, |x, _| if x < 10 { Rgb([200, 0, 0]) } else { Rgb([0, 0, 250]) });
        let mut mask = Mask::full(20, 20);
        for (x, _, pixel) in mask.as_gray_mut().enumerate_pixels_mut() {
            *pixel = Luma([if x < 10 { 255 } else { 0 }]);
        }
        let cutout = Cutout::new(&image, &mask).unwrap();
        let found = turned(&cutout, false, 37.0);
        for (pixel, coverage) in found.image().pixels().zip(found.mask().as_gray().as_raw()) {
            assert!(if *coverage > 0 { pixel.0 == [200, 0, 0] } else { pixel.0 == [255; 3] }, "{pixel:?}");
        }
        let ratio = found.mask().area_fraction() * f64::from(found.width() * found.height()) / 200.0;
        assert!((0.98..1.02).contains(&ratio), "the area changed by {ratio}");
    }

    proptest! {
        #[test]
        fn what_is_turned_fills_its_bounds(w in 1u32..30, h in 1u32..30, degrees in -360.0..360.0f64, x in -9..9, y in -9..9) {
            let rect = Rect::new(x, y, w, h);
            let turn = Turn { flip: false, degrees };
            let found = marked(w, h).turned(turn, rect);
            let bounds = turn.bounds(rect);
            prop_assert_eq!(found.image().dimensions(), (bounds.width, bounds.height));
            let (across, down) = turned_extent(f64::from(w), f64::from(h), degrees);
            prop_assert!(f64::from(bounds.width) < across + 2.0 && f64::from(bounds.height) < down + 2.0);
        }
    }
}
