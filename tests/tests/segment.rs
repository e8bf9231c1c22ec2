//! `mudi segment` and the networks of SAM as a user meets them: photos and weights of all kinds.

use std::path::Path;

use image::{DynamicImage, GrayAlphaImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use mudi_engine_candle::weights::read_safetensors;
use mudi_tests::golden::{error_of_range, fixture, tensors, values};
use mudi_tests::pictures::encoded;
use mudi_tests::workshop::{Workshop, json, ok, refused};

fn folder(name: &str) -> String {
    fixture(name).display().to_string()
}

/// A photo with something in it, as PNG bytes.
fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let inside = x.abs_diff(width / 2) * 4 < width && y.abs_diff(height / 2) * 4 < height;
        if inside { Rgb([220, 60, 40]) } else { Rgb([(x % 251) as u8, (y % 247) as u8, 90]) }
    })
}

fn as_png(image: &DynamicImage) -> Vec<u8> {
    encoded(image.clone(), ImageFormat::Png)
}

#[test]
fn a_mask_has_the_photos_size_and_the_networks_word_on_it() {
    let shop = Workshop::new();
    let image = shop.path("photo.png");
    std::fs::write(&image, as_png(&photo(70, 53).into())).expect("a photo");
    let out = shop.path("mask.png");
    for base in ["sam-tiny", "sam-authors-tiny", "sam-mobile-tiny"] {
        let base = folder(base);
        let common = ["segment", "--base", &base, "--image", &image, "--out", &out];
        for prompt in
            [&["--box", "5,5,50,40"][..], &["--box", "5,5,50,40", "--point", "30,20", "--not", "0,0"]]
        {
            let printed = json(&[&common[..], prompt].concat());
            let mask = image::open(&out).expect("a mask").into_luma8();
            assert_eq!(mask.dimensions(), (70, 53));
            assert!(mask.pixels().all(|&Luma([value])| value == 0 || value == 255));
            let white = mask.pixels().filter(|pixel| pixel.0[0] == 255).count();
            let area = printed["area"].as_f64().expect("an area");
            assert!((area - white as f64 / (70.0 * 53.0)).abs() < 1e-6 && white > 0, "{printed}");
            for field in ["iou", "stability"] {
                assert!(printed["network"][field].is_number(), "{printed}");
            }
        }
    }
}

/// A PNG of 40 x 30 pixels whose palette has a transparent colour, with as many frames.
fn palette(frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 30);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![200, 30, 60, 20, 90, 200]);
    encoder.set_trns(vec![255, 0]);
    if frames > 1 {
        encoder.set_animated(frames, 0).expect("an animation");
    }
    let mut writer = encoder.write_header().expect("a header");
    for frame in 0..frames {
        let pixels: Vec<u8> = (0..1200).map(|at| u8::from(at / 40 % 2 == frame)).collect();
        writer.write_image_data(&pixels).expect("a frame");
    }
    writer.finish().expect("an end");
    bytes
}

/// The share that two masks have in common of what either covers.
fn agreement(found: &image::GrayImage, truth: &image::GrayImage) -> f64 {
    let count = |both: &dyn Fn(bool, bool) -> bool| {
        found.pixels().zip(truth.pixels()).filter(|(a, b)| both(a.0[0] > 127, b.0[0] > 127)).count()
    };
    count(&|a, b| a && b) as f64 / count(&|a, b| a || b) as f64
}

#[test]
fn toys_are_cut_out_of_their_boxes_without_weights() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let metadata = std::fs::read_to_string(Path::new(&toys).join("metadata.jsonl")).expect("metadata");
    let mut agreements = Vec::new();
    for line in metadata.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("a line");
        let (Some(file), Some(mask)) = (entry["file_name"].as_str(), entry["mask_path"].as_str()) else {
            continue;
        };
        let [file, mask] = [file, mask].map(|name| Path::new(&toys).join(name).display().to_string());
        let truth = image::open(&mask).expect("a mask").into_luma8();
        let bounds = mudi_domain::mask::Mask::from_gray(truth.clone()).bounding_box().expect("a toy");
        let place = format!("{},{},{},{}", bounds.x, bounds.y, bounds.width, bounds.height);
        let out = shop.path("cut.png");
        ok(&["segment", "--image", &file, "--out", &out, "--box", &place]);
        agreements.push(agreement(&image::open(&out).expect("a mask").into_luma8(), &truth));
    }
    agreements.sort_by(f64::total_cmp);
    println!("intersection over union of toys cut out of their boxes: {agreements:.3?}");
    assert!(agreements[agreements.len() / 2] > 0.8, "{agreements:?}");
}

