//! Pictures that a run learns from, and those that are made with it: what repeats, what is kept, what may have moved.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use mudi::base::Base;
use mudi::generate::{Placing, layout_start};
use mudi_domain::cutout::Cutout;
use mudi_domain::layout::Layout;
use mudi_domain::mask::Mask;
use mudi_domain::prompt;
use mudi_domain::subject::SubjectId;
use mudi_engine_candle::weights::{Precision, read_safetensors};
use mudi_tests::golden::fixture;
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

/// Collages, layouts and pictures have the proportions that somebody asks for, in about as many pixels as the square has.
#[test]
fn pictures_are_landscapes_and_portraits_too() {
    let shop = Workshop::new();
    shop.toys();
    let wide = ["--aspect", "16:9", "--regularization", "none"];
    for method in ["cutmix", "mudi"] {
        let further = ["--method", method, "--sample-every", "6", "--sample-prompts", "olis"];
        ok(&refs(&shop.train(method, &[&wide[..], &further].concat())));
    }
    refused(&refs(&shop.train("none", &wide[..2])), &["`aspect`", "1:1", "`regularization`"]);
    let (run, out, file) = (shop.path("mudi"), shop.path("out"), shop.path("layout.json"));
    let wish = ["generate", "--run", &run, "--prompt", "olis and hta", "--steps", "1", "--count", "1"];
    // Width and height of picture and canvas, and the proportions that the picture says its layout has.
    let drawn = |further: &[&str]| {
        ok(&[&wish[..], &["--quiet", "--out", &out], further].concat());
        let [picture, canvas] =
            ["0000.png", "0000.layout.png"].map(|name| shop.bytes(&format!("out/{name}")));
        let size = |bytes: &[u8]| image::load_from_memory(bytes).expect("a picture").to_rgb8().dimensions();
        assert_eq!(size(&picture), size(&canvas));
        let text = String::from_utf8_lossy(&picture).into_owned();
        let aspect = text.split("\"aspect\":\"").nth(1).and_then(|rest| rest.split('"').next());
        (size(&picture), aspect.unwrap_or("1:1").to_owned())
    };
    let side = Base::load(&fixture("sdxl-tiny"), Precision::Single).expect("the base").resolution() as u32;
    let random = ["--layout", "random"];
    let ((width, height), aspect) = drawn(&random);
    assert!(width > height && aspect == "16:9", "as in training: {width} x {height}, {aspect}");
    assert!(width * height <= side * side && width * height > side * side / 2, "{width} x {height}");
    assert_eq!(drawn(&[&random[..], &["--size", "1:1"]].concat()), ((side, side), "1:1".to_owned()));
    let ((across, down), aspect) = drawn(&[&random[..], &["--size", "9:16"]].concat());
    assert!(across < down && aspect == "9:16", "{across} x {down}, {aspect}");
    assert_eq!(drawn(&[&random[..], &["--size", "64x48"]].concat()), ((64, 48), "4:3".to_owned()));
    let layout = r#"{"version": 1, "aspect": "9:16", "subjects": [{"subject": "a", "x": 0.1, "y": 0.3, "width": 0.4}]}"#;
    std::fs::write(&file, layout).expect("a layout");
    let ((across, down), aspect) = drawn(&["--layout", &file]);
    assert!(across < down && aspect == "9:16", "{across} x {down}, {aspect}");
    assert_eq!(drawn(&["--layout", &file, "--size", "64x48"]), ((64, 48), "9:16".to_owned()));
    // Whom a narrower picture would not show is missed before anything is loaded.
    let beside = r#"{"version": 1, "aspect": "5:2", "subjects": [{"subject": "b", "x": 2.0, "y": 0.3, "width": 0.4}]}"#;
    std::fs::write(&file, beside).expect("a layout");
    assert_eq!(drawn(&["--layout", &file]).1, "5:2");
    for (layout, size, words) in [
        (&*file, "48x48", ["layout.json: `b`", "48x48", "--size 5:2"]),
        ("random", "8x8", ["8x8", "16 to 4096", "--size"]),
    ] {
        let out = shop.path("none");
        refused(&[&wish[..], &["--layout", layout, "--size", size, "--out", &out]].concat(), &words);
        assert!(!Path::new(&out).exists());
    }
    for size in ["7:1", "0x64", "3:2:1"] {
        let out = shop.path("none");
        refused(&[&wish[..], &["--size", size, "--out", &out]].concat(), &[size, "1216x832", "16:9"]);
    }
}

