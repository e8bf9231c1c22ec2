//! Growing, shrinking and feathering a whole mask, tile by tile: where all around a tile is even nothing is to be done.

use image::GrayImage;
use mudi_domain::geometry::Rect;

use super::tiles::{self, Patch, rewrite};

/// The largest radius, in pixels.
pub const MAX_RADIUS: u32 = 200;

/// Grows what is covered by a disc of `radius` pixels: each pixel becomes the strongest within reach.
///
/// What lies outside of the mask counts as nothing. Growing and then shrinking by the same radius never takes anything
/// away: it closes gaps.
pub(super) fn grow(mask: &mut GrayImage, before: &mut Patch, radius: u32) -> Option<Rect> {
    spread(mask, before, radius, |coverage| coverage)
}

/// Shrinks what is covered: each pixel becomes the weakest within reach.
pub(super) fn shrink(mask: &mut GrayImage, before: &mut Patch, radius: u32) -> Option<Rect> {
    spread(mask, before, radius, |coverage| 255 - coverage)
}

/// A tile with what is around it, as far as it lies in the mask.
struct Around {
    area: Rect,
    pixels: Vec<u8>,
}

impl Around {
    /// None where all pixels are the same.
    fn of(mask: &GrayImage, tile: Rect, margin: u32) -> Option<Self> {
        let reach = margin as i32;
        let area =
            Rect::new(tile.x - reach, tile.y - reach, tile.width + 2 * margin, tile.height + 2 * margin)
                .intersect(&Rect::whole(mask.width(), mask.height()))?;
        let first = mask.get_pixel(tile.x as u32, tile.y as u32)[0];
        if tiles::rows(mask, area).all(|row| mask.as_raw()[row].iter().all(|&pixel| pixel == first)) {
            return None;
        }
        let mut pixels = Vec::new();
        tiles::read(mask, area, &mut pixels);
        Some(Self { area, pixels })
    }

    fn rows(&self) -> impl Iterator<Item = (i32, &[u8])> {
        (self.area.y..).zip(self.pixels.chunks_exact(self.area.width as usize))
    }
}

/// Grows what `seen` makes of the coverages, and puts back what it makes of the result; `seen` must be its own inverse.
fn spread(mask: &mut GrayImage, before: &mut Patch, radius: u32, seen: fn(u8) -> u8) -> Option<Rect> {
    let radius = radius.min(MAX_RADIUS);
    let reach = radius as i32;
    // How far the disc reaches to either side, in each of its rows.
    let widths: Vec<usize> = (-reach..=reach)
        .map(|dy| {
            let squared = (f64::from(radius) + 0.5).powi(2) - f64::from(dy * dy);
            squared.max(0.0).sqrt() as usize
        })
        .collect();
    let original = mask.clone();
    rewrite(mask, before, |tile, pixels| {
        let Some(around) = Around::of(&original, tile, radius) else { return };
        let (width, left) = (tile.width as usize, (tile.x - around.area.x) as usize);
        pixels.fill(0);
        for (y, row) in around.rows() {
            let windows = Windows::of(row.iter().map(|&coverage| seen(coverage)).collect(), radius);
            let nearest = (y - reach).max(tile.y)..(y + reach + 1).min(tile.y + tile.height as i32);
            for target in nearest {
                let start = (target - tile.y) as usize * width;
                let half = widths[(target - y + reach) as usize];
                windows.strongest(half, left, &mut pixels[start..start + width]);
            }
        }
        pixels.iter_mut().for_each(|pixel| *pixel = seen(*pixel));
    })
}

/// The strongest of each 1, 2, 4, ... values in a row from each place on: any window is two of these.
struct Windows(Vec<Vec<u8>>);

impl Windows {
    fn of(row: Vec<u8>, radius: u32) -> Self {
        let mut levels = vec![row];
        let mut length = 1;
        while 2 * length <= 2 * radius as usize + 1 {
            let last = &levels[levels.len() - 1];
            let mut next = last.clone();
            let shifted = last.get(length..).unwrap_or_default();
            next.iter_mut().zip(shifted).for_each(|(a, &b)| *a = (*a).max(b));
            levels.push(next);
            length *= 2;
        }
        Self(levels)
    }

    /// Raises each of `out`, of which the first lies at `left`, to the strongest within `half` to either side.
    fn strongest(&self, half: usize, left: usize, out: &mut [u8]) {
        let level = (2 * half + 1).ilog2() as usize;
        let (windows, length) = (&self.0[level], 1usize << level);
        let count = windows.len();
        let inner = half.max(left)..(count.saturating_sub(half)).min(left + out.len());
        for (place, out) in (left..).zip(out.iter_mut()) {
            if !inner.contains(&place) {
                let (start, end) = (place.saturating_sub(half), (place + half + 1).min(count));
                let found = self.0[0][start..end].iter().copied().max();
                *out = (*out).max(found.unwrap_or(0));
            }
        }
        if inner.is_empty() {
            return;
        }
        let first = &windows[inner.start - half..];
        let second = &windows[inner.start + half + 1 - length..];
        let out = &mut out[inner.start - left..inner.end - left];
        for ((out, &a), &b) in out.iter_mut().zip(first).zip(second) {
            *out = (*out).max(a).max(b);
        }
    }
}

/// Softens the edge: three means over `2 radius + 1` pixels in each direction, which is nearly a normal distribution with a
/// deviation of `radius`. Beyond the mask its edge goes on.
pub(super) fn feather(mask: &mut GrayImage, before: &mut Patch, radius: u32) -> Option<Rect> {
    let radius = radius.min(MAX_RADIUS);
    let margin = 3 * radius;
    let original = mask.clone();
    rewrite(mask, before, |tile, pixels| {
        let Some(around) = Around::of(&original, tile, margin) else { return };
        let (width, height) = (around.area.width as usize, around.area.height as usize);
        // 256ths of a step, so that rounding six times does not show.
        let mut values: Vec<u32> = around.pixels.iter().map(|&pixel| u32::from(pixel) << 8).collect();
        let mut line = Vec::new();
        for row in values.chunks_exact_mut(width) {
            for _ in 0..3 {
                mean(row, radius as usize, &mut line);
                row.copy_from_slice(&line);
            }
        }
        let mut column = vec![0; height];
        let left = (tile.x - around.area.x) as usize;
        let top = (tile.y - around.area.y) as usize;
        for x in 0..tile.width as usize {
            for (value, row) in column.iter_mut().zip(values.chunks_exact(width)) {
                *value = row[left + x];
            }
            for _ in 0..3 {
                mean(&column, radius as usize, &mut line);
                std::mem::swap(&mut column, &mut line);
            }
            for (y, value) in column[top..top + tile.height as usize].iter().enumerate() {
                pixels[y * tile.width as usize + x] = ((value + 128) >> 8).min(255) as u8;
            }
        }
    })
}

/// The mean of each value and its neighbours up to `radius`; beyond the ends the ends go on.
fn mean(values: &[u32], radius: usize, means: &mut Vec<u32>) {
    means.clear();
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return };
    let count = 2 * radius as u32 + 1;
    let at = |place: usize| values.get(place).copied().unwrap_or(last);
    let mut sum = first * radius as u32 + (0..=radius).map(at).sum::<u32>();
    for place in 0..values.len() {
        means.push((sum + count / 2) / count);
        let leaving = place.checked_sub(radius).map_or(first, |place| values[place]);
        sum = sum + at(place + radius + 1) - leaving;
    }
}

#[cfg(test)]
mod tests;
