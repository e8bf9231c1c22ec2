//! Cut-Mix: the baseline that MuDI is compared with (MuDI, section 5 and appendix on baselines).
//!
//! Two whole photos stand side by side, background and all. What it teaches, and what Seg-Mix avoids, is the seam.

use image::RgbImage;
use image::imageops::{self, FilterType};
use rand::Rng;

use crate::collage::{Collage, CollageError, Placed, check};
use crate::geometry::Rect;
use crate::mask::Mask;
use crate::rng::Stream;
use crate::subject::SubjectId;

/// A random Cut-Mix of two photos on a canvas of `size` pixels (width and height): each fills one half, cropped at its centre to
/// cover it; which one stands on the left is drawn. Photos need at least one pixel.
///
/// `parts` keeps the order of `photos`; the union covers the whole canvas, so that no loss is masked.
///
/// # Errors
/// Where the canvas is out of range, or a photo has no pixels.
pub fn compose(
    rng: &mut Stream,
    size: (u32, u32),
    photos: [(SubjectId, &RgbImage); 2],
) -> Result<Collage, CollageError> {
    check(size, photos.iter().filter(|(_, photo)| !photo.is_empty()).count(), 2)?;
    let swap = rng.random_bool(0.5);
    let (width, height) = size;
    let middle = width / 2;
    let left = Rect::new(0, 0, middle, height);
    let right = Rect::new(middle as i32, 0, width - middle, height);
    let rects = if swap { [right, left] } else { [left, right] };
    let mut image = RgbImage::new(width, height);
    let parts = photos
        .into_iter()
        .zip(rects)
        .map(|((subject, photo), rect)| {
            let half = cover(photo, rect.width, rect.height);
            imageops::replace(&mut image, &half, i64::from(rect.x), i64::from(rect.y));
            let mut visible = Mask::empty(width, height);
            let filled = Mask::full(rect.width, rect.height);
            let at = (i64::from(rect.x), i64::from(rect.y));
            imageops::replace(visible.as_gray_mut(), filled.as_gray(), at.0, at.1);
            Placed { subject, rect, visible }
        })
        .collect();
    let left_to_right = if swap { vec![1, 0] } else { vec![0, 1] };
    Ok(Collage { image, union: Mask::full(width, height), parts, left_to_right })
}

/// The middle of `photo`, as large as has the shape of `width` x `height`, at that size.
fn cover(photo: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = photo.dimensions();
    let scale = (f64::from(from_width) / f64::from(width)).min(f64::from(from_height) / f64::from(height));
    let crop = |target: u32, limit: u32| ((f64::from(target) * scale).round() as u32).clamp(1, limit);
    let (w, h) = (crop(width, from_width), crop(height, from_height));
    let middle = imageops::crop_imm(photo, (from_width - w) / 2, (from_height - h) / 2, w, h);
    imageops::resize(&*middle, width, height, FilterType::CatmullRom)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::rng::stream;

    #[test]
    fn each_photo_fills_a_half() {
        let (red, blue) =
            (RgbImage::from_pixel(30, 90, Rgb([200, 0, 0])), RgbImage::from_pixel(90, 20, Rgb([0, 0, 200])));
        let mut red_left = 0;
        for seed in 0..40 {
            let ids = ["a", "b"].map(|text| SubjectId::new(text).unwrap());
            let [a, b] = ids;
            let collage = compose(&mut stream(seed, "cutmix", 0), (65, 65), [(a, &red), (b, &blue)]).unwrap();
            let left_is_red = collage.left_to_right == [0, 1];
            red_left += usize::from(left_is_red);
            for (x, y, pixel) in collage.image.enumerate_pixels() {
                let red = (x < 32) == left_is_red;
                assert_eq!(pixel.0, if red { [200, 0, 0] } else { [0, 0, 200] }, "{x},{y}");
                assert_eq!(collage.parts[usize::from(!red)].visible.coverage(x, y), 255);
            }
            assert_eq!(collage.union, Mask::full(65, 65));
        }
        assert!((10..30).contains(&red_left));
    }

    #[test]
    fn a_photo_without_pixels_is_refused() {
        let [a, b] = ["a", "b"].map(|text| SubjectId::new(text).unwrap());
        let (none, one) = (RgbImage::new(0, 5), RgbImage::new(1, 1));
        assert!(compose(&mut stream(0, "cutmix", 0), (64, 64), [(a, &none), (b, &one)]).is_err());
    }
}
