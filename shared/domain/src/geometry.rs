//! Rectangles: in pixels, and in fractions of an image.

use serde::{Deserialize, Serialize};

/// A rectangle in pixels. The origin is the top left corner of the image; `x` grows to the right, `y` downwards.
///
/// It may reach beyond the image (a subject that is dragged half off the canvas), hence the signed corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rect {
    /// The leftmost column, in pixels.
    pub x: i32,
    /// The topmost row, in pixels.
    pub y: i32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Rect {
    /// The rectangle with its top left corner at (`x`, `y`).
    #[must_use]
    pub const fn new(x: i32, y: i32, width: u32, height: u32) -> Self {
        Self { x, y, width, height }
    }

    /// A whole image of `width` by `height` pixels.
    #[must_use]
    pub const fn whole(width: u32, height: u32) -> Self {
        Self::new(0, 0, width, height)
    }

    /// The first column right of the rectangle.
    #[must_use]
    pub fn right(&self) -> i64 {
        i64::from(self.x) + i64::from(self.width)
    }

    /// The first row below the rectangle.
    #[must_use]
    pub fn bottom(&self) -> i64 {
        i64::from(self.y) + i64::from(self.height)
    }

    /// Area in pixels.
    #[must_use]
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether the pixel (`x`, `y`) lies inside.
    #[must_use]
    pub fn contains(&self, x: i64, y: i64) -> bool {
        (i64::from(self.x)..self.right()).contains(&x) && (i64::from(self.y)..self.bottom()).contains(&y)
    }

    /// Whether the whole rectangle lies in an image of `width` by `height` pixels.
    #[must_use]
    pub fn is_within(&self, width: u32, height: u32) -> bool {
        self.x >= 0 && self.y >= 0 && self.right() <= i64::from(width) && self.bottom() <= i64::from(height)
    }

    /// What the two have in common; `None` where that has no pixel.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let width = self.right().min(other.right()) - i64::from(x);
        let height = self.bottom().min(other.bottom()) - i64::from(y);
        // Both are at most the smaller rectangle's own, so they fit.
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(width), Ok(height)) if width > 0 && height > 0 => Some(Self { x, y, width, height }),
            _ => None,
        }
    }

    /// The smallest rectangle around both. A side that has no place in a `u32` ends at its largest.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let extent = |end: i64, start: i32| u32::try_from(end - i64::from(start)).unwrap_or(u32::MAX);
        let width = extent(self.right().max(other.right()), x);
        let height = extent(self.bottom().max(other.bottom()), y);
        Self { x, y, width, height }
    }

    /// The centre, in pixels (a pixel's centre is at its corner plus one half).
    #[must_use]
    pub fn center(&self) -> (f64, f64) {
        (f64::from(self.x) + f64::from(self.width) / 2.0, f64::from(self.y) + f64::from(self.height) / 2.0)
    }
}

/// A rectangle in fractions of an image: 0 is its left or upper edge, 1 its right or lower one.
///
/// This is how boxes travel that do not depend on a resolution: a detector's, a layout's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitBox {
    /// The left edge, as a fraction of the image's width.
    pub x: f64,
    /// The upper edge, as a fraction of the image's height.
    pub y: f64,
    /// Width, as a fraction of the image's width.
    pub width: f64,
    /// Height, as a fraction of the image's height.
    pub height: f64,
}

impl UnitBox {
    /// `rect`, seen in an image of `width` by `height` pixels (both at least 1).
    #[must_use]
    pub fn from_pixels(rect: Rect, width: u32, height: u32) -> Self {
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        Self {
            x: f64::from(rect.x) / w,
            y: f64::from(rect.y) / h,
            width: f64::from(rect.width) / w,
            height: f64::from(rect.height) / h,
        }
    }

    /// The box in pixels of an image of `width` by `height`: rounded to the nearest pixel, at least one pixel large.
    #[must_use]
    pub fn to_pixels(&self, width: u32, height: u32) -> Rect {
        let (w, h) = (f64::from(width), f64::from(height));
        Rect {
            x: (self.x * w).round() as i32,
            y: (self.y * h).round() as i32,
            width: ((self.width * w).round() as u32).max(1),
            height: ((self.height * h).round() as u32).max(1),
        }
    }

    /// The box grown by `fraction` of the image on each side and clipped to the image.
    ///
    /// MuDI grows a detector's box by 5 % of the image (0.05) before it prompts SAM with it.
    #[must_use]
    pub fn grow(&self, fraction: f64) -> Self {
        let (left, top) = ((self.x - fraction).clamp(0.0, 1.0), (self.y - fraction).clamp(0.0, 1.0));
        let right = (self.x + self.width + fraction).clamp(left, 1.0);
        let bottom = (self.y + self.height + fraction).clamp(top, 1.0);
        Self { x: left, y: top, width: right - left, height: bottom - top }
    }

    /// Intersection over union with `other`, in 0..=1; 0 where both are empty.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        let shared = width.max(0.0) * height.max(0.0);
        let union = self.width * self.height + other.width * other.height - shared;
        if union > 0.0 { (shared / union).clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_that_only_touch_do_not_intersect() {
        assert_eq!(Rect::new(0, 0, 4, 4).intersect(&Rect::new(4, 0, 4, 4)), None);
        assert_eq!(
            Rect::new(-3, -3, 5, 5).intersect(&Rect::whole(10, 10)),
            Some(Rect::new(0, 0, 2, 2)),
            "what sticks out is cut off"
        );
    }

    #[test]
    fn the_corners_of_the_number_line_do_not_overflow() {
        let far = Rect::new(i32::MAX, i32::MIN, u32::MAX, u32::MAX);
        assert!(!far.is_within(u32::MAX, u32::MAX));
        assert_eq!(far.intersect(&Rect::whole(1, 1)), None);
        assert_eq!(far.intersect(&far), Some(far));
        assert_eq!(far.union(&Rect::whole(1, 1)), Rect::new(0, i32::MIN, u32::MAX, u32::MAX));
        assert_eq!(Rect::new(-2, 5, 1, 1).union(&Rect::new(3, 1, 2, 2)), Rect::new(-2, 1, 7, 5));
    }

    #[test]
    fn boxes_survive_the_way_to_pixels_and_back() {
        let rect = Rect::new(12, 40, 33, 7);
        assert_eq!(UnitBox::from_pixels(rect, 96, 128).to_pixels(96, 128), rect);
    }

    #[test]
    fn a_grown_box_stays_in_the_image() {
        let grown = UnitBox { x: 0.02, y: 0.5, width: 0.97, height: 0.1 }.grow(0.05);
        assert_eq!((grown.x, grown.width), (0.0, 1.0));
        assert!((grown.y - 0.45).abs() < 1e-12 && (grown.height - 0.2).abs() < 1e-12);
        let same = UnitBox { x: 0.0, y: 0.0, width: 0.5, height: 0.5 };
        assert_eq!(same.iou(&same), 1.0);
        assert_eq!(UnitBox { width: 0.0, ..same }.iou(&UnitBox { width: 0.0, ..same }), 0.0);
    }
}
