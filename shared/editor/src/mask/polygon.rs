//! What a closed line runs around: the lasso.

use image::GrayImage;
use mudi_domain::geometry::Rect;

use super::operation::Ink;
use super::tiles::Patch;

/// Lines between two rows of pixels that are looked at, each with exact ends.
const LINES: usize = 4;

/// Fills what the closed line through `corners` (pixels of the photo) runs around at least once, and returns the pixels that it may have
/// changed.
pub(super) fn fill(mask: &mut GrayImage, before: &mut Patch, corners: &[[f32; 2]], ink: Ink) -> Option<Rect> {
    if corners.len() < 3 || !corners.iter().flatten().all(|value| value.is_finite()) {
        return None;
    }
    let area = bounds(corners).intersect(&Rect::whole(mask.width(), mask.height()))?;
    before.keep(mask, area);
    let width = mask.width() as usize;
    let mut sums = vec![0.0_f32; area.width as usize];
    let mut crossings = Vec::new();
    for row in area.y as usize..area.bottom() as usize {
        sums.fill(0.0);
        for line in 0..LINES {
            cross(corners, row as f32 + (line as f32 + 0.5) / LINES as f32, &mut crossings);
            let mut winding = 0;
            for pair in crossings.windows(2) {
                winding += pair[0].1;
                if winding != 0 {
                    add(&mut sums, pair[0].0 - area.x as f32, pair[1].0 - area.x as f32);
                }
            }
        }
        let pixels = &mut (**mask)[row * width + area.x as usize..row * width + area.right() as usize];
        for (pixel, sum) in pixels.iter_mut().zip(&sums) {
            let coverage = (sum * (255.0 / LINES as f32) + 0.5) as u8;
            *pixel = ink.lay(*pixel, coverage);
        }
    }
    Some(area)
}

fn bounds(corners: &[[f32; 2]]) -> Rect {
    let (mut least, mut most) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for corner in corners {
        for axis in 0..2 {
            least[axis] = least[axis].min(corner[axis].clamp(-1e6, 1e6).floor());
            most[axis] = most[axis].max(corner[axis].clamp(-1e6, 1e6).ceil());
        }
    }
    let [width, height] = [0, 1].map(|axis| ((most[axis] - least[axis]) as u32).max(1));
    Rect::new(least[0] as i32, least[1] as i32, width, height)
}

/// Where the closed line crosses the height `y`, from left to right, and which way it runs there.
fn cross(corners: &[[f32; 2]], y: f32, crossings: &mut Vec<(f32, i32)>) {
    crossings.clear();
    let ends = corners.iter().skip(1).chain(corners.first());
    for (&[ax, ay], &[bx, by]) in corners.iter().zip(ends) {
        if (ay <= y) != (by <= y) {
            crossings.push((ax + (y - ay) / (by - ay) * (bx - ax), if by > ay { 1 } else { -1 }));
        }
    }
    crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
}

/// Adds what the stretch from `start` to `end` covers of each pixel of a line.
fn add(sums: &mut [f32], start: f32, end: f32) {
    let (start, end) = (start.clamp(0.0, sums.len() as f32), end.clamp(0.0, sums.len() as f32));
    if end <= start {
        return;
    }
    let (first, last) = (start as usize, (end as usize).min(sums.len() - 1));
    if first >= sums.len() {
        return;
    }
    if first == last {
        sums[first] += end - start;
        return;
    }
    sums[first] += first as f32 + 1.0 - start;
    sums[first + 1..last].iter_mut().for_each(|sum| *sum += 1.0);
    sums[last] += end - last as f32;
}
