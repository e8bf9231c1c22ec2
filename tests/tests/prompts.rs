//! Weights in prompts, prompts of any length, sizes and devices, as pictures show them; and collages' captions.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use mudi::train;
use mudi_domain::recipe::{Method, Recipe, Regularization};
use mudi_tests::workshop::{Workshop, ok, refs, refused};
use serde_json::json;

/// The pixels of a small picture.
fn picture(shop: &Workshop, prompt: &str, negative: &str, further: &[&str]) -> Vec<u8> {
    let out = shop.path("out");
    let common =
        ["generate", "--base", &shop.base, "--prompt", prompt, "--negative", negative, "--out", &out];
    let small = ["--steps", "2", "--count", "1", "--no-metadata", "--quiet"];
    ok(&[&common[..], &small, further].concat());
    image::open(Path::new(&out).join("0000.png")).expect("a picture").to_rgb8().into_raw()
}

#[test]
fn weights_count() {
    let shop = Workshop::new();
    let plain = picture(&shop, "a red bear", "", &[]);
    assert!(plain == picture(&shop, "a (red bear:1.0)", "", &[]), "a weight of 1 is none");
    assert!(plain != picture(&shop, "a (red:1.5) bear", "", &[]));
    assert!(picture(&shop, "a (red) bear", "", &[]) == picture(&shop, "a (red:1.1) bear", "", &[]));
    assert!(
        picture(&shop, r"a \(red\) bear", "", &[]) != picture(&shop, "a (red) bear", "", &[]),
        "brackets are text"
    );
}

#[test]
fn the_end_of_a_long_prompt_counts() {
    let shop = Workshop::new();
    let long = "a red bear and a blue cat in the snow, ".repeat(12);
    let with = |end: &str, negative: &str| picture(&shop, &format!("{long}{end}"), negative, &[]);
    assert!(with("a green robot", "") != with("a pink rabbit", ""));
    // A negative prompt of another length.
    assert!(with("a green robot", "sticker") != with("a green robot", &long));
    assert!(picture(&shop, "a bear", &long, &[]) != picture(&shop, "a bear", "", &[]));
    assert!(picture(&shop, "a bear BREAK a cat", "", &[]) != picture(&shop, "a bear a cat", "", &[]));
}

#[test]
fn the_end_of_a_long_caption_is_learnt() {
    let shop = Workshop::new();
    let toys = Path::new(&shop.toys()).join("metadata.jsonl");
    let metadata = std::fs::read_to_string(&toys).expect("metadata");
    // The weights that a few steps on captions with this end give.
    let learnt = |run: &str, end: &str| {
        let longer = format!("{}{end}.\"}}", ", in the snow, by the sea".repeat(20));
        let changed: Vec<String> = metadata.lines().map(|line| line.replace(".\"}", &longer)).collect();
        std::fs::write(&toys, changed.join("\n")).expect("metadata");
        let arguments = shop.train(run, &[]);
        ok(&refs(&arguments));
        shop.bytes(&format!("{run}/pytorch_lora_weights.safetensors"))
    };
    let city = learnt("city", " and a (city)");
    assert!(city == learnt("again", " and a (city)"));
    assert!(city != learnt("forest", " and a (forest)"));
}

#[test]
fn sizes_tiles_and_devices_are_chosen() {
    let shop = Workshop::new();
    assert_eq!(picture(&shop, "a bear", "", &["--size", "96x64"]).len(), 96 * 64 * 3);
    let whole = picture(&shop, "a bear", "", &["--size", "128"]);
    let tiled = picture(&shop, "a bear", "", &["--size", "128", "--vae-tile", "64"]);
    assert_eq!(whole.len(), tiled.len());
    let far =
        whole.iter().zip(&tiled).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / whole.len() as f64;
    assert!(far > 0.0 && far < 40.0, "tiles differ a little: {far}");
    let composed = picture(&shop, "a bear", "", &["--size", "128", "--device", "composed-cpu"]);
    let most = whole.iter().zip(&composed).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "{most:?}");

    let out = shop.path("never");
    let refuse = |further: &[&str], words: &[&str]| {
        let common = ["generate", "--base", &shop.base, "--prompt", "a bear", "--out", &out];
        refused(&[&common[..], further].concat(), words);
        assert!(!Path::new(&out).exists());
    };
    refuse(&["--device", "cuda"], &["CUDA", "--features cuda", "CPU"]);
    refuse(&["--device", "gpu"], &["gpu", "cuda:1"]);
    refuse(&["--size", "65"], &["65 x 65", "multiples of 4"]);
    refuse(&["--size", "0"], &["0"]);
    refuse(&["--lora", "x.safetensors:99"], &["99", "20"]);
}

/// The samples of one step by `recipe`, a dozen collages with their captions, in the order in which they are shown.
fn collages(
    shop: &Workshop,
    photos: &str,
    name: &str,
    recipe: Recipe,
) -> Result<Vec<(RgbImage, String)>, train::TrainError> {
    let mut shown = Vec::new();
    let options = train::Options {
        photos: photos.into(),
        base: shop.base.clone().into(),
        vae: None,
        out: shop.path(name).into(),
        recipe: Recipe {
            steps: 1,
            rank: 1,
            batch: 12,
            segmix_probability: 1.0,
            regularization: Regularization::None,
            ..recipe
        },
        further: None,
        resume: false,
        stop_after: None,
        masks: None,
        interrupt: mudi::interrupt::Interrupt::default(),
        memory: None,
        device: mudi::device::Device::default(),
    };
    train::run(&options, |event| {
        if let train::Progress::Shown(_, pictures) = event {
            shown.extend(pictures.iter().map(|picture| (picture.image.clone(), picture.caption.clone())));
        }
    })?;
    Ok(shown)
}

