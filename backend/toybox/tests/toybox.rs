//! What the toybox promises: the same scene gives the same picture, and the truth about it is true.

use mudi_domain::rng::stream;
use mudi_toybox::{
    Background, Kind, Naming, Options, Pattern, Scene, Toy, is_held_out, photo_set, random_identifier,
    similar_group, similar_pair, write_data_set,
};
use proptest::prelude::*;

const OPTIONS: Options = Options { size: [64; 2], held_out: false, counts: [1.0; 5], simple: 0.3 };

fn scene(seed: u64) -> Scene {
    Scene::random(&mut stream(seed, "test scene", 0), &OPTIONS)
}

#[test]
fn a_scene_survives_json_and_renders_the_same() {
    for seed in 0..10 {
        let scene = scene(seed);
        let read: Scene = serde_json::from_str(&serde_json::to_string(&scene).unwrap()).unwrap();
        assert_eq!(read, scene);
        assert_eq!(read.render(), scene.render());
    }
}

#[test]
fn each_toy_stays_visible_for_the_most_part() {
    let mut least = 1.0_f64;
    for seed in 0..150 {
        let scene = scene(seed);
        let masks = scene.render().masks;
        for (index, mask) in masks.iter().enumerate() {
            let alone = Scene { toys: vec![scene.toys[index].clone()], ..scene.clone() };
            let area = |mask: &image::GrayImage| mask.pixels().map(|p| f64::from(p.0[0])).sum::<f64>();
            least = least.min(area(mask) / area(&alone.render().masks[0]));
        }
    }
    assert!(least > 0.55, "only {least:.2} of a toy is visible");
}

#[test]
fn toys_are_inside_the_picture() {
    for seed in 0..150 {
        let scene = scene(seed);
        for (mask, (toy, pose)) in scene.render().masks.iter().zip(&scene.toys) {
            let edge = mask.enumerate_pixels().filter(|(x, y, p)| {
                p.0[0] >= 128 && (*x == 0 || *y == 0 || *x == mask.width() - 1 || *y == mask.height() - 1)
            });
            // A tail or an outstretched arm may touch the edge; a toy cut in two may not.
            assert!(edge.count() <= 12, "seed {seed}: {} at {pose:?}", toy.phrase());
        }
    }
}

#[test]
fn every_draw_finds_a_place() {
    let rng = &mut stream(11, "test places", 0);
    let alone = Options { counts: [1.0, 0.0, 0.0, 0.0, 0.0], simple: 0.9, ..OPTIONS };
    for _ in 0..3000 {
        assert_eq!(Scene::random(rng, &alone).toys.len(), 1);
    }
}

#[test]
fn outside_the_masks_only_shadows_change_the_background() {
    let mut scene = scene(3);
    scene.shadows = false;
    let full = scene.render();
    let empty = Scene { toys: Vec::new(), ..scene }.render();
    for (x, y, pixel) in full.image.enumerate_pixels() {
        if full.masks.iter().all(|mask| mask.get_pixel(x, y).0[0] == 0) {
            assert_eq!(pixel, empty.image.get_pixel(x, y));
        }
    }
}

#[test]
fn masks_of_a_picture_never_exceed_one_together() {
    for seed in 0..40 {
        let masks = scene(seed).render().masks;
        for at in 0..masks[0].len() {
            let sum: u32 = masks.iter().map(|mask| u32::from(mask.as_raw()[at])).sum();
            // Rounding: at most half a step a mask.
            assert!(sum <= 258, "{sum}");
        }
    }
}

#[test]
fn one_toy_in_ten_is_held_out_and_training_never_shows_it() {
    let rng = &mut stream(5, "test split", 0);
    let held = (0..5000).filter(|_| is_held_out(&Toy::random(rng))).count();
    assert!((350..=650).contains(&held), "{held} of 5000");
    for _ in 0..300 {
        let scene = Scene::random(rng, &OPTIONS);
        assert!(scene.toys.iter().all(|(toy, _)| !is_held_out(toy)));
        assert!(is_held_out(&Toy::random_held_out(rng)));
    }
}

#[test]
fn similar_toys_share_the_kind_and_nothing_that_one_sees() {
    for seed in 0..30 {
        let rng = &mut stream(seed, "test group", 0);
        let (a, b) = similar_pair(rng);
        assert!(a.pattern != b.pattern);
        for group in [vec![a, b], similar_group(rng, 5)] {
            for (i, a) in group.iter().enumerate() {
                assert!(is_held_out(a));
                for b in &group[..i] {
                    assert_eq!(a.kind, b.kind);
                    assert_ne!(a.color, b.color);
                    assert_ne!(a.accessory.as_ref().map(|w| w.kind), b.accessory.as_ref().map(|w| w.kind));
                }
            }
        }
    }
}

