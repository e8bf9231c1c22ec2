//! Pillow's resize of 8-bit images, to the bit.
//!
//! Where it shrinks, the filter is stretched over all pixels that make up one of the new ones. Columns are resampled first,
//! then rows, each in fixed point with rounding to 8 bits between (Pillow before 13, `Resample.c`; Pillow 13 begins with the
//! rows where these shrink much more than the columns). Other resizers round only once, which is better, but is not what the
//! networks have seen.

use image::RgbImage;

/// How neighbouring pixels are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A triangle over two pixels.
    Bilinear,
    /// Catmull and Rom's cubic over four pixels, `a = -0.5`; it overshoots at edges, and is cut to 0..=255.
    Bicubic,
}

impl Filter {
    /// How far from its middle it reaches, in pixels.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Bits after the point of a weight: what 8 bits of pixel and 2 of overshoot leave of 32.
const FRACTION_BITS: u32 = 22;

/// The pixels that make up a new one: the first of them, and a weight for each.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

/// `image` at another size. An image that has the size already is returned as it is, and so is an axis.
///
/// `image` and the new size have at least one pixel.
#[must_use]
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (from_width, from_height) = (image.width() as usize, image.height() as usize);
    let mut pixels = image.as_raw().clone();
    if from_width != width as usize {
        let taps = taps(from_width, width as usize, filter);
        pixels = pixels.chunks_exact(3 * from_width).flat_map(|row| resample_row(row, &taps)).collect();
    }
    if from_height != height as usize {
        let taps = taps(from_height, height as usize, filter);
        let stride = 3 * width as usize;
        pixels = taps.iter().flat_map(|tap| blend_rows(&pixels, stride, tap)).collect();
    }
    // As many values as the size asks for, by the loops above; an image without pixels has none.
    RgbImage::from_raw(width, height, pixels).unwrap_or_else(|| RgbImage::new(width, height))
}

fn taps(from: usize, to: usize, filter: Filter) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let reach = filter.support() * stretch;
    (0..to)
        .map(|index| {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - reach + 0.5).max(0.0) as usize;
            let end = ((center + reach + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (first..end).map(|x| filter.at((x as f64 - center + 0.5) / stretch)).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: f64| (weight / sum * f64::from(1 << FRACTION_BITS)).round() as i32;
            Tap { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// One half, so that shifting rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

fn resample_row(row: &[u8], taps: &[Tap]) -> Vec<u8> {
    let pixels = row.as_chunks::<3>().0;
    let mut out = Vec::with_capacity(3 * taps.len());
    for tap in taps {
        let mut sums = [HALF; 3];
        for (pixel, weight) in pixels[tap.first..].iter().zip(&tap.weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.map(to_byte));
    }
    out
}

fn blend_rows(pixels: &[u8], stride: usize, tap: &Tap) -> Vec<u8> {
    let mut sums = vec![HALF; stride];
    for (row, weight) in pixels.chunks_exact(stride).skip(tap.first).zip(&tap.weights) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += i32::from(value) * weight;
        }
    }
    sums.into_iter().map(to_byte).collect()
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_size_is_the_same_image() {
        let image = RgbImage::from_fn(7, 5, |x, y| Rgb([x as u8 * 30, y as u8 * 50, 9]));
        assert_eq!(resize(&image, 7, 5, Filter::Bicubic), image);
    }

    proptest! {
        #[test]
        fn one_color_stays_one_color(
            from in (1u32..40, 1u32..40), to in (1u32..40, 1u32..40), color: [u8; 3], cubic: bool,
        ) {
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            let image = RgbImage::from_pixel(from.0, from.1, Rgb(color));
            let expected = RgbImage::from_pixel(to.0, to.1, Rgb(color));
            prop_assert_eq!(resize(&image, to.0, to.1, filter), expected);
        }
    }
}
