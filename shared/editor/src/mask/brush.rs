//! The brush and the eraser.

use image::GrayImage;
use mudi_domain::geometry::Rect;

use super::operation::Ink;
use super::tiles::Patch;

/// A place on a stroke: from the left and the top in pixels of the photo, and the brush's radius there in pixels.
pub type Dab = [f32; 3];

/// Draws the line from `from` to `to` and returns the pixels that it may have changed.
///
/// A pixel's new coverage depends on its distance from the line alone, and of several lines the strongest counts: so
/// the order and the number of events do not matter, and a stroke over what is covered already changes nothing.
/// `hardness`, 0 to 1, is the share of the radius that is covered wholly. Where the radius changes along the line, as under a pen,
/// the line is all discs from one end to the other, so that none of a place's disc is missing.
pub(super) fn draw(
    mask: &mut GrayImage,
    before: &mut Patch,
    from: Dab,
    to: Dab,
    hardness: f32,
    ink: Ink,
) -> Option<Rect> {
    let area = reach(from, to)?.intersect(&Rect::whole(mask.width(), mask.height()))?;
    before.keep(mask, area);
    let ([x, y, radius], [dx, dy, growth]) = (from, [to[0] - from[0], to[1] - from[1], to[2] - from[2]]);
    let length = dx * dx + dy * dy;
    // The disc that reaches a pixel best lies a little beside its foot on the line, on the side where discs are larger. Where one
    // end's disc holds the other's there is only that one.
    let (lone, lean) = if length > growth * growth {
        (None, growth / (length - growth * growth).max(f32::MIN_POSITIVE).sqrt())
    } else {
        (Some(if growth > 0.0 { 1.0 } else { 0.0 }), 0.0)
    };
    let width = mask.width() as usize;
    for row in area.y as usize..area.bottom() as usize {
        let py = row as f32 + 0.5 - y;
        let line = &mut (**mask)[row * width + area.x as usize..row * width + area.right() as usize];
        for (column, pixel) in line.iter_mut().enumerate() {
            let px = (area.x as usize + column) as f32 + 0.5 - x;
            let share = lone.unwrap_or_else(|| {
                let aside = (px * dy - py * dx).abs() * lean;
                ((px * dx + py * dy + aside) / length).clamp(0.0, 1.0)
            });
            let (ox, oy, radius) = (px - share * dx, py - share * dy, radius + share * growth);
            let (squared, outer) = (ox * ox + oy * oy, radius + 0.5);
            if squared >= outer * outer {
                continue;
            }
            let inner = (radius * hardness).min(radius - 0.5);
            let coverage = if inner > 0.0 && squared <= inner * inner {
                255
            } else {
                let rise = ((outer - squared.sqrt()) / (outer - inner)).clamp(0.0, 1.0);
                // One pixel of a hard edge is a slope; a soft one leaves and arrives gently.
                let rise = if hardness < 1.0 { rise * rise * (3.0 - 2.0 * rise) } else { rise };
                (rise * 255.0 + 0.5) as u8
            };
            *pixel = ink.lay(*pixel, coverage);
        }
    }
    Some(area)
}

/// The pixels that a line may touch; none where it has no place.
fn reach(from: Dab, to: Dab) -> Option<Rect> {
    if !from.iter().chain(&to).all(|value| value.is_finite()) {
        return None;
    }
    // What lies beyond the largest photos is not of interest, and must not overflow.
    let bound = |value: f32| value.clamp(-1e6, 1e6);
    let radius = from[2].max(to[2]).clamp(0.0, 1e5) + 1.0;
    let (left, right) =
        (bound(from[0].min(to[0]) - radius).floor(), bound(from[0].max(to[0]) + radius).ceil());
    let (top, bottom) =
        (bound(from[1].min(to[1]) - radius).floor(), bound(from[1].max(to[1]) + radius).ceil());
    Some(Rect::new(left as i32, top as i32, (right - left) as u32, (bottom - top) as u32))
}