#[test]
fn photos_show_each_toy_in_a_place() {
    let toys = similar_group(&mut stream(1, "test photos", 0), 2);
    let photos = photo_set(&toys, Naming::Described, 4, 9, 64);
    assert_eq!(photos.len(), 8);
    assert_eq!(photos, photo_set(&toys, Naming::Described, 4, 9, 64));
    for (described, plain) in photos.iter().zip(photo_set(&toys, Naming::Kind, 4, 9, 64)) {
        let toy = &toys[plain.subject];
        assert_eq!(plain.caption, described.caption.replace(&toy.class(), toy.kind.name()));
        assert_eq!(plain.rendered, described.rendered);
    }
    for photo in &photos {
        assert_eq!(photo.scene.toys[0].0, toys[photo.subject]);
        assert_ne!(photo.scene.background, Background::Simple);
        assert!(photo.caption.contains(&toys[photo.subject].class()), "{}", photo.caption);
    }
}

#[test]
fn a_data_set_is_whole_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bears");
    let toys = similar_group(&mut stream(2, "test data set", 0), 2);
    let photos = photo_set(&toys, Naming::Kind, 2, 3, 48);
    write_data_set(&out, &toys, Naming::Kind, &photos).unwrap();

    let metadata = std::fs::read_to_string(out.join("metadata.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        metadata.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["id"]["b"], format!("hta {}", toys[1].kind.name()));
    for (line, photo) in lines[1..].iter().zip(&photos) {
        let picture = image::open(out.join(line["file_name"].as_str().unwrap())).unwrap().to_rgb8();
        let mask = image::open(out.join(line["mask_path"].as_str().unwrap())).unwrap().to_luma8();
        assert_eq!((picture, mask), (photo.rendered.image.clone(), photo.rendered.masks[0].clone()));
    }
    let truth: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("truth.json")).unwrap()).unwrap();
    let read: Scene = serde_json::from_value(truth["photos"][0]["scene"].clone()).unwrap();
    assert_eq!(read, photos[0].scene);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "something was left beside the data set"
    );

    let refused = write_data_set(&out, &toys, Naming::Kind, &photos).unwrap_err().to_string();
    assert!(refused.contains("bears") && refused.contains("not empty"), "{refused}");
}

#[test]
fn an_identifier_means_nothing() {
    // Of 20,000 some would be a kind or a colour by chance: three letters are `cat` or `dog` once in a few thousand.
    let mut rng = stream(0, "test identifiers", 0);
    for _ in 0..20_000 {
        let identifier = random_identifier(&mut rng);
        assert!((3..=5).contains(&identifier.len()), "{identifier}");
        for word in ["bear", "cat", "dog", "robot", "red", "blue", "hat", "bow", "toy"] {
            assert!(!identifier.contains(word), "{identifier} holds {word}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A caption names every toy's class, from left to right, and names nothing that is not drawn.
    #[test]
    fn captions_name_what_is_drawn(seed: u64) {
        let scene = scene(seed);
        let caption = scene.caption(&mut stream(seed, "test caption", 0));
        let mut rest = caption.as_str();
        for (toy, _) in &scene.toys {
            let kind = rest.find(toy.kind.name());
            prop_assert!(kind.is_some(), "{}: {}", toy.phrase(), caption);
            let (name, after) = rest.split_at(kind.unwrap_or(0) + toy.kind.name().len());
            prop_assert!(name.contains(toy.color.name()), "{}: {}", toy.phrase(), caption);
            for pattern in Pattern::ALL {
                prop_assert!(*pattern == toy.pattern || !name.contains(pattern.name()), "{}", caption);
            }
            rest = after;
        }
        let kinds: usize = Kind::ALL.iter().map(|kind| caption.matches(kind.name()).count()).sum();
        prop_assert_eq!(kinds, scene.toys.len());
    }

    /// A box is the smallest that holds what is at least half visible.
    #[test]
    fn boxes_fit_the_masks(seed: u64) {
        let rendered = scene(seed).render();
        for (mask, [x, y, w, h]) in rendered.masks.iter().zip(rendered.boxes) {
            let inside: Vec<(u32, u32)> =
                mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] >= 128).map(|(x, y, _)| (x, y)).collect();
            prop_assert!(!inside.is_empty());
            prop_assert_eq!(inside.iter().map(|p| p.0).min(), Some(x));
            prop_assert_eq!(inside.iter().map(|p| p.0).max(), Some(x + w - 1));
            prop_assert_eq!(inside.iter().map(|p| p.1).min(), Some(y));
            prop_assert_eq!(inside.iter().map(|p| p.1).max(), Some(y + h - 1));
        }
    }
}
