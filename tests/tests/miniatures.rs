//! The small networks that ship, as a user meets them: masks by a class's name, judging, the benchmark; and their training.

#[path = "miniatures/benchmark.rs"]
mod benchmark;

use std::path::Path;

use candle_core::DType;
use image::{GrayImage, Rgb, RgbImage};
use mudi_domain::mask::Mask;
use mudi_engine_candle::weights::read_safetensors;
use mudi_tests::workshop::{Workshop, failed, json, mudi, ok, refs, refused, shipped};
use mudi_toybox::{Background, Kind, Scene, Toy};
use serde_json::Value;

/// `--detector` and `--segmenter` of the small networks.
fn networks() -> Vec<String> {
    let flags = [("--detector", "owlv2-toybox"), ("--segmenter", "sam-toybox")];
    flags.into_iter().flat_map(|(flag, name)| [flag.to_owned(), shipped(name)]).collect()
}

/// A picture of a toy of each kind, and their masks.
fn scene(kinds: &[Kind], seed: u64) -> (RgbImage, Vec<GrayImage>) {
    let stream = &mut mudi_domain::rng::stream(seed, "miniatures test", 0);
    let toys = kinds.iter().map(|&kind| Toy { kind, ..Toy::random_held_out(stream) }).collect();
    let rendered = Scene::compose(stream, [96; 2], Background::Garden, toys).render();
    (rendered.image, rendered.masks)
}

#[test]
fn a_class_is_enough_for_a_mask() {
    let shop = Workshop::new();
    let (photo, out) = (shop.path("photo.png"), shop.path("mask.png"));
    let detector = shipped("owlv2-toybox");
    let segmenter = shipped("sam-toybox");
    let common = ["segment", "--image", &photo, "--out", &out, "--detector", &detector, "--base", &segmenter];
    let mut shares = Vec::new();
    for seed in 0..4 {
        for kind in [Kind::Bear, Kind::Rabbit, Kind::Robot] {
            let (image, masks) = scene(&[kind], seed);
            image.save(&photo).expect("a photo");
            let arguments = [&common[..], &["--class", kind.name(), "--json"]].concat();
            let output = mudi(&arguments);
            if !output.status.success() {
                // The small detector does not find every toy once, and then it says what it found.
                failed(&output, &["found for", kind.name()]);
                continue;
            }
            let printed: Value = serde_json::from_slice(&output.stdout).expect("an object");
            assert!(
                printed["network"]["found"]["score"].as_f64().is_some_and(|score| score > 0.2),
                "{printed}"
            );
            shares.push(
                Mask::from_image(&image::open(&out).expect("a mask")).iou(&Mask::from_gray(masks[0].clone())),
            );
        }
    }
    println!("intersection over union: {shares:.3?}");
    assert!(shares.len() >= 11, "{shares:?}");
    assert!(shares.iter().sum::<f64>() / shares.len() as f64 > 0.8, "{shares:?}");
}

#[test]
fn what_is_not_one_is_not_guessed() {
    let shop = Workshop::new();
    let (photo, out) = (shop.path("photo.png"), shop.path("mask.png"));
    let (detector, segmenter) = (shipped("owlv2-toybox"), shipped("sam-toybox"));
    let common = ["segment", "--image", &photo, "--out", &out, "--detector", &detector, "--base", &segmenter];
    let ask = |class: &'static str| [&common[..], &["--class", class]].concat();

    scene(&[Kind::Bear, Kind::Bear], 3).0.save(&photo).expect("a photo");
    refused(&ask("bear"), &["photo.png", "subjects were found for `bear`", "score", "--box"]);
    refused(&ask("dragon"), &["dragon", "bear", "--detector"]);
    for (width, height) in [(96, 96), (1, 1), (3, 400)] {
        RgbImage::from_pixel(width, height, Rgb([0; 3])).save(&photo).expect("a photo");
        refused(&ask("bear"), &["nothing was found for `bear`"]);
    }
    refused(&[&ask("bear")[..], &["--point", "1,1"]].concat(), &["--class", "--point"]);
    assert!(!Path::new(&out).exists(), "nothing was written");
}

/// Calls every subject of a data set a toy, and takes the masks of those photos out of its text in which the networks find exactly
/// one; returns how many.
fn without_masks(shop: &Workshop, toys: &str) -> usize {
    let path = Path::new(toys).join("metadata.jsonl");
    let text = std::fs::read_to_string(&path).expect("metadata");
    let (out, detector, segmenter) = (shop.path("probe.png"), shipped("owlv2-toybox"), shipped("sam-toybox"));
    let mut count = 0;
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("a line");
        if let Some(names) = line["id"].as_object_mut() {
            for (index, name) in names.values_mut().enumerate() {
                *name = ["olis toy", "hta toy"][index].into();
            }
            return line.to_string() + "\n";
        }
        let photo = Path::new(toys).join(line["file_name"].as_str().expect("a name")).display().to_string();
        let common = ["segment", "--image", &photo, "--out", &out, "--class", "toy"];
        let found = mudi(&[&common[..], &["--detector", &detector, "--base", &segmenter]].concat());
        if found.status.success() {
            count += 1;
            line.as_object_mut().expect("an object").remove("mask_path");
        }
        line.to_string() + "\n"
    });
    let lines: String = lines.collect();
    std::fs::write(&path, lines).expect("metadata");
    count
}