/// Their captions alone.
fn captions(
    shop: &Workshop,
    photos: &str,
    name: &str,
    recipe: Recipe,
) -> Result<Vec<String>, train::TrainError> {
    Ok(collages(shop, photos, name, recipe)?.into_iter().map(|(_, caption)| caption).collect())
}

/// Who is said to be on the left is there: otherwise each would be taught the other's looks.
#[test]
fn collages_name_their_subjects_from_left_to_right() {
    const DISCS: [(&str, &str, [u8; 3]); 2] =
        [("a", "olis red disc", [200, 30, 30]), ("b", "hta blue disc", [30, 30, 200])];
    let shop = Workshop::new();
    let folder = shop.path("discs");
    std::fs::create_dir(&folder).expect("a folder");
    let inside = |x: u32, y: u32| (x.abs_diff(32)).pow(2) + (y.abs_diff(32)).pow(2) < 400;
    let mut metadata = json!({ "id": { "a": DISCS[0].1, "b": DISCS[1].1 } }).to_string();
    for (id, name, color) in DISCS {
        let photo = |x, y| if inside(x, y) { Rgb(color) } else { Rgb([90, 160, 90]) };
        RgbImage::from_fn(64, 64, photo).save(format!("{folder}/{id}.png")).expect("a photo");
        let mask = |x, y| Luma([if inside(x, y) { 255 } else { 0 }]);
        GrayImage::from_fn(64, 64, mask).save(format!("{folder}/mask_{id}.png")).expect("a mask");
        let (file, mask) = (format!("{id}.png"), format!("mask_{id}.png"));
        let line =
            json!({ "id": id, "file_name": file, "mask_path": mask, "text": format!("A photo of {name}.") });
        metadata += &format!("\n{line}");
    }
    std::fs::write(format!("{folder}/metadata.jsonl"), metadata).expect("metadata");
    let mut orders = [0, 0];
    for (image, caption) in collages(&shop, &folder, "run", Recipe::default()).expect("a step") {
        // The mean column of what shows a disc.
        let middle = |color: [u8; 3]| {
            let alike = |pixel: &Rgb<u8>| pixel.0.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 40);
            let columns = image.enumerate_pixels().filter(|(.., pixel)| alike(pixel)).map(|(x, ..)| x);
            let columns: Vec<u32> = columns.collect();
            assert!(!columns.is_empty(), "{caption} shows nothing of {color:?}");
            columns.iter().sum::<u32>() as f64 / columns.len() as f64
        };
        let first = usize::from(middle(DISCS[0].2) > middle(DISCS[1].2));
        orders[first] += 1;
        let [left, right] = [first, 1 - first].map(|at| DISCS[at].1);
        assert_eq!(caption, format!("A photo of {left} and {right}, simple background."));
    }
    assert!(orders[0] > 0 && orders[1] > 0, "either comes to stand on the left: {orders:?}");
}

#[test]
fn collages_have_articles_as_often_as_the_recipe_says() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let with = |captions: &[String]| captions.iter().filter(|caption| caption.contains(" and a ")).count();
    for (articles, expected) in [(0.0, 0..=0), (0.5, 1..=11), (1.0, 12..=12)] {
        let recipe = Recipe { articles, ..Recipe::default() };
        let captions = captions(&shop, &toys, &format!("articles-{articles}"), recipe).expect("a step");
        assert_eq!(captions.len(), 12);
        assert!(expected.contains(&with(&captions)), "{articles}: {captions:?}");
        assert!(captions.iter().all(|caption| caption.ends_with(", simple background.")), "{captions:?}");
    }
}

#[test]
fn collages_show_as_many_subjects_as_the_recipe_says() {
    let shop = Workshop::new();
    let four = shop.path("four");
    ok(&["toybox", "--subjects", "4", "--photos", "2", "--seed", "4", "--size", "64", "--out", &four]);
    // How many subjects each of the dozen shows.
    let shown = |name: &str, recipe: Recipe| -> Vec<usize> {
        let captions = captions(&shop, &four, name, recipe).expect("a step");
        captions
            .iter()
            // Between so many names are one less; one more comma stands before the background.
            .map(|caption| caption.matches(" and ").count() + caption.matches(", ").count())
            .collect()
    };
    let most = |collage_subjects| Recipe { collage_subjects, ..Recipe::default() };
    assert_eq!(shown("pairs", most(2)), [2; 12]);
    let threes = shown("threes", most(3));
    assert!(
        threes.contains(&2) && threes.contains(&3) && threes.iter().all(|count| [2, 3].contains(count)),
        "{threes:?}"
    );
    // There are only four.
    let all = shown("all", most(8));
    assert!((2..=4).all(|count| all.contains(&count)) && all.iter().all(|count| *count <= 4), "{all:?}");
    // Cut-Mix halves the canvas, whatever the recipe says.
    assert_eq!(shown("halves", Recipe { method: Method::Cutmix, ..most(4) }), [2; 12]);
}
