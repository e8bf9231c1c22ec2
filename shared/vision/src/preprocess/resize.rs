//! Resizing with antialiasing, exactly as Pillow's `Image.resize` does it for 8-bit images: the published models were
//! trained on its results.
//!
//! One axis after the other, across first (Pillow 13 goes down first where that is less work; what the models were trained on was
//! older). A value is a weighted mean of those that the filter reaches, whose weights are
//! rounded to 22 bits behind the point, as Pillow's fixed-point arithmetic has them; between the two passes values are
//! rounded to bytes.

use image::RgbImage;

/// What weighs the pixels around a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A triangle, 2 pixels wide.
    Bilinear,
    /// The cubic convolution with `a = -0.5`, 4 pixels wide.
    Bicubic,
}

impl Filter {
    /// How far it reaches to either side, in pixels.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Bits behind the point of a weight.
const BITS: u32 = 22;

/// The pixels that one result is made of: the first of them, and the weight of each.
struct Reach {
    first: usize,
    weights: Vec<i32>,
}

/// What each of `to` results along an axis of `from` pixels is made of.
fn reaches(from: usize, to: usize, filter: Filter) -> Vec<Reach> {
    let scale = from as f64 / to as f64;
    // Where an image shrinks the filter grows, so that no pixel is passed over.
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    (0..to)
        .map(|at| {
            let center = (at as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weight = |pixel: usize| filter.weight((pixel as f64 - center + 0.5) / stretch);
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| (weight / sum * f64::from(1 << BITS)).round() as i32;
            Reach { first, weights: weights.iter().map(fixed).collect() }
        })
        .collect()
}

/// A weighted sum as a byte.
fn byte(sum: i64) -> u8 {
    ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
}

/// Resizes `rgb`, three bytes a pixel row by row, of the size `from` (height and width) to the size `to`. Sizes of 0 give no
/// pixels.
///
/// # Panics
/// Where `rgb` is not `from[0] * from[1]` pixels long.
#[must_use]
pub fn resize(rgb: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<u8> {
    const CHANNELS: usize = 3;
    assert_eq!(rgb.len(), CHANNELS * from[0] * from[1], "as many bytes as the size says");
    if from.contains(&0) || to.contains(&0) {
        return Vec::new();
    }
    let mut wide = Vec::new();
    let across: &[u8] = if from[1] == to[1] {
        rgb
    } else {
        let reaches = reaches(from[1], to[1], filter);
        wide.reserve(CHANNELS * from[0] * to[1]);
        for row in rgb.chunks_exact(CHANNELS * from[1]) {
            for reach in &reaches {
                let mut sums = [0i64; CHANNELS];
                let pixels = row[CHANNELS * reach.first..].chunks_exact(CHANNELS);
                for (pixel, &weight) in pixels.zip(&reach.weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += i64::from(weight) * i64::from(value);
                    }
                }
                wide.extend(sums.map(byte));
            }
        }
        &wide
    };
    if from[0] == to[0] {
        return across.to_vec();
    }
    let line = CHANNELS * to[1];
    let mut out = Vec::with_capacity(line * to[0]);
    let mut sums = vec![0i64; line];
    for reach in reaches(from[0], to[0], filter) {
        sums.fill(0);
        let rows = across[line * reach.first..].chunks_exact(line);
        for (row, &weight) in rows.zip(&reach.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i64::from(weight) * i64::from(value);
            }
        }
        out.extend(sums.iter().map(|&sum| byte(sum)));
    }
    out
}

/// The same of an image. Nothing is done along an axis that has its length already.
#[must_use]
pub fn resize_image(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let from = [image.height() as usize, image.width() as usize];
    let pixels = resize(image.as_raw(), from, [height as usize, width as usize], filter);
    // As many values as the size asks for; of an image without pixels there are none.
    RgbImage::from_raw(width, height, pixels).unwrap_or_else(|| RgbImage::new(width, height))
}

#[cfg(test)]
mod tests {
    use super::{Filter, resize};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_colour_stays_that_colour(from in prop::array::uniform2(1usize..40), to in prop::array::uniform2(1usize..40), colour in prop::array::uniform3(any::<u8>())) {
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let resized = resize(&colour.repeat(from[0] * from[1]), from, to, filter);
                prop_assert_eq!(resized, colour.repeat(to[0] * to[1]));
            }
        }

        #[test]
        fn a_mirrored_photo_gives_the_mirrored_result(width in 1usize..30, to in 1usize..30, values in prop::collection::vec(any::<u8>(), 90)) {
            let row = &values[..3 * width];
            let mirrored = |row: &[u8]| -> Vec<u8> { row.chunks(3).rev().flatten().copied().collect() };
            let there = mirrored(&resize(row, [1, width], [1, to], Filter::Bilinear));
            let back = resize(&mirrored(row), [1, width], [1, to], Filter::Bilinear);
            for (a, b) in there.iter().zip(&back) {
                prop_assert!(a.abs_diff(*b) <= 1);
            }
        }
    }
}
