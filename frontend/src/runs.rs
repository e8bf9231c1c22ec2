//! Masks of two values as the lengths of their runs: small enough to go between a page and its worker with every move of a
//! pointer.

use image::GrayImage;
use serde::{Deserialize, Serialize};

/// A mask that is white or black everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    width: u32,
    height: u32,
    /// Pixels row by row: so many black ones, so many white ones, and so on.
    lengths: Vec<u32>,
}

impl Runs {
    /// The runs of `coverage`, a byte for each pixel, row by row; white from 128 on. None where there are not as many bytes
    /// as pixels.
    #[must_use]
    pub fn of(width: u32, height: u32, coverage: &[u8]) -> Option<Self> {
        if u32::try_from(coverage.len()).ok() != width.checked_mul(height) {
            return None;
        }
        let mut lengths = Vec::new();
        let (mut white, mut length) = (false, 0);
        for &value in coverage {
            if (value >= 128) != white {
                lengths.push(length);
                (white, length) = (!white, 0);
            }
            length += 1;
        }
        lengths.push(length);
        Some(Self { width, height, lengths })
    }

    /// Whether nothing is white.
    #[must_use]
    pub fn is_black(&self) -> bool {
        self.lengths.len() <= 1
    }

    /// The mask. None where the runs are not as long as the mask has pixels.
    #[must_use]
    pub fn to_mask(&self) -> Option<GrayImage> {
        let count = self.width.checked_mul(self.height)?;
        let total = self.lengths.iter().try_fold(0_u32, |sum, &length| sum.checked_add(length))?;
        if total != count {
            return None;
        }
        let mut pixels = Vec::with_capacity(count as usize);
        for (index, &length) in self.lengths.iter().enumerate() {
            let value = if index % 2 == 0 { 0 } else { 255 };
            pixels.resize(pixels.len() + length as usize, value);
        }
        GrayImage::from_raw(self.width, self.height, pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_come_back() {
        for mask in ["......", "######", ".##.#.", "#....#", "#.#.#."] {
            let coverage: Vec<u8> = mask.bytes().map(|byte| if byte == b'#' { 255 } else { 0 }).collect();
            let runs = Runs::of(3, 2, &coverage).unwrap();
            assert_eq!(runs.to_mask().unwrap().into_raw(), coverage, "{mask}");
            assert_eq!(runs.is_black(), !mask.contains('#'), "{mask}");
        }
        let none = Runs::of(0, 7, &[]).unwrap();
        assert!(none.is_black() && none.to_mask().unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(Runs::of(3, 2, &[0; 5]), None);
        assert_eq!(Runs::of(u32::MAX, 2, &[0; 5]), None);
        for lengths in [vec![5], vec![3, 4], vec![u32::MAX, 7], Vec::new()] {
            assert_eq!(Runs { width: 3, height: 2, lengths }.to_mask(), None);
        }
    }
}
