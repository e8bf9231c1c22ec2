use image::{Luma, LumaA, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

/// Masks up to 12 pixels a side, among them hard, soft and empty ones.
fn masks(sides: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = Mask> {
    (sides.clone(), sides).prop_flat_map(|(width, height)| of_size(width, height))
}

fn of_size(width: u32, height: u32) -> impl Strategy<Value = Mask> {
    let coverage = prop_oneof![3 => Just(0u8), 2 => Just(255u8), 2 => any::<u8>()];
    prop::collection::vec(coverage, (width * height) as usize)
        .prop_map(move |raw| Mask(GrayImage::from_raw(width, height, raw).unwrap()))
}

proptest! {
    #[test]
    fn a_mask_cropped_to_its_box_fills_it(mask in masks(1..=12)) {
        match mask.bounding_box() {
            None => prop_assert!(mask.is_empty()),
            Some(found) => {
                prop_assert!(found.is_within(mask.width(), mask.height()));
                let whole = Some(Rect::whole(found.width, found.height));
                prop_assert_eq!(mask.crop(found).bounding_box(), whole);
            }
        }
    }

    #[test]
    fn any_crop_is_of_the_asked_size(mask in masks(0..=6), x in -9i32..9, y in -9i32..9, w in 0u32..9, h in 0u32..9) {
        let cropped = mask.crop(Rect::new(x, y, w, h));
        prop_assert_eq!(cropped.as_gray().dimensions(), (w, h));
        for (cx, cy, pixel) in cropped.as_gray().enumerate_pixels() {
            let (sx, sy) = (i64::from(x) + i64::from(cx), i64::from(y) + i64::from(cy));
            let expected = match (u32::try_from(sx), u32::try_from(sy)) {
                (Ok(sx), Ok(sy)) => mask.coverage(sx, sy),
                _ => 0,
            };
            prop_assert_eq!(pixel[0], expected);
        }
    }

    #[test]
    fn resizing_keeps_the_range(mask in masks(0..=9), w in 0u32..20, h in 0u32..20) {
        let resized = mask.resize(w, h);
        prop_assert_eq!(resized.as_gray().dimensions(), (w, h));
        prop_assert!(resized.peak() <= mask.peak());
        let latent = mask.to_latent(w, h);
        prop_assert_eq!(latent.len(), (w * h) as usize);
        prop_assert!(latent.iter().all(|&v| (0.0..=f32::from(mask.peak()) / 255.0 + 1e-6).contains(&v)));
    }
}

#[test]
fn the_threshold_is_inclusive() {
    let mut mask = Mask::empty(3, 3);
    mask.as_gray_mut().put_pixel(1, 2, Luma([THRESHOLD - 1]));
    assert!(mask.is_empty() && mask.bounding_box().is_none());
    mask.as_gray_mut().put_pixel(1, 2, Luma([THRESHOLD]));
    assert_eq!(mask.bounding_box(), Some(Rect::new(1, 2, 1, 1)));
}

#[test]
fn latents_sample_between_the_middle_pixels() {
    // Shrinking 4 to 2 takes positions 0.5 and 2.5: the mean of a pair.
    let ramp = Mask(GrayImage::from_raw(4, 1, vec![0, 51, 102, 255]).unwrap());
    let latent = ramp.to_latent(2, 1);
    assert!((latent[0] - 0.1).abs() < 1e-6 && (latent[1] - 0.7).abs() < 1e-6, "{latent:?}");
    // The same size is the identity.
    assert_eq!(ramp.to_latent(4, 1), [0.0, 0.2, 0.4, 1.0]);
}

#[test]
fn alpha_counts_only_where_it_says_something() {
    let opaque = RgbaImage::from_pixel(2, 1, Rgba([255, 255, 255, 255]));
    assert_eq!(Mask::from_image(&opaque.into()), Mask::full(2, 1));
    let mut cut = RgbaImage::from_pixel(2, 1, Rgba([10, 20, 30, 255]));
    cut.put_pixel(0, 0, Rgba([255, 255, 255, 64]));
    assert_eq!(Mask::from_image(&cut.into()).into_gray().into_raw(), [64, 255]);
    let wide = image::ImageBuffer::from_pixel(1, 1, LumaA([0u16, 65535]));
    assert_eq!(Mask::from_image(&DynamicImage::ImageLumaA16(wide)), Mask::empty(1, 1));
}

#[test]
fn shares_by_hand() {
    let square = |from: u32, to: u32| {
        let inside = move |v: u32| (from..to).contains(&v);
        Mask(GrayImage::from_fn(9, 9, |x, y| Luma([if inside(x) && inside(y) { 255 } else { 0 }])))
    };
    assert_eq!(square(0, 4).iou(&square(2, 6)), 4.0 / 28.0);
    assert_eq!(square(0, 0).iou(&square(0, 0)), 1.0);
}