#[test]
fn a_stroke_is_enough_without_weights() {
    let shop = Workshop::new();
    let (image, out) = (shop.path("photo.png"), shop.path("mask.png"));
    std::fs::write(&image, as_png(&photo(90, 70).into())).expect("a photo");
    let truth = image::GrayImage::from_fn(90, 70, |x, y| {
        Luma([if photo(90, 70).get_pixel(x, y).0 == [220, 60, 40] { 255 } else { 0 }])
    });
    for further in [&[][..], &["--not-stroke", "3,3,80,5"], &["--box", "10,8,70,55"]] {
        let common = ["segment", "--image", &image, "--out", &out, "--stroke", "35,35,50,40,52,30"];
        let printed = json(&[&common[..], further].concat());
        assert!(printed["network"].is_null(), "{printed}");
        let found = agreement(&image::open(&out).expect("a mask").into_luma8(), &truth);
        assert!(found > 0.95, "{further:?}: {found}");
    }
}

#[test]
fn forward_gives_what_transformers_gives() {
    let shop = Workshop::new();
    let (base, out) = (folder("sam-tiny"), shop.path("out.safetensors"));
    for (network, golden) in [
        ("sam_image_encoder", "image_encoder"),
        ("sam_mask_decoder", "points_several"),
        ("sam_mask_decoder", "points_box_one"),
        ("sam_mask_decoder", "point_mask_several"),
    ] {
        let inputs = folder(&format!("sam-tiny/golden/{golden}.safetensors"));
        ok(&["forward", "--base", &base, "--network", network, "--inputs", &inputs, "--out", &out]);
        let golden = tensors(&format!("sam-tiny/golden/{golden}.safetensors"));
        let found = read_safetensors(Path::new(&out)).expect("the outputs");
        assert!(!found.is_empty());
        for (name, value) in &found {
            let expected = &golden[&format!("out.{name}")];
            assert_eq!(value.dims(), expected.dims(), "{network} {name}");
            if value.elem_count() > 1 {
                assert!(error_of_range(&values(value), &values(expected)) <= 1e-5, "{network} {name}");
            }
        }
    }
    let inputs = folder("sam-tiny/golden/points_one.safetensors");
    let arguments = ["forward", "--base", &base, "--network", "sam_image_encoder", "--inputs", &inputs];
    refused(&[&arguments[..], &["--out", &out]].concat(), &["pixel_values", "missing"]);
}