#[test]
fn photos_without_masks_get_them_once() {
    let shop = Workshop::new();
    let toys = shop.path("toys");
    ok(&["toybox", "--photos", "4", "--seed", "9", "--size", "96", "--out", &toys]);
    let count = without_masks(&shop, &toys);
    let networks = networks();
    let train = |run: &str| {
        let mut arguments = shop.train(run, &[]);
        arguments.extend(networks.clone());
        arguments
    };
    ok(&refs(&train("run")));
    let masks = shop.files("toys/automatic_masks");
    assert!(count > 0 && masks.len() == count, "{count}, {masks:?}");
    let first = format!("toys/automatic_masks/{}", masks[0].display());
    let before = shop.bytes(&first);
    // What was made is used by whoever reads the photos, and not made again.
    let (run, pictures) = (shop.path("run"), shop.path("pictures"));
    ok(&[
        "generate", "--run", &run, "--prompt", "a", "--layout", "random", "--out", &pictures, "--steps", "1",
    ]);
    ok(&refs(&train("again")));
    assert_eq!(before, shop.bytes(&first));
    // A mask is of whom it was made for: another class has none yet.
    let path = Path::new(&toys).join("metadata.jsonl");
    let text = std::fs::read_to_string(&path).expect("metadata");
    std::fs::write(&path, text.replace(" toy\"", " robot\"")).expect("metadata");
    refused(
        &["generate", "--run", &run, "--prompt", "a", "--layout", "random", "--out", &pictures],
        &["has no mask"],
    );
}

#[test]
fn networks_are_probed() {
    let (detector, segmenter) = (shipped("owlv2-toybox"), shipped("sam-toybox"));
    let embedder = shipped("dinov2-toybox");
    let common = ["--detector", &detector, "--embedder", &embedder];
    let small = ["probe", "vision", "--segmenter", &segmenter, "--pictures", "20", "--toys", "4"];
    let found = json(&[&small[..], &common].concat());
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 6, "{found}");
    // Loose bounds: what ships is measured on many more, and the cards say how.
    let value = |words: &str| {
        let row = rows.iter().find(|row| row["name"].as_str().is_some_and(|name| name.contains(words)));
        row.and_then(|row| row["value"].as_f64()).unwrap_or_else(|| panic!("{words} is not in {found}"))
    };
    assert!(value("of any toy") > 0.6, "{found}");
    assert!(value("from a box") > 0.88, "{found}");
    assert!(value("into the middle") > 0.87, "{found}");
    assert!(value("top-1") > 0.9, "{found}");
}

#[test]
fn the_score_tells_right_from_mixed() {
    let (detector, embedder, base) = (shipped("owlv2-toybox"), shipped("dinov2-toybox"), shipped("pocket"));
    let common = ["--detector", &detector, "--embedder", &embedder, "--base", &base];
    let found = json(&[&["probe", "metric", "--pairs", "6"], &common[..]].concat());
    let value = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("no number: {found}"));
    // Loose bounds, as of so few scenes.
    assert!(value(&found["auroc"]) > 0.85 && value(&found["plain_auroc"]) < 0.8, "{found}");
    let groups = found["groups"].as_array().expect("groups");
    assert_eq!(groups.iter().map(|group| group["toys"].as_u64()).collect::<Vec<_>>(), [3, 4, 5].map(Some));
    let mut before = value(&found["decided"][0]);
    for group in groups {
        assert!(value(&group["auroc"]) > 0.6, "{group}");
        assert!(value(&group["as_strict"]) < 1.0, "{group}");
        let from = value(&group["decided"][0]);
        assert!(from <= before, "{group}");
        before = from;
    }
}

#[test]
fn the_score_tells_right_from_mixed_where_the_base_has_drawn() {
    let (detector, embedder, base) = (shipped("owlv2-toybox"), shipped("dinov2-toybox"), shipped("pocket"));
    let common = ["probe", "metric", "--detector", &detector, "--embedder", &embedder, "--base", &base];
    let of = |steps: &str| json(&[&common[..], &["--pairs", "3", "--drawn", steps]].concat());
    let (rendered, drawn) = (of("0"), of("5"));
    let value = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("no number: {drawn}"));
    // Other pictures of the same truth: less clear, and no noise.
    assert_ne!(rendered["sorts"], drawn["sorts"]);
    assert!(value(&drawn["auroc"]) > 0.75, "{drawn}");
    for group in drawn["groups"].as_array().expect("groups") {
        assert!(value(&group["auroc"]) > 0.6, "{group}");
    }
    refused(&[&common[..], &["--drawn", "21"]].concat(), &["--drawn", "21"]);
}

