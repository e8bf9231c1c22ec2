use image::{Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::mask::Mask;
use crate::rng::stream;

fn plain(width: u32, height: u32) -> Cutout {
    Cutout::new(&RgbImage::from_pixel(width, height, Rgb([9, 90, 9])), &Mask::full(width, height)).unwrap()
}

fn shape(name: &str, cutout: &Cutout) -> Shape {
    Shape { subject: SubjectId::new(name).unwrap(), width: cutout.width(), height: cutout.height() }
}

fn one(fields: &str) -> Result<Layout, LayoutError> {
    Layout::from_json(&format!(r#"{{"version": 1, "subjects": [{{"subject": "a", {fields}}}]}}"#))
}

#[test]
fn the_height_follows_the_cutout_unless_it_is_given() {
    let cutout = plain(20, 40);
    let layout = one(r#""x": 0.25, "y": 0, "width": 0.25"#).unwrap();
    let collage = layout.render((64, 64), |_, _| Some(&cutout)).unwrap();
    assert_eq!(collage.union.bounding_box(), Some(crate::geometry::Rect::new(16, 0, 16, 32)));
    let flat = one(r#""x": 0.25, "y": 0, "width": 0.25, "height": 0.125"#).unwrap();
    let collage = flat.render((64, 64), |_, _| Some(&cutout)).unwrap();
    assert_eq!(collage.union.bounding_box(), Some(crate::geometry::Rect::new(16, 0, 16, 8)));
}

#[test]
fn side_by_side_nobody_covers_anybody() {
    let subjects: Vec<_> = (0..=MAX_SUBJECTS)
        .map(|number| (SubjectId::new(&format!("s{number}")).unwrap(), Some(number)))
        .collect();
    let cases =
        Aspect::ALL.into_iter().flat_map(|aspect| (1..=subjects.len()).map(move |count| (aspect, count)));
    for (aspect, count) in cases {
        let layout = Layout::side_by_side(aspect, &subjects[..count]);
        layout.validate().unwrap();
        assert_eq!(layout.subjects.len(), count.min(MAX_SUBJECTS));
        let ends = layout.subjects.iter().map(|placed| (placed.x, placed.x + placed.width));
        let ends: Vec<f64> = ends.flat_map(|(left, right)| [left, right]).collect();
        assert!(ends.is_sorted() && ends[0] > 0.0 && ends[ends.len() - 1] < aspect.ratio(), "{ends:?}");
    }
    assert_eq!(Layout::side_by_side(Aspect::Square, &subjects[..2]).subjects[1].photo, Some(1));
}

#[test]
fn a_subject_may_reach_over_the_edge() {
    let cutout = plain(10, 10);
    let layout = one(r#""x": -0.25, "y": 0.75, "width": 0.5"#).unwrap();
    let collage = layout.render((32, 32), |_, _| Some(&cutout)).unwrap();
    assert_eq!(collage.union.bounding_box(), Some(crate::geometry::Rect::new(0, 24, 8, 8)));
}

#[test]
fn faults_are_named() {
    let message = |fields: &str| one(fields).unwrap_err().to_string();
    assert_eq!(
        message(r#""x": 3, "y": 0, "width": 0.5"#),
        "subject 1 of the layout (`a`): `x` is 3; write -2 to 1"
    );
    assert!(message(r#""x": 0, "y": 0, "width": 0"#).contains("`width` is 0; write 0.0005 to 2"));
    assert!(message(r#""x": -0.5, "y": 0, "width": 0.5"#).contains("outside of the canvas"));
    assert!(message(r#""x": 0, "y": 0, "w": 0.5"#).contains("unknown field `w`"));
    assert!(message(r#""x": 0, "y": 0"#).contains("missing field `width`"));
    let old = Layout::from_json(r#"{"version": 2, "subjects": []}"#).unwrap_err();
    assert_eq!(old, LayoutError::Version(2));
    let marked = Layout::from_json("\u{feff}{\"version\": 2, \"subjects\": []}").unwrap_err();
    assert_eq!(marked, LayoutError::Version(2), "a byte order mark is no fault");
    let none = Layout::from_json(r#"{"version": 1, "subjects": []}"#).unwrap_err();
    assert!(matches!(none, LayoutError::Collage(CollageError::Count { count: 0, .. })));
    let layout = one(r#""photo": 7, "x": 0, "y": 0, "width": 0.5"#).unwrap();
    let error = layout.render((64, 64), |_, _| None).unwrap_err().to_string();
    assert!(error.contains("photo 7 (counted from 0) of `a`"), "{error}");
}

#[test]
fn an_endless_strip_is_refused_before_it_is_scaled() {
    let strip = plain(1, 4000);
    let layout = one(r#""x": 0, "y": 0, "width": 2"#).unwrap();
    let error = layout.render((4096, 4096), |_, _| Some(&strip)).unwrap_err();
    assert!(matches!(error, LayoutError::Collage(CollageError::Large { .. })), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_layouts_are_valid_and_survive_json(seed: u64, n in 1usize..=5, w in 1u32..300, h in 1u32..300) {
        let cutout = plain(w, h);
        let items: Vec<_> = (0..n).map(|i| (shape(&format!("s{i}"), &cutout), Some(i))).collect();
        let layout = Layout::random(&mut stream(seed, "layout", 0), &items, Aspect::Square, &Options::default()).unwrap();
        prop_assert_eq!(layout.validate(), Ok(()));
        prop_assert_eq!(&Layout::from_json(&layout.to_json()).unwrap(), &layout);
        prop_assert!(layout.render((96, 96), |_, _| Some(&cutout)).is_ok());
    }

    #[test]
    fn no_text_and_no_number_panics(
        text in ".{0,80}", x: f64, y: f64, width: f64, height: Option<f64>, z: i32, flip: bool, rotation: f64,
    ) {
        drop(Layout::from_json(&text));
        let subject = SubjectId::new("a").unwrap();
        let layout = Layout::new(Aspect::Square, vec![Placement { subject, photo: None, x, y, width, height, z, flip, rotation }]);
        let cutout = plain(3, 2);
        drop(layout.render((64, 64), |_, _| Some(&cutout)));
    }
}

#[test]
fn a_random_layout_renders_the_pixels_of_seg_mix() {
    let cutouts = [plain(30, 70), plain(50, 20)];
    let names = ["a", "b"].map(|name| SubjectId::new(name).unwrap());
    let items: Vec<_> = names.iter().zip(&cutouts).map(|(n, c)| (shape(n.as_str(), c), None)).collect();
    let layout =
        Layout::random(&mut stream(5, "layout", 0), &items, Aspect::Square, &Options::default()).unwrap();
    let lookup = |id: &SubjectId, _| Some(&cutouts[usize::from(id.as_str() == "b")]);
    let pairs: Vec<_> = names.iter().cloned().zip(&cutouts).collect();
    let direct =
        segmix::compose(&mut stream(5, "layout", 0), (1024, 1024), &pairs, &Options::default()).unwrap();
    assert_eq!(layout.render((1024, 1024), lookup).unwrap(), direct);
}

#[test]
fn files_without_turns_are_read_and_written_as_before() {
    let text = r#"{"version":1,"subjects":[{"subject":"a","photo":2,"x":0.1,"y":0.3,"width":0.4,"z":1}]}"#;
    let layout = Layout::from_json(text).unwrap();
    assert_eq!((layout.subjects[0].flip, layout.subjects[0].rotation), (false, 0.0));
    assert_eq!(serde_json::to_string(&layout).unwrap(), text);
    let turned = one(r#""x": 0, "y": 0, "width": 0.5, "flip": true, "rotation": -30"#).unwrap();
    assert_eq!(Layout::from_json(&turned.to_json()).unwrap(), turned);
    let far = one(r#""x": 0, "y": 0, "width": 0.5, "rotation": 400"#).unwrap_err().to_string();
    assert!(far.contains("`rotation` is 400; write -360 to 360"), "{far}");
}

#[test]
fn a_subject_whose_height_its_cutout_tells_is_not_lost_above_the_canvas() {
    let cutout = plain(10, 20);
    let outside = |fields: &str| {
        let rendered =
            one(fields).and_then(|layout| layout.render((32, 32), |_, _| Some(&cutout)).map(|_| ()));
        matches!(rendered, Err(LayoutError::Outside { position: 1, .. }))
    };
    assert!(outside(r#""x": 0.3, "y": -0.7, "width": 0.3"#));
    assert!(outside(r#""x": -0.9, "y": 0.2, "width": 0.2, "rotation": 10"#));
    assert!(!outside(r#""x": 0.3, "y": -0.5, "width": 0.3"#));
}

#[test]
fn a_subject_turned_by_a_quarter_lies_on_its_side() {
    let cutout = plain(10, 20);
    let layout = one(r#""x": 0.25, "y": 0, "width": 0.5, "height": 1, "rotation": 90"#).unwrap();
    let collage = layout.render((32, 32), |_, _| Some(&cutout)).unwrap();
    assert_eq!(collage.parts[0].rect, crate::geometry::Rect::new(0, 8, 32, 16));
    assert_eq!(collage.union.bounding_box(), Some(crate::geometry::Rect::new(0, 8, 32, 16)));
}

#[test]
fn a_long_subject_may_be_seen_only_because_it_is_turned() {
    let upright = r#""x": 1, "y": 0.2, "width": 0.1, "height": 0.6"#;
    assert!(matches!(one(upright), Err(LayoutError::Outside { .. })));
    assert!(one(&format!("{upright}, \"rotation\": 90")).is_ok());
}

/// What is placed on a canvas of any proportions keeps its own, and lies where the layout says, counted from the middle across.
#[test]
fn on_a_wide_canvas_lengths_are_fractions_of_its_height() {
    let cutout = plain(20, 20);
    let wide = |aspect: &str| {
        let text = r#"{"version": 1, "aspect": "ASPECT", "subjects": [{"subject": "a", "x": 1.25, "y": 0.5, "width": 0.25}]}"#;
        Layout::from_json(&text.replace("ASPECT", aspect))
    };
    let layout = wide("3:2").unwrap();
    assert_eq!(layout.aspect, Aspect::Photo);
    assert_eq!(Layout::from_json(&layout.to_json()).unwrap(), layout);
    let seen = |size| layout.render(size, |_, _| Some(&cutout)).unwrap().union.bounding_box();
    assert_eq!(seen((96, 64)), Some(crate::geometry::Rect::new(80, 32, 16, 16)));
    // A little wider than 3:2: as much more on either side. Not wide enough: it is cut off.
    assert_eq!(seen((104, 64)), Some(crate::geometry::Rect::new(84, 32, 16, 16)));
    assert_eq!(seen((80, 64)), Some(crate::geometry::Rect::new(72, 32, 8, 16)));
    let error = wide("1:1").unwrap_err().to_string();
    assert_eq!(error, "subject 1 of the layout (`a`): `x` is 1.25; write -2 to 1");
    assert!(matches!(wide("2:3"), Err(LayoutError::Range { .. })));
    assert!(wide("7:3").unwrap_err().to_string().contains("16:9"), "the proportions that there are");
    // A portrait's canvas ends before 1.
    let beside = r#"{"version": 1, "aspect": "2:3", "subjects": [{"subject": "a", "x": 0.7, "y": 0.5, "width": 0.25}]}"#;
    assert!(matches!(Layout::from_json(beside), Err(LayoutError::Outside { .. })));
}

proptest! {
    #[test]
    fn random_layouts_of_any_proportions_are_sound(seed in 0u64..500, count in 1usize..6, aspect in 0usize..9) {
        let aspect = Aspect::ALL[aspect];
        let cutout = plain(30, 40);
        let items: Vec<_> = (0..count).map(|index| (shape(&format!("s{index}"), &cutout), None)).collect();
        let layout = Layout::random(&mut stream(seed, "layout", 0), &items, aspect, &Options::default()).unwrap();
        layout.validate().unwrap();
        let [height, width] = aspect.size(96, 8).map(|side| side as u32);
        let collage = layout.render((width, height), |_, _| Some(&cutout)).unwrap();
        prop_assert_eq!(collage.image.dimensions(), (width, height));
        for placed in &layout.subjects {
            prop_assert!(placed.x >= 0.0 && placed.x + placed.width <= aspect.ratio() + 1e-3);
            prop_assert!(placed.y >= 0.0 && placed.y + placed.height.unwrap_or(0.0) <= 1.0);
        }
    }
}
