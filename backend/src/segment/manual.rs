//! Masks without weights: GrabCut within a box.

use image::{GrayImage, Luma, RgbImage};
use mudi_domain::mask::{Mask, THRESHOLD};
use mudi_vision::grabcut::{Known, cut};
use mudi_vision::preprocess::{Filter, resize};
use mudi_vision::sam::Prompt;

/// The longer side, in pixels, at which the cut is sought: the time grows with the pixels, and an edge is a pixel or two wide.
const LONGEST: u32 = 400;
/// How far around a point the photo is taken to be what the point says, as a share of the longer side.
const REACH: f32 = 0.012;

/// The subject inside of the prompt's box; its points say what is the subject's and what is not. Without a box the whole
/// photo may be the subject's, but for its edge.
#[must_use]
pub fn cut_out(photo: &RgbImage, prompt: &Prompt) -> Mask {
    let (width, height) = photo.dimensions();
    let scale = (LONGEST as f32 / width.max(height).max(1) as f32).min(1.0);
    let small = |length: u32| ((length as f32 * scale).round() as u32).max(1);
    let (w, h) = (small(width), small(height));
    let size = [h as usize, w as usize];
    let rgb = resize(photo.as_raw(), [height as usize, width as usize], size, Filter::Bilinear);
    let [left, top, right, bottom] =
        prompt.bounds.unwrap_or([1.0, 1.0, width as f32 - 1.0, height as f32 - 1.0]).map(|edge| edge * scale);
    let reach = (REACH * w.max(h) as f32).max(1.0);
    let known: Vec<Known> = (0..w * h)
        .map(|at| {
            // The middle of the pixel.
            let (x, y) = ((at % w) as f32 + 0.5, (at / w) as f32 + 0.5);
            let near = |x0: f32, y0: f32| (x - x0 * scale).hypot(y - y0 * scale) <= reach;
            match prompt.points.iter().rev().find(|point| near(point.x, point.y)) {
                Some(point) if point.on_subject => Known::Subject,
                Some(_) => Known::Rest,
                None if x > left && x < right && y > top && y < bottom => Known::Perhaps,
                None => Known::Rest,
            }
        })
        .collect();
    let found = cut(&rgb, size, &known);
    let coverage = GrayImage::from_fn(w, h, |x, y| Luma([if found[(y * w + x) as usize] { 255 } else { 0 }]));
    let mut mask = Mask::from_gray(coverage).resize(width, height);
    for pixel in mask.as_gray_mut().pixels_mut() {
        pixel.0[0] = if pixel.0[0] >= THRESHOLD { 255 } else { 0 };
    }
    mask
}