/// The loss of the only step of a run on `toys`, which is that of the base: nothing was learnt before it.
fn first_loss(shop: &Workshop, toys: &str, run: &str, further: &[&str]) -> f64 {
    let out = shop.path(run);
    let files = ["train", "--photos", toys, "--base", &shop.base, "--out", &out, "--quiet"];
    let small = ["--steps", "1", "--rank", "1", "--batch", "4", "--prior-images", "2"];
    json(&[&files[..], &small, further].concat())["loss"].as_f64().expect("a loss")
}

/// Both are the same number, up to the rounding of single precision.
fn alike(found: f64, expected: f64) -> bool {
    (found / expected - 1.0).abs() < 1e-4
}

/// What lies around the subjects of a collage counts as much as the recipe says; of a photo everything counts.
#[test]
fn a_loss_mask_is_that_of_the_collages_subjects() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let loss = |collages: &str, width: &str, floor: &str| {
        let name = format!("{collages}-{width}-{floor}");
        let law = ["--segmix-probability", collages, "--max-width", width, "--loss-mask-floor", floor];
        first_loss(&shop, &toys, &name, &[&law[..], &["--regularization", "none"]].concat())
    };
    let [none, half, all] = ["0", "0.5", "1"].map(|floor| loss("1", "0.1", floor));
    assert!(alike(half, 0.5 * (none + all)), "{none}, {half}, {all}");
    // Subjects of a tenth of the canvas's width are a small part of it; larger ones are a larger part.
    assert!(none > 0.0 && none < 0.3 * all, "{none} of {all}");
    let large = loss("1", "1", "0");
    assert!(large > 2.0 * none, "{large}, {none}");
    assert!(alike(loss("0", "0.5", "0"), loss("0", "0.5", "1")), "a photo has no ground");
}

/// Of a subject that is longer than its photo is high all is shown, and the white above and below it counts for nothing.
#[test]
fn what_a_photo_lacks_is_not_learnt() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let white = shop.path("white");
    copy_folder(Path::new(&toys), Path::new(&white));
    for photo in shop.files("toys").iter().filter_map(|name| name.to_str()) {
        let Some(mask) = photo.starts_with(['a', 'b']).then(|| format!("mask_{photo}")) else { continue };
        let flat = image::open(format!("{toys}/{photo}")).expect("a photo").to_rgb8();
        let flat = image::imageops::resize(&flat, 64, 32, image::imageops::FilterType::Triangle);
        let all = GrayImage::from_pixel(64, 32, Luma([255]));
        // The same with the white painted, where it counts as the photo does.
        let mut painted = RgbImage::from_pixel(64, 64, Rgb([255; 3]));
        let mut middle = GrayImage::new(64, 64);
        image::imageops::replace(&mut painted, &flat, 0, 16);
        image::imageops::replace(&mut middle, &all, 0, 16);
        flat.save(format!("{toys}/{photo}")).expect("a photo");
        all.save(format!("{toys}/{mask}")).expect("a mask");
        painted.save(format!("{white}/{photo}")).expect("a photo");
        middle.save(format!("{white}/{mask}")).expect("a mask");
    }
    let photos = ["--segmix-probability", "0", "--regularization", "none"];
    let [lacking, painted] =
        [(&toys, "lacking"), (&white, "painted")].map(|(toys, run)| first_loss(&shop, toys, run, &photos));
    assert!((0.2..0.8).contains(&(lacking / painted)), "{lacking} of {painted}");
}

