//! Pictures that a run learns from, and those that are made with it: what repeats, what is kept, what may have moved.

use std::path::Path;

use mudi_tests::workshop::{Workshop, copy_folder, json, ok, refs, refused};

#[test]
fn a_batch_holds_pictures_of_one_size() {
    let shop = Workshop::new();
    let toys = shop.toys();
    // Wide ones and tall ones of as many pixels, and squares.
    for (photo, [width, height]) in [("a00", [64, 40]), ("a01", [40, 64]), ("b00", [64, 40])] {
        for file in [format!("{toys}/{photo}.png"), format!("{toys}/mask_{photo}.png")] {
            let image = image::open(&file).expect("an image");
            let filter = image::imageops::FilterType::Triangle;
            image.resize_exact(width, height, filter).save(&file).expect("a file");
        }
    }
    let flags = ["--aspect-buckets", "true", "--regularization", "none", "--batch", "5"];
    for method in ["mudi", "dreambooth"] {
        let trained = json(&refs(&shop.train(method, &[&flags[..], &["--method", method]].concat())));
        assert!(trained["loss"].as_f64().is_some_and(f64::is_finite), "{trained}");
    }
}

#[test]
fn generation_repeats_itself_and_keeps_its_parameters() {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(&shop.train("run", &[])));
    let generate = |out: &str, further: &[&str]| {
        let (run, out) = (shop.path("run"), shop.path(out));
        let arguments =
            ["generate", "--run", &run, "--prompt", "olis and hta", "--steps", "3", "--count", "2"];
        ok(&[&arguments[..], &["--quiet", "--out", &out], further].concat());
    };
    generate("a", &["--layout", "random", "--gamma", "2"]);
    generate("b", &["--layout", "random", "--gamma", "2"]);
    generate("plain", &[]);
    generate("zero", &["--layout", "random", "--gamma", "0", "--no-metadata"]);
    for file in ["0000.png", "0001.png", "0001.layout.png"] {
        assert_eq!(shop.bytes(&format!("a/{file}")), shop.bytes(&format!("b/{file}")), "{file}");
    }
    let text = |name: &str| String::from_utf8_lossy(&shop.bytes(name)).into_owned();
    assert!(text("a/0000.png").contains(r#""prompt":"olis and hta""#), "parameters are inside");
    assert!(!text("zero/0000.png").contains("olis and hta"), "unless they are not wanted");
    let pixels = |name: &str| image::load_from_memory(&shop.bytes(name)).expect("a picture").to_rgb8();
    assert_eq!(pixels("zero/0000.png"), pixels("plain/0000.png"), "gamma 0 is plain sampling");
    assert_ne!(pixels("a/0000.png"), pixels("plain/0000.png"), "gamma 2 is not");
    assert_ne!(shop.bytes("a/0000.png"), shop.bytes("a/0001.png"), "each picture has its own seed");
}

#[test]
fn a_layout_is_the_same_for_all_pictures() {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(&shop.train("run", &[])));
    let (run, out, file) = (shop.path("run"), shop.path("out"), shop.path("layout.json"));
    let more_than_are_drawn_at_once =
        ["generate", "--run", &run, "--prompt", "olis", "--steps", "1", "--count", "5"];
    let arguments =
        [&more_than_are_drawn_at_once[..], &["--quiet", "--layout", &file, "--out", &out]].concat();
    let lay_out = |subject: &str| {
        let placed =
            |subject: &str, x: f64| serde_json::json!({ "subject": subject, "x": x, "y": 0.3, "width": 0.4 });
        let layout =
            serde_json::json!({ "version": 1, "subjects": [placed("a", 0.0), placed(subject, 0.5)] });
        std::fs::write(&file, layout.to_string()).expect("a layout");
    };
    lay_out("z");
    refused(&arguments, &["layout", "`z`"]);
    assert!(!Path::new(&out).exists(), "nothing is left behind");
    lay_out("b");
    ok(&arguments);
    assert!(shop.bytes("out/0000.layout.png") == shop.bytes("out/0004.layout.png"));
    let pixels = |name: &str| image::load_from_memory(&shop.bytes(name)).expect("a picture").to_rgb8();
    assert_ne!(pixels("out/0000.png"), pixels("out/0004.png"), "each has its own seed");
}

