use image::{GrayImage, Luma};
use proptest::prelude::*;

use super::*;

/// The plain way: every pixel looks at every other one within reach.
fn plainly(mask: &GrayImage, radius: i32, pick: fn(u8, u8) -> u8) -> GrayImage {
    GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
        let mut found = mask.get_pixel(x, y)[0];
        for dy in -radius..=radius {
            for dx in -radius..=radius {
                let within = f64::from(dx * dx + dy * dy) <= (f64::from(radius) + 0.5).powi(2);
                let (nx, ny) = (x.wrapping_add_signed(dx), y.wrapping_add_signed(dy));
                if let (true, Some(pixel)) = (within, mask.get_pixel_checked(nx, ny)) {
                    found = pick(found, pixel[0]);
                }
            }
        }
        Luma([found])
    })
}

fn after(
    mask: &GrayImage,
    radius: u32,
    operation: fn(&mut GrayImage, &mut Patch, u32) -> Option<Rect>,
) -> GrayImage {
    let mut mask = mask.clone();
    operation(&mut mask, &mut Patch::default(), radius);
    mask
}

/// A mask over several tiles with a few soft rectangles.
fn masks() -> impl Strategy<Value = GrayImage> {
    let part = (0u32..290, 0u32..150, 1u32..90, 1u32..60, any::<u8>());
    (1u32..300, 1u32..160, proptest::collection::vec(part, 0..6)).prop_map(|(width, height, parts)| {
        let mut mask = GrayImage::new(width, height);
        for (x, y, w, h, coverage) in parts {
            for y in y..(y + h).min(height) {
                for x in x..(x + w).min(width) {
                    mask.put_pixel(x, y, Luma([coverage]));
                }
            }
        }
        mask
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn growing_and_shrinking_are_what_the_plain_way_finds(mask in masks(), radius in 0u32..12) {
        prop_assert_eq!(after(&mask, radius, grow), plainly(&mask, radius as i32, u8::max));
        prop_assert_eq!(after(&mask, radius, shrink), plainly(&mask, radius as i32, u8::min));
    }

    #[test]
    fn growing_and_then_shrinking_takes_nothing_away(mask in masks(), radius in 0u32..40) {
        let closed = after(&after(&mask, radius, grow), radius, shrink);
        prop_assert!(closed.as_raw().iter().zip(mask.as_raw()).all(|(closed, before)| closed >= before));
        let opened = after(&after(&mask, radius, shrink), radius, grow);
        prop_assert!(opened.as_raw().iter().zip(mask.as_raw()).all(|(opened, before)| opened <= before));
    }

    #[test]
    fn feathering_is_the_same_whatever_the_tiles(mask in masks(), radius in 1u32..20) {
        // Moved by half a tile; far from the edges nothing may differ.
        let (dx, dy) = (64, 64);
        let moved = GrayImage::from_fn(mask.width() + dx, mask.height() + dy, |x, y| {
            *mask.get_pixel(x.saturating_sub(dx), y.saturating_sub(dy))
        });
        let (here, there) = (after(&mask, radius, feather), after(&moved, radius, feather));
        let safe = |length: u32| 3 * radius..length;
        for y in safe(mask.height()) {
            for x in safe(mask.width()) {
                prop_assert_eq!(here.get_pixel(x, y), there.get_pixel(x + dx, y + dy), "{},{}", x, y);
            }
        }
    }
}

#[test]
fn a_feathered_edge_keeps_its_middle_and_its_area() {
    let mask = GrayImage::from_fn(300, 40, |x, _| Luma([if x < 150 { 255 } else { 0 }]));
    let soft = after(&mask, 10, feather);
    let row: Vec<u8> = (0..300).map(|x| soft.get_pixel(x, 20)[0]).collect();
    assert!(row.windows(2).all(|pair| pair[0] >= pair[1]), "it falls all the way");
    assert_eq!((row[110], row[185]), (255, 0));
    assert!((i32::from(row[149]) + i32::from(row[150]) - 255).abs() <= 1, "{:?}", &row[148..152]);
}
