//! Parts of images, as the embedder sees them.

use image::{Rgb, RgbImage, imageops};
use mudi_domain::geometry::{Rect, UnitBox};

/// All of an image.
pub(crate) fn whole(image: &RgbImage) -> Rect {
    Rect::whole(image.width(), image.height())
}

/// The pixels of a box that lie in the image; `None` where there are none.
pub(crate) fn inside(image: &RgbImage, bounds: &UnitBox) -> Option<Rect> {
    bounds.to_pixels(image.width(), image.height()).intersect(&whole(image))
}

/// A part of an image, which lies in it, in the middle of a white square.
pub(crate) fn on_square(image: &RgbImage, part: Rect) -> RgbImage {
    let side = part.width.max(part.height);
    let mut square = RgbImage::from_pixel(side, side, Rgb([255; 3]));
    let crop = imageops::crop_imm(image, part.x as u32, part.y as u32, part.width, part.height);
    let (x, y) = ((side - part.width) / 2, (side - part.height) / 2);
    imageops::replace(&mut square, &*crop, i64::from(x), i64::from(y));
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stands_in_the_middle_of_a_white_square() {
        let image = RgbImage::from_fn(6, 4, |x, y| Rgb([x as u8, y as u8, 0]));
        let square = on_square(&image, Rect::new(2, 1, 1, 3));
        assert_eq!(square.dimensions(), (3, 3));
        assert!((0..3).all(|y| square.get_pixel(1, y).0 == [2, 1 + y as u8, 0]));
        assert!((0..3).all(|y| square.get_pixel(0, y).0 == [255; 3] && square.get_pixel(2, y).0 == [255; 3]));
    }

    #[test]
    fn boxes_are_cut_to_the_image() {
        let image = RgbImage::new(10, 20);
        let bounds = UnitBox { x: -0.5, y: 0.75, width: 1.0, height: 1.0 };
        assert_eq!(inside(&image, &bounds), Some(Rect::new(0, 15, 5, 5)));
        assert_eq!(inside(&image, &UnitBox { x: 1.5, ..bounds }), None);
    }
}
