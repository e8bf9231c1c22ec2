//! Several pictures in one.

use image::imageops;
use image::{Rgb, RgbImage};

/// What is between the pictures.
const PAPER: Rgb<u8> = Rgb([245, 243, 238]);

/// Lays `rows` of pictures out in a grid with `margin` pixels around each.
///
/// A column is as wide as its widest picture and a row as high as its highest; smaller ones are centered. The result
/// is never empty: without pictures it is blank.
#[must_use]
pub fn sheet(rows: &[Vec<RgbImage>], margin: u32) -> RgbImage {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<u32> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(RgbImage::width).max().unwrap_or(0))
        .collect();
    let heights: Vec<u32> =
        rows.iter().map(|row| row.iter().map(RgbImage::height).max().unwrap_or(0)).collect();
    let total = |sizes: &[u32]| sizes.iter().fold(margin, |sum, size| sum + size + margin).max(1);

    let mut sheet = RgbImage::from_pixel(total(&widths), total(&heights), PAPER);
    let mut top = margin;
    for (row, height) in rows.iter().zip(&heights) {
        let mut left = margin;
        for (picture, width) in row.iter().zip(&widths) {
            let x = left + (width - picture.width()) / 2;
            let y = top + (height - picture.height()) / 2;
            imageops::replace(&mut sheet, picture, x.into(), y.into());
            left += width + margin;
        }
        top += height + margin;
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, shade: u8) -> RgbImage {
        RgbImage::from_pixel(width, height, Rgb([shade; 3]))
    }

    #[test]
    fn pictures_lie_in_their_cells() {
        let sheet = sheet(&[vec![plain(4, 4, 1), plain(8, 4, 2)], vec![plain(4, 6, 3), plain(4, 6, 4)]], 2);
        assert_eq!(sheet.dimensions(), (2 + 4 + 2 + 8 + 2, 2 + 4 + 2 + 6 + 2));
        assert_eq!(sheet.get_pixel(0, 0), &PAPER);
        assert_eq!(sheet.get_pixel(2, 2), &Rgb([1; 3]));
        assert_eq!(sheet.get_pixel(15, 5), &Rgb([2; 3]));
        assert_eq!(sheet.get_pixel(2, 13), &Rgb([3; 3]));
        assert_eq!(sheet.get_pixel(9, 8), &PAPER, "a narrow picture is centered");
        assert_eq!(sheet.get_pixel(10, 8), &Rgb([4; 3]));
    }

    #[test]
    fn gaps_and_nothing_are_fine() {
        assert_eq!(sheet(&[], 0).dimensions(), (1, 1));
        assert_eq!(sheet(&[vec![]], 3).dimensions(), (3, 6));
        let ragged = sheet(&[vec![plain(2, 2, 9)], vec![], vec![plain(2, 2, 8), plain(3, 3, 7)]], 1);
        assert_eq!(ragged.dimensions(), (1 + 2 + 1 + 3 + 1, 1 + 2 + 1 + 1 + 3 + 1));
    }
}
