//! OWLv2's input: padded to a square, smoothed, resized, normalized (`Owlv2ImageProcessor` of transformers).

use image::RgbImage;
use mudi_diffusion::{Error, Result};
use serde::Deserialize;

use super::smooth::{Tap, taps};
use super::{CLIP, Normalization, Pixels, check_not_empty, steps};

/// The steps from an image to OWLv2's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwlProcessor {
    /// Side of the square input in pixels: 960 for the base, 1008 for the large model.
    pub side: usize,
    /// The gray, 0..=1, that fills the square below and on the right. 0 (black) in OWLv2's training and in today's transformers; OWL-ViT
    /// and versions before 5 took 0.5.
    pub fill: f32,
    /// What the values are normalized by.
    pub normalization: Normalization,
}

/// The largest side, in pixels.
const LONGEST: u32 = 1 << 13;
/// The side that a file means which does not say it, as in transformers.
const UNSAID: u32 = 960;

impl OwlProcessor {
    /// The processor of a network that takes squares of `side` pixels.
    #[must_use]
    pub fn new(side: usize) -> Self {
        Self { side, fill: 0.0, normalization: CLIP }
    }

    /// The processor that a `preprocessor_config.json` describes.
    ///
    /// # Errors
    /// Text that is no such file; a size that is no square; a step that is left out.
    pub fn from_json(text: &str) -> Result<Self> {
        steps::check(text, &["do_pad", "do_resize", "do_rescale", "do_normalize"])?;
        let file: File = mudi_diffusion::parse(text)?;
        let (height, width) = match file.size {
            None => (UNSAID, UNSAID),
            Some(Size::Side(side)) => (side, side),
            Some(Size::Sides { height, width }) => (height, width),
        };
        if height != width || height == 0 || height > LONGEST {
            let reason =
                format!("`size` is {width} x {height}; it must be a square of 1 to {LONGEST} pixels");
            return Err(Error::Config(reason));
        }
        let normalization = Normalization {
            mean: file.image_mean.unwrap_or(CLIP.mean),
            deviation: file.image_std.unwrap_or(CLIP.deviation),
        };
        if !normalization.deviation.iter().all(|value| value.is_normal()) {
            return Err(Error::Config("`image_std` must not be 0".to_owned()));
        }
        Ok(Self { side: height as usize, fill: 0.0, normalization })
    }

    /// The input that the network takes for `image`.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels> {
        check_not_empty(image)?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        // The square is never made: where a tap reaches beyond the image, it meets the fill.
        let taps = taps(width.max(height), self.side);
        let bytes = image.as_raw();
        let rows: Vec<Vec<f32>> =
            bytes.chunks_exact(3 * width).map(|row| self.resample_row(row.as_chunks().0, &taps)).collect();
        let values = taps.iter().flat_map(|tap| self.blend_rows(&rows, tap)).collect();
        let pixels = Pixels { height: self.side, width: self.side, values };
        Ok(pixels.normalized(&self.normalization))
    }

    fn resample_row(&self, row: &[[u8; 3]], taps: &[Tap]) -> Vec<f32> {
        let mut out = Vec::with_capacity(3 * taps.len());
        for tap in taps {
            let mut sums = [0.0; 3];
            for &(at, weight) in tap {
                match row.get(at) {
                    Some(pixel) => {
                        for (sum, &value) in sums.iter_mut().zip(pixel) {
                            *sum += weight / 255.0 * f32::from(value);
                        }
                    }
                    None => sums.iter_mut().for_each(|sum| *sum += weight * self.fill),
                }
            }
            out.extend(sums);
        }
        out
    }

    fn blend_rows(&self, rows: &[Vec<f32>], tap: &Tap) -> Vec<f32> {
        let mut sums = vec![0.0; 3 * self.side];
        for &(at, weight) in tap {
            match rows.get(at) {
                Some(row) => sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value),
                None => sums.iter_mut().for_each(|sum| *sum += weight * self.fill),
            }
        }
        sums
    }
}

#[derive(Deserialize)]
struct File {
    size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Side(u32),
    Sides { height: u32, width: u32 },
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn what_is_not_the_image_is_filled() {
        let processor = OwlProcessor {
            normalization: Normalization { mean: [0.0; 3], deviation: [1.0; 3] },
            ..OwlProcessor::new(4)
        };
        let wide = RgbImage::from_pixel(8, 4, Rgb([255; 3]));
        let pixels = processor.apply(&wide).unwrap();
        assert!(pixels.values[..4 * 3].iter().all(|value| (value - 1.0).abs() < 0.02));
        assert!(pixels.values[3 * 4 * 3..].iter().all(|value| value.abs() < 0.02));
    }

    #[test]
    fn files_are_read_or_refused() {
        let text = r#"{"do_pad": true, "size": {"height": 1008, "width": 1008}}"#;
        assert_eq!(OwlProcessor::from_json(text).unwrap(), OwlProcessor::new(1008));
        assert_eq!(OwlProcessor::from_json(r#"{"size": 1008}"#).unwrap(), OwlProcessor::new(1008));
        assert_eq!(OwlProcessor::from_json("{}").unwrap(), OwlProcessor::new(960));
        for text in [
            "[]",
            r#"{"size": 0}"#,
            r#"{"size": {"height": 0, "width": 0}}"#,
            r#"{"size": {"height": 4, "width": 5}}"#,
            r#"{"size": {"shortest_edge": 960}}"#,
        ] {
            assert!(OwlProcessor::from_json(text).is_err(), "{text}");
        }
        for step in ["do_pad", "do_resize", "do_rescale", "do_normalize"] {
            let text = format!(r#"{{"size": {{"height": 8, "width": 8}}, "{step}": false}}"#);
            let error = OwlProcessor::from_json(&text).unwrap_err().to_string();
            assert!(error.contains(step), "{error}");
        }
        assert!(OwlProcessor::new(8).apply(&RgbImage::new(3, 0)).is_err());
        assert!(OwlProcessor::new(8).apply(&RgbImage::new(1, 1)).is_ok());
    }
}
