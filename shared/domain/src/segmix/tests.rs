use image::{GrayImage, Luma, Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::mask::Mask;
use crate::rng::stream;

fn id(text: &str) -> SubjectId {
    SubjectId::new(text).unwrap()
}

/// A cutout of one dark color: an ellipse that fills its box, with a soft rim.
fn ellipse(width: u32, height: u32, color: [u8; 3]) -> Cutout {
    let distance = |x: u32, y: u32| {
        let (rx, ry) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
        ((f64::from(x) + 0.5 - rx) / rx).hypot((f64::from(y) + 0.5 - ry) / ry)
    };
    let mask = GrayImage::from_fn(width, height, |x, y| {
        Luma([((1.2 - distance(x, y)) * 1000.0).clamp(0.0, 255.0) as u8])
    });
    Cutout::new(&RgbImage::from_pixel(width, height, Rgb(color)), &Mask::from_gray(mask)).unwrap()
}

fn shapes(extents: &[(u32, u32)]) -> Vec<Shape> {
    (0..)
        .zip(extents)
        .map(|(i, &(width, height))| Shape { subject: id(&format!("s{i}")), width, height })
        .collect()
}

fn sizes() -> impl Strategy<Value = Sizes> {
    prop_oneof![Just(Sizes::Free), Just(Sizes::Relative("s0=0.4,s1=0.9".parse().unwrap())),]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_colored_pixel_lies_in_the_union(
        seed: u64, size in 24u32..80, w in 1u32..60, h in 1u32..60, n in 1usize..=5, sizes in sizes(),
    ) {
        let cutouts: Vec<Cutout> =
            (0..n as u32).map(|i| ellipse(w + i, h + 2 * i, [20 * i as u8, 40, 90])).collect();
        let items: Vec<_> = cutouts.iter().enumerate().map(|(i, c)| (id(&format!("s{i}")), c)).collect();
        let options = Options { sizes, ..Options::default() };
        let collage = compose(&mut stream(seed, "segmix", 1), (size, size), &items, &options).unwrap();
        prop_assert_eq!(collage.image.dimensions(), (size, size));
        for (x, y, pixel) in collage.image.enumerate_pixels() {
            let union = collage.union.coverage(x, y);
            prop_assert!(pixel.0 == [255; 3] || union > 0);
            // What is visible of all parts adds up to the union, up to rounding.
            let visible: u32 = collage.parts.iter().map(|p| u32::from(p.visible.coverage(x, y))).sum();
            prop_assert!(visible.abs_diff(u32::from(union)) <= n as u32, "{visible} of {union}");
        }
        let mut sorted = collage.left_to_right.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        // The same stream makes the same bytes.
        let again = compose(&mut stream(seed, "segmix", 1), (size, size), &items, &options).unwrap();
        prop_assert_eq!(collage, again);
    }

    #[test]
    fn pairs_keep_the_margins_and_the_scale(
        seed: u64, size in prop::sample::select(vec![64u32, 96, 128, 512, 1024]),
        a in (1u32..2000, 1u32..2000), b in (1u32..2000, 1u32..2000), wide: bool,
    ) {
        let shapes = shapes(&[a, b]);
        // The paper's law, and one with more room.
        let paper = Options::default();
        let options = if wide { Options { max_width: 0.8, margin: 64, ..paper } } else { paper };
        let slots = arrange(&mut stream(seed, "segmix", 0), (size, size), &shapes, &options).unwrap();
        let scale = f64::from(size) / 1024.0;
        let (left, right) = if slots[0].rect.center().0 < slots[1].rect.center().0 { (0, 1) } else { (1, 0) };
        let margin = (f64::from(options.margin) * scale).round() as i64;
        prop_assert!((1..=margin).contains(&i64::from(slots[left].rect.x)));
        prop_assert!((1..=margin).contains(&(i64::from(size) - slots[right].rect.right())));
        for (slot, shape) in slots.iter().zip(&shapes) {
            prop_assert!(slot.rect.is_within(size, size));
            let (w, h) = (f64::from(shape.width), f64::from(shape.height));
            let (room_w, room_h) = (f64::from(size) * options.max_width - 32.0 * scale, f64::from(size) - 32.0 * scale);
            let largest = (room_w / w).min(room_h / h);
            let (rw, rh) = (f64::from(slot.rect.width), f64::from(slot.rect.height));
            prop_assert!(rw <= (largest * w).round().max(1.0) && rh <= (largest * h).round().max(1.0));
            prop_assert!(rw >= (0.75 * largest * w - 1.0).floor() && rh >= (0.75 * largest * h - 1.0).floor());
        }
    }

    #[test]
    fn nothing_leaves_the_canvas(
        seed: u64, size in 16u32..300, margin in 1u32..=512, min_scale in 0.1..=1.0, max_width in 0.1..=1.0, sizes in sizes(),
        extents in prop::collection::vec((1u32..5000, 1u32..5000), 1..=8),
    ) {
        let options = Options { min_scale, max_width, margin, sizes };
        let slots = arrange(&mut stream(seed, "segmix", 0), (size, size), &shapes(&extents), &options).unwrap();
        prop_assert!(slots.iter().all(|slot| slot.rect.is_within(size, size)), "{:?}", slots);
        let mut stack: Vec<i32> = slots.iter().map(|slot| slot.z).collect();
        stack.sort_unstable();
        prop_assert_eq!(stack, (0..extents.len() as i32).collect::<Vec<_>>());
    }
}

#[test]
fn the_one_on_top_is_wholly_visible() {
    let (red, blue) = (ellipse(50, 70, [200, 0, 0]), ellipse(60, 60, [0, 0, 200]));
    let (mut overlaps, mut tops) = (0, [0, 0]);
    for seed in 0..60 {
        let mut rng = stream(seed, "segmix", 0);
        let options = Options::default();
        let shapes = vec![
            Shape { subject: id("a"), width: 50, height: 70 },
            Shape { subject: id("b"), width: 60, height: 60 },
        ];
        let slots = arrange(&mut rng, (128, 128), &shapes, &options).unwrap();
        let collage = compose(
            &mut stream(seed, "segmix", 0),
            (128, 128),
            &[(id("a"), &red), (id("b"), &blue)],
            &options,
        )
        .unwrap();
        let top = usize::from(slots[1].z > slots[0].z);
        tops[top] += 1;
        let rect = collage.parts[top].rect;
        let alone = [&red, &blue][top].scaled(rect.width, rect.height);
        assert_eq!(&collage.parts[top].visible.crop(rect), alone.mask());
        let both = collage.parts[0].rect.intersect(&collage.parts[1].rect);
        overlaps += usize::from(both.is_some());
    }
    assert!(overlaps > 20, "subjects must overlap often: {overlaps} of 60");
    assert!(tops[0] > 15 && tops[1] > 15, "either comes to lie on top: {tops:?}");
}

#[test]
fn a_fixed_relative_size_fixes_the_factors() {
    let options = Options { sizes: Sizes::Relative("s0=1,s1=0.6".parse().unwrap()), ..Options::default() };
    let slots =
        arrange(&mut stream(3, "segmix", 0), (1024, 1024), &shapes(&[(100, 100), (100, 100)]), &options);
    let slots = slots.unwrap();
    assert_eq!((slots[0].rect.width, slots[1].rect.width), (480, 288));
}

#[test]
fn impossible_canvases_and_counts_are_refused() {
    let mut rng = stream(0, "segmix", 0);
    let one = shapes(&[(5, 5)]);
    let arrange =
        |rng: &mut Stream, size, shapes: &[Shape]| arrange(rng, (size, size), shapes, &Options::default());
    assert_eq!(arrange(&mut rng, 15, &one), Err(CollageError::Canvas { size: (15, 15) }));
    assert_eq!(arrange(&mut rng, 4097, &one), Err(CollageError::Canvas { size: (4097, 4097) }));
    assert_eq!(arrange(&mut rng, 64, &[]), Err(CollageError::Count { count: 0, least: 1 }));
    let nine = shapes(&[(5, 5); 9]);
    assert_eq!(arrange(&mut rng, 64, &nine), Err(CollageError::Count { count: 9, least: 1 }));
}