#[test]
fn a_base_is_probed() {
    let shop = Workshop::new();
    let (base, reader, out) = (shipped("pocket"), shipped("reader-toybox"), shop.path("pictures"));
    let small = ["probe", "base", "--base", &base, "--prompts", "12", "--steps", "4"];
    let found = json(&[&small[..], &["--reader", &reader, "--pictures", &out]].concat());
    let value = |of: &str, words: &str| {
        let rows = found[of].as_array().unwrap_or_else(|| panic!("{of} is not in {found}"));
        assert_eq!(rows.len(), 5, "{found}");
        let row = rows.iter().find(|row| row["name"].as_str().is_some_and(|name| name.starts_with(words)));
        row.and_then(|row| row["value"].as_f64()).unwrap_or_else(|| panic!("{words} is not in {found}"))
    };
    // Renders are read right; of few steps of the sampler little can be asked.
    for words in ["kind", "colour of", "background"] {
        assert!(value("renders", words) > 0.9, "{words}: {found}");
    }
    assert!(value("pictures", "background") > 0.5, "{found}");
    assert_eq!(std::fs::read_dir(&out).expect("pictures").count(), 12);
    let none = shop.path("none");
    refused(&[&small[..], &["--reader", &none]].concat(), &["config.json", "toybox reader"]);
    let other = shipped("dinov2-toybox");
    refused(&[&small[..], &["--reader", &other]].concat(), &["dinov2", "toybox reader"]);
}

#[test]
fn places_are_told_from_two_that_are_joined() {
    let (base, reader) = (shipped("pocket"), shipped("reader-toybox"));
    let small = ["probe", "place", "--base", &base, "--reader", &reader, "--pairs", "12"];
    let found = json(&small);
    let settings = found["settings"].as_array().expect("settings");
    let names: Vec<_> = settings.iter().map(|row| row["setting"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["whole", "joined", "joined_elsewhere", "elsewhere"]);
    let placed = |at: usize| settings[at]["placed"]["value"].as_f64().expect("a share");
    assert!(placed(0) > 0.9 && (1..4).all(|at| placed(at) < 0.1), "{found}");
    assert!((1..4).all(|at| settings[at]["auroc"].as_f64() > Some(0.95)), "{found}");
}

#[test]
fn a_miniature_is_the_same_whether_or_not_its_training_was_interrupted() {
    let shop = Workshop::new();
    let base = shipped("pocket");
    let train = |run: &str, out: &str, steps: &str| {
        ok(&[
            "pretrain",
            "--network",
            "dinov2",
            "--base",
            &base,
            "--run",
            &shop.path(run),
            "--out",
            &shop.path(out),
            "--steps",
            steps,
            "--checkpoint-every",
            "1",
            "--quiet",
        ]);
    };
    train("whole/dinov2", "whole-model", "3");
    train("parts/dinov2", "parts-model", "1");
    train("parts/dinov2", "parts-model", "3");
    let files = shop.files("whole-model");
    assert!(files.iter().any(|file| file == Path::new("model.safetensors")));
    for file in files.iter().map(|file| file.display()) {
        let same = shop.bytes(&format!("whole-model/{file}")) == shop.bytes(&format!("parts-model/{file}"));
        assert!(same, "{file} differs");
    }
    refused(
        &["pretrain", "--network", "sam", "--base", &base, "--run", &shop.path("none"), "--export-only"],
        &["state.safetensors", "--export-only"],
    );
}

#[test]
fn a_miniature_goes_on_from_an_earlier_one() {
    let shop = Workshop::new();
    let base = shipped("pocket");
    let weights = |folder: &str| {
        let file = read_safetensors(&Path::new(folder).join("model.safetensors")).expect("weights");
        let tensor = file["mask_decoder.upscale_conv1.weight"].to_dtype(DType::F32).expect("numbers");
        tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()).expect("numbers")
    };
    let shipped_sam = shipped("sam-toybox");
    let train = ["pretrain", "--network", "sam", "--base", &base, "--steps", "1", "--quiet"];
    let (run, out) = (shop.path("run"), shop.path("out"));
    ok(&[&train[..], &["--run", &run, "--out", &out, "--from", &shipped_sam]].concat());
    let (made, earlier) = (weights(&out), weights(&shipped_sam));
    let most = made.iter().zip(&earlier).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most > 0.0 && most < 0.01, "a step away, not elsewhere: {most}");
    // A detector that was trained anew is asked as the one that ships.
    let (run, out, owl) = (shop.path("owl"), shop.path("owl-out"), shipped("owlv2-toybox"));
    let places = ["--run", &run, "--out", &out, "--from", &owl];
    ok(&[&["pretrain", "--network", "owlv2", "--base", &base, "--steps", "1", "--quiet"], &places[..]]
        .concat());
    let asked = |folder: &str| {
        let text = std::fs::read_to_string(Path::new(folder).join("config.json")).expect("a configuration");
        serde_json::from_str::<Value>(&text).expect("JSON")["detection"].clone()
    };
    assert_eq!(asked(&out), asked(&owl));
    let wrong = shop.path("wrong");
    let other = shipped("dinov2-toybox");
    let words = ["dinov2-toybox", "tensor", "is missing", "of the network that is trained"];
    refused(&[&train[..], &["--run", &wrong, "--from", &other]].concat(), &words);
}