#[test]
fn photos_of_all_kinds_are_read_or_refused_with_a_reason() {
    let shop = Workshop::new();
    let (base, out, file) = (folder("sam-tiny"), shop.path("mask.png"), shop.path("photo"));
    let run = |bytes: &[u8], place: &str| {
        std::fs::write(&file, bytes).expect("a photo");
        mudi_tests::workshop::mudi(&[
            "segment", "--base", &base, "--image", &file, "--out", &out, "--box", place,
        ])
    };
    let gray16 = image::ImageBuffer::<Luma<u16>, _>::from_fn(40, 30, |x, y| Luma([(x * y * 50) as u16]));
    let clear = RgbaImage::from_fn(40, 30, |x, _| Rgba([200, 30, 60, (x * 6) as u8]));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/src/dataset/testdata");
    let inks = |name: &str| std::fs::read(folder.join(name)).expect("a photo in inks");
    let read = [
        ("CMYK", inks("cmyk.jpg")),
        ("YCCK", inks("ycck.jpg")),
        ("a palette with a transparent colour", palette(1)),
        ("animated", palette(2)),
        ("black", as_png(&RgbImage::new(40, 30).into())),
        ("one pixel", as_png(&RgbImage::new(1, 1).into())),
        ("one row", as_png(&photo(90, 1).into())),
        ("16 bit", as_png(&gray16.into())),
        ("transparent", as_png(&clear.into())),
        ("gray with alpha", as_png(&GrayAlphaImage::new(40, 30).into())),
    ];
    for (what, bytes) in read {
        let output = run(&bytes, "0,0,1,1");
        let said = String::from_utf8_lossy(&output.stderr);
        // These weights are random; either there is a mask, or nothing where the box is.
        assert!(output.status.success() || said.contains("there is no subject"), "{what}: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
    let whole = as_png(&photo(40, 30).into());
    let animated = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec();
    // A PNG whose header says 20,000 x 20,000.
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    for (what, bytes, words) in [
        ("cut short", &whole[..whole.len() / 2], &["photo"][..]),
        ("empty", &[], &["empty"]),
        ("no image", b"hello", &["not a JPEG, PNG or WebP"]),
        ("GIF", &animated, &["not a JPEG, PNG or WebP"]),
        ("huge", &huge, &["photo"]),
    ] {
        let output = run(bytes, "0,0,1,1");
        assert_eq!(output.status.code(), Some(2), "{what}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{what}: {said}");
    }
}

#[test]
fn a_photo_is_never_its_own_mask() {
    let shop = Workshop::new();
    let image = shop.path("photo.png");
    let bytes = as_png(&photo(40, 30).into());
    std::fs::write(&image, &bytes).expect("a photo");
    std::fs::create_dir(shop.path("masks")).expect("a folder");
    let hints = ["segment", "--image", &image, "--box", "8,6,24,18"];
    for out in ["photo.png", "masks/../photo.png"] {
        refused(&[&hints[..], &["--out", &shop.path(out)]].concat(), &["the photo itself", "--out"]);
    }
    assert!(shop.bytes("photo.png") == bytes);
    // A folder that is missing is made.
    ok(&[&hints[..], &["--out", &shop.path("new/masks/photo.png")]].concat());
    assert!(Path::new(&shop.path("new/masks/photo.png")).is_file());
}

#[test]
fn prompts_and_weights_that_cannot_be_are_refused() {
    let shop = Workshop::new();
    let (base, out, image) = (folder("sam-tiny"), shop.path("mask.png"), shop.path("photo.png"));
    std::fs::write(&image, as_png(&photo(40, 30).into())).expect("a photo");
    let run = |base: &str, prompt: &[&str], words: &[&str]| {
        refused(&[&["segment", "--base", base, "--image", &image, "--out", &out], prompt].concat(), words);
        assert!(!Path::new(&out).exists());
    };
    run(&base, &[], &["nothing is pointed at", "--point"]);
    run(&base, &["--not", "3,3"], &["nothing is pointed at"]);
    run(&base, &["--point", "41,3"], &["41,3", "40 x 30"]);
    run(&base, &["--point", "-1,3"], &["-1,3"]);
    run(&base, &["--box", "30,20,20,5"], &["50,25", "outside"]);
    run(&base, &["--box", "3,3,0,5"], &["--box", "more than 0"]);
    run(&base, &["--point", "3"], &["2 numbers"]);
    run(&base, &["--point", "nan,3"], &["2 numbers"]);
    let place = ["--point", "3,3"];
    run(&folder("sdxl-tiny/text_encoder"), &place, &["config.json", "clip_text_model", "pull sam"]);
    run(&base, &["--stroke", "3,3,9,9"], &["no strokes", "--point"]);
    let bare_arguments = ["segment", "--image", &image, "--out", &out];
    for (hints, words) in [
        (&[][..], &["--box", "--stroke"][..]),
        (&["--not-stroke", "3,3,9,9"], &["--box", "--stroke"]),
        (&["--stroke", "3,3,9"], &["pairs of numbers"]),
        (&["--stroke", "3,3,41,9"], &["41,9", "40 x 30"]),
        (&["--box", "3,3,9,9", "--threshold", "0.5"], &["--class"]),
        (&["--box", "3,3,9,9", "--detector", "owlv2-toybox"], &["--class"]),
    ] {
        refused(&[&bare_arguments[..], hints].concat(), words);
    }
    run(&shop.path("nowhere"), &place, &["nowhere", "weights of a SAM"]);
    let bare = shop.path("bare");
    std::fs::create_dir(&bare).expect("a folder");
    run(&bare, &place, &["bare", "no weights"]);
    let copy = |from: &str, to: &str| {
        std::fs::copy(fixture(from), Path::new(&bare).join(to)).expect("a copy");
    };
    copy("sam-authors-tiny/model.pth", "sam.pth");
    run(&bare, &place, &["sam.pth", "config.json"]);
    copy("sam-mobile-tiny/config.json", "config.json");
    run(&bare, &place, &["sam.pth", "image_encoder.patch_embed.seq.0.c.weight", "missing"]);
    copy("sam-mobile-tiny/model.pth", "mobile.pth");
    run(&bare, &place, &["several"]);
    std::fs::write(Path::new(&bare).join("model.safetensors"), b"PK\x03\x04 no archive").expect("a file");
    run(&bare, &place, &["model.safetensors", "PyTorch"]);
}
