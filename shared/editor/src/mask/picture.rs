//! What is drawn over the photo.

use image::GrayImage;
use mudi_domain::geometry::Rect;
use mudi_domain::mask::THRESHOLD;

/// How the mask is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Show {
    /// The subject is tinted.
    #[default]
    Tint,
    /// What is not the subject is tinted.
    Rest,
    /// The subject alone, on a chequered ground.
    Cutout,
    /// The edge alone.
    Outline,
    /// The mask itself, white on black.
    Mask,
}

impl Show {
    /// All of them, in the order of the page's menu.
    pub const ALL: [Self; 5] = [Self::Tint, Self::Rest, Self::Cutout, Self::Outline, Self::Mask];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tint => "Tint the subject",
            Self::Rest => "Tint the rest",
            Self::Cutout => "Cut out",
            Self::Outline => "Outline",
            Self::Mask => "Mask only",
        }
    }
}

/// How the mask is shown, in full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// The kind.
    pub show: Show,
    /// How much the tint hides, 0 to 1.
    pub opacity: f32,
    /// The tint.
    pub colour: [u8; 3],
}

impl Default for Style {
    fn default() -> Self {
        Self { show: Show::default(), opacity: 0.5, colour: [255, 40, 120] }
    }
}

/// The side of the chequers, in pixels of the level.
const CHEQUER: u32 = 8;

/// The pixels of `area` of a level of the mask (see [`Pyramid`](super::pyramid::Pyramid)), as red, green, blue and alpha, row by
/// row, alpha not multiplied in. What of `area` lies outside of the level is clear.
#[must_use]
pub fn draw(level: &GrayImage, area: Rect, style: Style) -> Vec<u8> {
    let mut pixels = vec![0; 4 * area.area() as usize];
    let Some(inside) = area.intersect(&Rect::whole(level.width(), level.height())) else { return pixels };
    let (width, opacity) = (level.width() as usize, (style.opacity.clamp(0.0, 1.0) * 256.0) as u32);
    let [r, g, b] = style.colour;
    let stride = 4 * area.width as usize;
    for y in inside.y as u32..inside.bottom() as u32 {
        let start = y as usize * width;
        let row = &level.as_raw()[start + inside.x as usize..start + inside.right() as usize];
        let to = (y as i32 - area.y) as usize * stride + 4 * (inside.x - area.x) as usize;
        let out = pixels[to..to + 4 * row.len()].as_chunks_mut::<4>().0;
        let tint = |coverage: u8| [r, g, b, ((u32::from(coverage) * opacity) >> 8) as u8];
        match style.show {
            Show::Tint => out.iter_mut().zip(row).for_each(|(out, &coverage)| *out = tint(coverage)),
            Show::Rest => out.iter_mut().zip(row).for_each(|(out, &coverage)| *out = tint(255 - coverage)),
            Show::Mask => out.iter_mut().zip(row).for_each(|(out, &c)| *out = [c, c, c, 255]),
            Show::Cutout => {
                for ((x, out), &coverage) in (inside.x as u32..).zip(out).zip(row) {
                    let dark = (x / CHEQUER + y / CHEQUER).is_multiple_of(2);
                    let shade = if dark { 200 } else { 240 };
                    *out = [shade, shade, shade, 255 - coverage];
                }
            }
            Show::Outline => {
                for (x, out) in (inside.x as u32..).zip(out) {
                    match edge(level, x, y) {
                        Edge::None => {}
                        Edge::Within => *out = [r, g, b, 255],
                        Edge::Beside => *out = [255, 255, 255, 230],
                    }
                }
            }
        }
    }
    pixels
}

enum Edge {
    None,
    /// On the subject, beside what is not.
    Within,
    /// Beside the subject.
    Beside,
}

fn edge(level: &GrayImage, x: u32, y: u32) -> Edge {
    let inside = |x: u32, y: u32| level.get_pixel_checked(x, y).map(|pixel| pixel[0] >= THRESHOLD);
    let here = level.get_pixel(x, y)[0] >= THRESHOLD;
    let around = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
    if around.iter().any(|&(x, y)| inside(x, y).is_some_and(|there| there != here)) {
        if here { Edge::Within } else { Edge::Beside }
    } else {
        Edge::None
    }
}

/// What has to be drawn anew of a level where the mask has changed inside of `area`: as much, and one pixel around it, since an
/// outline looks at its neighbours.
#[must_use]
pub fn stale(area: Rect, level: u32) -> Rect {
    let scale = 1i64 << level.min(24);
    let start = |corner: i32| i64::from(corner).div_euclid(scale) - 1;
    let end = |end: i64| (end + scale - 1).div_euclid(scale) + 1;
    let (x, y) = (start(area.x), start(area.y));
    Rect::new(x as i32, y as i32, (end(area.right()) - x) as u32, (end(area.bottom()) - y) as u32)
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    fn style(show: Show) -> Style {
        Style { show, opacity: 1.0, colour: [1, 2, 3] }
    }

    #[test]
    fn each_view_shows_the_mask() {
        let mask = GrayImage::from_fn(4, 1, |x, _| Luma([[0, 100, 255, 255][x as usize]]));
        let area = Rect::new(-1, 0, 6, 1);
        let alphas =
            |show| draw(&mask, area, style(show)).iter().skip(3).step_by(4).copied().collect::<Vec<_>>();
        assert_eq!(alphas(Show::Tint), [0, 0, 100, 255, 255, 0]);
        assert_eq!(alphas(Show::Rest), [0, 255, 155, 0, 0, 0]);
        assert_eq!(alphas(Show::Cutout), [0, 255, 155, 0, 0, 0]);
        assert_eq!(alphas(Show::Mask), [0, 255, 255, 255, 255, 0]);
        assert_eq!(alphas(Show::Outline), [0, 0, 230, 255, 0, 0]);
    }

    #[test]
    fn what_is_stale_reaches_one_pixel_further() {
        assert_eq!(stale(Rect::new(16, 0, 4, 5), 2), Rect::new(3, -1, 3, 4));
        assert_eq!(stale(Rect::new(3, 3, 1, 1), 0), Rect::new(2, 2, 3, 3));
    }
}