/// The base's own pictures of each class count beside the photos, as much as the recipe says.
#[test]
fn prior_images_are_of_the_classes_and_count_by_their_weight() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let plain = first_loss(&shop, &toys, "plain", &["--regularization", "none"]);
    let [none, one, two] = ["0", "1", "2"].map(|weight| {
        let prior = ["--regularization", "prior", "--prior-weight", weight];
        first_loss(&shop, &toys, &format!("prior-{weight}"), &prior)
    });
    assert!(alike(none, plain), "{none}, {plain}");
    assert!(one > 1.1 * none && alike(two - one, one - none), "{none}, {one}, {two}");

    ok(&refs(&shop.train("stopped", &["--stop-after", "1"])));
    let made = read_safetensors(Path::new(&shop.path("stopped/priors.safetensors"))).expect("prior images");
    let text = std::fs::read_to_string(Path::new(&toys).join("metadata.jsonl")).expect("metadata");
    let names: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    let names = names["id"].as_object().expect("names").values().map(|name| name.as_str().expect("a name"));
    // Without the identifier, which means nothing to the base.
    let classes = names.map(|name| name.split_once(' ').expect("an identifier and a class").1);
    let mut expected: Vec<String> = classes.map(prompt::prior).collect();
    expected.sort();
    assert_eq!(made.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(made.values().all(|images| images.dims()[0] == 2), "as many of each as were asked for");
}

#[test]
fn a_start_is_shifted_where_the_layout_shows_somebody_and_nowhere_else() {
    let base = Base::load(&fixture("sdxl-tiny"), Precision::Single).expect("the base");
    let photo = RgbImage::from_pixel(40, 40, Rgb([200, 60, 30]));
    let mask = Mask::from_gray(GrayImage::from_pixel(40, 40, Luma([255])));
    let cutout = Cutout::new(&photo, &mask).expect("a cutout");
    let cutouts = [(SubjectId::new("a").expect("an id"), vec![cutout])].into_iter().collect();
    let corner = r#"{ "version": 1, "subjects": [{ "subject": "a", "x": 0.0, "y": 0.0, "width": 0.5 }] }"#;
    let layout = Layout::from_json(corner).expect("a layout");
    let side = base.resolution();
    let (start, canvas, _) =
        layout_start(&base, &cutouts, Placing::Fixed(&layout), [side, side], 5).expect("a start");
    let [h, w] = base.latent_size(side, side).expect("its own size");
    let channels = base.vae.config.latent_channels;
    let mean = start.mean.expect("a mean");
    assert_eq!(mean.len(), h * w * channels);
    let encoded = base.encode_images(&[&canvas]).expect("latents");
    let (mut inside, mut outside) = (0, 0);
    for (at, (shift, latent)) in mean.chunks(channels).zip(encoded.chunks(channels)).enumerate() {
        let (x, y) = (at % w, at / w);
        // Two to each side of the edge belong to both.
        if x + 2 < w / 2 && y + 2 < h / 2 {
            let apart = shift.iter().zip(latent).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{x}, {y}: {shift:?} {latent:?}");
            inside += 1;
        } else if x > w / 2 + 1 || y > h / 2 + 1 {
            assert!(shift.iter().all(|value| *value == 0.0), "{x}, {y}: {shift:?}");
            outside += 1;
        }
    }
    assert!(inside > 20 && outside > 100 && encoded.iter().all(|value| *value != 0.0), "{inside}, {outside}");
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
    let toys = shop.path("toys");
    refused(&["generate", "--run", &run, "--prompt", "olis", "--out", &toys], &["the run's photos", "--out"]);
    refused(
        &["generate", "--base", &shop.base, "--prompt", "a", "--out", &toys],
        &["metadata.jsonl", "--out"],
    );
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