#[test]
fn guidance_of_one_and_less_is_none() {
    let shop = Workshop::new();
    let picture = |guidance: &str| {
        let out = shop.path("out");
        let arguments =
            ["generate", "--base", &shop.base, "--prompt", "a bear", "--steps", "2", "--count", "1"];
        ok(&[&arguments[..], &["--no-metadata", "--quiet", "--guidance", guidance, "--out", &out]].concat());
        shop.bytes("out/0000.png")
    };
    let plain = picture("1");
    assert!(plain == picture("0"), "turbo models are published with 0");
    assert!(plain != picture("1.5"));
    let (base, out) = (shop.base.as_str(), shop.path("none"));
    let negative = ["generate", "--base", base, "--prompt", "a", "--guidance=-1", "--out", &out];
    refused(&negative, &["--guidance -1", "from 0 to 100"]);
}

#[test]
fn a_base_and_photos_may_move_after_training() {
    let mut shop = Workshop::new();
    let place = shop.path("base");
    copy_folder(Path::new(&shop.base), Path::new(&place));
    shop.base = place;
    shop.toys();
    ok(&refs(&shop.train("run", &[])));
    let generate = |out: &str, further: &[&str]| {
        let (run, out) = (shop.path("run"), shop.path(out));
        let arguments = ["generate", "--run", &run, "--prompt", "olis", "--steps", "2", "--count", "1"];
        let arguments = [&arguments[..], &["--layout", "random", "--quiet", "--out", &out], further].concat();
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    ok(&refs(&generate("before", &[])));
    std::fs::rename(shop.path("base"), shop.path("moved")).expect("a base");
    std::fs::rename(shop.path("toys"), shop.path("photos")).expect("photos");
    refused(&refs(&generate("lost", &[])), &["base", "--base"]);
    let (moved, photos) = (shop.path("moved"), shop.path("photos"));
    refused(&refs(&generate("lost", &["--base", &moved])), &["toys"]);
    ok(&refs(&generate("after", &["--base", &moved, "--photos", &photos, "--no-metadata"])));
    let pixels = |name: &str| image::load_from_memory(&shop.bytes(name)).expect("a picture").to_rgb8();
    assert_eq!(pixels("before/0000.png"), pixels("after/0000.png"));

    let (run, out) = (shop.path("run"), shop.path("lora.safetensors"));
    refused(&["export", "--run", &run, "--out", &out], &["base"]);
    ok(&["export", "--run", &run, "--base", &moved, "--out", &out]);
}

#[test]
fn a_random_layout_places_whom_the_prompt_names() {
    let shop = Workshop::new();
    let toys = shop.path("toys");
    ok(&["toybox", "--photos", "1", "--subjects", "3", "--seed", "4", "--size", "64", "--out", &toys]);
    ok(&refs(&shop.train("run", &[])));
    let names = std::fs::read_to_string(Path::new(&toys).join("metadata.jsonl")).expect("metadata");
    let first: serde_json::Value = serde_json::from_str(names.lines().next().expect("a line")).expect("JSON");
    let names: Vec<&str> =
        first["id"].as_object().expect("names").values().filter_map(|name| name.as_str()).collect();
    assert_eq!(names.len(), 3);
    let placed = |prompt: &str, further: &[&str]| {
        let (run, out) = (shop.path("run"), shop.path("out"));
        let arguments = ["generate", "--run", &run, "--prompt", prompt, "--steps", "1", "--count", "1"];
        ok(&[&arguments[..], &["--layout", "random", "--quiet", "--out", &out], further].concat());
        let text = String::from_utf8_lossy(&shop.bytes("out/0000.png")).into_owned();
        (text.matches("\"subject\":").count(), text)
    };
    assert_eq!(placed(&format!("{} and {}", names[2], names[0]), &[]).0, 2);
    assert_eq!(placed(names[1], &[]).0, 1);
    assert_eq!(placed("three toys", &[]).0, 3, "where none is named all are placed");
    // What is not as usual is written into the picture.
    let (_, usual) = placed("three toys", &[]);
    assert!(!usual.contains("karras") && !usual.contains("lora_scale"), "{usual}");
    let (_, other) = placed("three toys", &["--karras", "--lora-scale", "0.5"]);
    assert!(other.contains("\"karras\":true") && other.contains("\"lora_scale\":0.5"));
}
