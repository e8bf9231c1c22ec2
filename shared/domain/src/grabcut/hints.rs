//! What a person says of a subject that is to be cut out: a box, strokes, or both.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma, RgbImage};
use serde::{Deserialize, Serialize};

use super::{Known, cut};
use crate::mask::{Mask, THRESHOLD};

/// The longer side, in pixels, at which the cut is sought: the time grows with the pixels, and an edge is a pixel or two wide.
const LONGEST: u32 = 400;
/// How far around a stroke the photo is taken to be what the stroke says, as a share of the longer side.
const REACH: f32 = 0.012;

/// A line drawn by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stroke {
    /// The places that it goes through, from the photo's left and top, in pixels; a single one is a dot.
    pub places: Vec<[f32; 2]>,
    /// Whether it lies on the subject.
    pub on_subject: bool,
}

/// What is known of a subject that is to be cut out: a box, a stroke on it, or both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hints {
    /// A box around it: left, top, right, bottom, in pixels. What lies outside is not the subject's.
    pub bounds: Option<[f32; 4]>,
    /// Strokes on the subject and beside it; where two cross, the later one is right.
    pub strokes: Vec<Stroke>,
}

/// How far `at` is from the line between `a` and `b`.
fn distance(at: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (along, off) = ([b[0] - a[0], b[1] - a[1]], [at[0] - a[0], at[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let share = (off[0] * along[0] + off[1] * along[1]) / length.max(f32::MIN_POSITIVE);
    let share = share.clamp(0.0, 1.0);
    (off[0] - share * along[0]).hypot(off[1] - share * along[1])
}

impl Hints {
    /// The same in a photo that is `scale` times as large.
    #[must_use]
    pub fn scaled(&self, scale: f32) -> Self {
        let stroke = |stroke: &Stroke| Stroke {
            places: stroke.places.iter().map(|place| place.map(|length| length * scale)).collect(),
            on_subject: stroke.on_subject,
        };
        Self {
            bounds: self.bounds.map(|bounds| bounds.map(|edge| edge * scale)),
            strokes: self.strokes.iter().map(stroke).collect(),
        }
    }

    /// What is known of each pixel of a photo of `size` (height and width), `scale` times as large as that of the places.
    fn known(&self, [height, width]: [usize; 2], scale: f32) -> Vec<Known> {
        let reach = (REACH * width.max(height) as f32).max(1.0);
        let scaled = |[x, y]: [f32; 2]| [x * scale, y * scale];
        let lines: Vec<([f32; 2], [f32; 2], bool)> = self
            .strokes
            .iter()
            .flat_map(|stroke| {
                let ends = stroke.places.iter().skip(1).chain(stroke.places.last());
                let lines = stroke.places.iter().zip(ends);
                lines.map(|(&from, &to)| (scaled(from), scaled(to), stroke.on_subject))
            })
            .collect();
        let bounds = self.bounds.map(|bounds| bounds.map(|edge| edge * scale));
        // Something has to be known not to be the subject's: where nothing says what, the photo's edge is taken.
        let framed = bounds.is_none() && lines.iter().all(|line| line.2);
        let of = |row: usize, column: usize| {
            // The middle of the pixel.
            let [x, y] = [column as f32 + 0.5, row as f32 + 0.5];
            let line = lines.iter().rev().find(|(from, to, _)| distance([x, y], *from, *to) <= reach);
            let edge = || row == 0 || column == 0 || row + 1 == height || column + 1 == width;
            match (line, bounds) {
                (Some((_, _, on_subject)), _) => {
                    if *on_subject {
                        Known::Subject
                    } else {
                        Known::Rest
                    }
                }
                (None, Some([left, top, right, bottom]))
                    if x > left && x < right && y > top && y < bottom =>
                {
                    Known::Perhaps
                }
                (None, Some(_)) => Known::Rest,
                (None, None) if framed && edge() => Known::Rest,
                (None, None) => Known::Nothing,
            }
        };
        (0..height * width).map(|at| of(at / width, at % width)).collect()
    }
}

/// The subject that the hints mean. Nothing, where they say of nothing that it is or may be the subject's. `told` hears how far it is,
/// as [`cut`] tells it.
#[must_use]
pub fn cut_out(photo: &RgbImage, hints: &Hints, told: impl FnMut(u32)) -> Mask {
    let (width, height) = photo.dimensions();
    let scale = (LONGEST as f32 / width.max(height).max(1) as f32).min(1.0);
    let small = |length: u32| ((length as f32 * scale).round() as u32).max(1);
    let (w, h) = (small(width), small(height));
    let size = [h as usize, w as usize];
    let rgb = imageops::resize(photo, w, h, FilterType::Triangle);
    let found = cut(rgb.as_raw(), size, &hints.known(size, scale), told);
    let coverage = GrayImage::from_fn(w, h, |x, y| Luma([if found[(y * w + x) as usize] { 255 } else { 0 }]));
    let mut mask = Mask::from_gray(coverage).resize(width, height);
    for pixel in mask.as_gray_mut().pixels_mut() {
        pixel.0[0] = if pixel.0[0] >= THRESHOLD { 255 } else { 0 };
    }
    mask
}
