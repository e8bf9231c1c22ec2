use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{Luma, Rgb};
use proptest::prelude::*;

use super::chart::loss_chart;
use super::*;

const NASTY: &str = "<script>alert('x')</script> & \"ears\"\u{0}";

fn plain(width: u32, height: u32, shade: u8) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([shade, 120, 90]))
}

fn grid(gamma: Option<f32>) -> Grid {
    let row = |prompt: &str| GridRow {
        prompt: prompt.to_owned(),
        images: vec![plain(64, 64, 3), plain(64, 64, 4)],
        seeds: vec![7, 8],
        scores: vec![
            PictureScore { score: 0.91, right: true, words: "both found".to_owned() },
            PictureScore { score: 0.0, right: false, words: format!("3 found {NASTY}") },
        ],
    };
    Grid {
        gamma,
        layouts: vec![plain(64, 64, 1); 2],
        rows: vec![row("both at the beach"), row(NASTY)],
        seconds: 1.5,
    }
}

fn example() -> Report {
    let subject = |id: &str, name: &str| SubjectCard {
        id: id.to_owned(),
        name: name.to_owned(),
        photos: vec![plain(64, 48, 200), plain(800, 600, 100)],
        masks: vec![GrayImage::from_fn(32, 24, |x, _| Luma([if x < 16 { 255 } else { 0 }]))],
    };
    let method = |name: &str, grids| MethodSection {
        name: name.to_owned(),
        explanation: "Explains & shows.".to_owned(),
        seen_in_training: vec![(plain(64, 64, 9), "a photo of a olis corgi".to_owned())],
        losses: vec![0.5, f32::NAN, 0.25],
        training_seconds: 75.0,
        grids,
    };
    Report {
        title: format!("Two dogs {NASTY}"),
        masks: format!("Made by hand {NASTY}"),
        judging: format!("By Detect-and-Compare {NASTY}"),
        seed: 18_446_744_073_709_551_615,
        base: "toybox".to_owned(),
        subjects: vec![subject("a", "olis corgi"), subject("b", NASTY)],
        methods: vec![
            method("DreamBooth", vec![grid(None)]),
            method("MuDI", vec![grid(Some(0.75)), grid(Some(1.5))]),
        ],
        prompts: vec!["both at the beach".to_owned(), NASTY.to_owned()],
        negative_prompt: "blurry".to_owned(),
        times: vec![TimeRow { what: "training".to_owned(), seconds: 75.0 }],
        peak_memory_bytes: Some(3 << 30),
        command: "mudi demo --name \"two <dogs>\"".to_owned(),
    }
}

/// Each `img` of the page: what its attributes say, and the picture inside.
fn pictures(html: &str) -> Vec<(u32, u32, RgbImage)> {
    let attribute = |tag: &str, name: &str| {
        let from = tag.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        tag[from..].split('"').next().unwrap().to_owned()
    };
    html.split("<img")
        .skip(1)
        .map(|rest| {
            let tag = rest.split('>').next().unwrap();
            let source = attribute(tag, "src");
            let png = STANDARD.decode(source.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
            let image = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap();
            assert!(!attribute(tag, "alt").is_empty());
            (
                attribute(tag, "width").parse().unwrap(),
                attribute(tag, "height").parse().unwrap(),
                image.to_rgb8(),
            )
        })
        .collect()
}

/// Panics unless every element is closed, in order, and every id is unique.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "img", "!DOCTYPE"];
    let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
    let html = format!("{}<style>{}", &html[..style.start], &html[style.end..]);
    let (mut open, mut ids) = (Vec::new(), HashSet::new());
    for tag in html.split('<').skip(1) {
        let tag = &tag[..tag.find('>').expect("a tag ends")];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some((_, id)) = tag.split_once(" id=\"") {
            assert!(
                ids.insert(id.split('"').next().unwrap().to_owned()),
                "two elements have the id of {tag}"
            );
        }
        let name = tag.split(' ').next().unwrap();
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, Vec::<String>::new());
    for link in html.split("href=\"").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(
            ids.contains(target.strip_prefix('#').expect("links stay in the page")),
            "{target} is nowhere"
        );
    }
}

#[test]
fn the_page_is_well_formed_and_complete() {
    let html = example().html();
    assert_well_formed(&html);
    for words in
        ["DreamBooth", "γ = 0.75", "γ = 1.5", "seed 8", "1 min 15 s", "3.00 GiB", "blurry", "plain noise"]
    {
        assert!(html.contains(words), "{words} is missing");
    }
    assert!(html.find("id=\"compare\"") < html.find("id=\"method-0\""));
}

#[test]
fn texts_are_escaped() {
    let html = example().html();
    assert!(!html.contains("<script"));
    assert!(!html.contains('\0'));
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;ears&quot;\u{fffd}"));
    assert!(html.contains("<code>mudi demo --name &quot;two &lt;dogs&gt;&quot;</code>"));
}

#[test]
fn pictures_are_inside_and_of_the_right_size() {
    let html = example().html();
    let pictures = pictures(&html);
    // Each subject: one in the hero, two photos, one mask; each method: one seen; each grid: 2 layouts, 4 pictures,
    // and 2 of them in the comparison.
    assert_eq!(pictures.len(), 2 * 4 + 2 + 3 * (2 + 4 + 2));
    for (width, height, image) in &pictures {
        match image.dimensions() {
            (64, side) => assert_eq!((*width, *height), (128, 2 * side)),
            size => {
                assert_eq!((size, *width, *height), ((384, 288), 320, 240), "large photos are scaled down");
            }
        }
    }
    assert_eq!(html.matches("class=\"pixels\"").count(), pictures.len() - 2);
    for outside in ["http:", "https:", "url(", "@import", "<link", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn an_overlay_shows_what_the_mask_keeps() {
    let report = example();
    let photo = &report.subjects[0].photos[0];
    let shown = html::overlay(photo, &report.subjects[0].masks[0], 0);
    assert_eq!(shown.get_pixel(10, 20), photo.get_pixel(10, 20));
    assert_ne!(shown.get_pixel(31, 20), photo.get_pixel(31, 20), "the edge is drawn");
    let Rgb([r, g, b]) = *shown.get_pixel(50, 20);
    assert!(r == g && g == b, "the rest is gray");
}

#[test]
fn the_json_has_every_number_and_no_picture() {
    let text = example().json().unwrap();
    assert!(text.len() < 6000, "no pixels");
    assert!(text.contains("18446744073709551615"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["methods"][0]["losses"], serde_json::json!([0.5, null, 0.25]));
    assert_eq!(json["methods"][0]["training_seconds"], 75.0);
    assert_eq!(json["methods"][0]["seen_in_training"][0], "a photo of a olis corgi");
    assert_eq!(json["methods"][1]["grids"][1]["gamma"], 1.5);
    assert_eq!(json["methods"][0]["grids"][0]["gamma"], serde_json::Value::Null);
    assert_eq!(json["methods"][1]["grids"][0]["rows"][1]["seeds"], serde_json::json!([7, 8]));
    assert_eq!(json["subjects"][1]["name"], NASTY);
    assert_eq!(json["times"][0]["seconds"], 75.0);
    assert_eq!(json["peak_memory_bytes"], 3_u64 << 30);
    assert!(json["subjects"][0].get("photos").is_none());
}

#[test]
fn incomplete_reports_are_fine() {
    assert_well_formed(&Report::default().html());
    let mut report = example();
    report.prompts.clear();
    report.methods[0].losses.clear();
    report.methods[0].grids[0].rows[0].images = vec![RgbImage::new(0, 4)];
    report.methods[1].grids[0].rows.clear();
    report.methods[1].seen_in_training.clear();
    report.subjects[0].photos = vec![RgbImage::new(0, 0)];
    report.subjects[1].photos.clear();
    report.times = vec![TimeRow { what: String::new(), seconds: f64::NAN }];
    let html = report.html();
    assert_well_formed(&html);
    assert!(html.contains("no picture"));
}

#[test]
fn both_files_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let report = example();
    report.write(dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join(HTML_NAME)).unwrap(), report.html());
    assert_eq!(std::fs::read_to_string(dir.path().join(JSON_NAME)).unwrap(), report.json().unwrap());
    assert!(report.write(&dir.path().join("nowhere")).is_err());
}

/// The coordinates of a chart's line.
fn line(svg: &str, class: &str) -> Vec<(f64, f64)> {
    let start = format!("<polyline class=\"{class}\" points=\"");
    let Some((_, rest)) = svg.split_once(&start) else { return Vec::new() };
    let points = rest.split('"').next().unwrap();
    points
        .split(' ')
        .map(|point| point.split_once(',').unwrap())
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect()
}

#[test]
fn charts_show_the_losses() {
    let losses: Vec<f32> = (0..2000_u16).map(|step| 1.0 / (1.0 + f32::from(step) / 100.0)).collect();
    let svg = loss_chart(&losses);
    let (raw, smooth) = (line(&svg, "raw"), line(&svg, "smooth"));
    assert!(raw.len() <= 400 && smooth.len() == 400);
    assert!(smooth.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "down the page");
    assert!(svg.contains("training step") && svg.contains(">loss<"));
    assert!(loss_chart(&[]).contains("No losses"));
    assert!(loss_chart(&[f32::NAN, f32::INFINITY]).contains("None of the losses is finite"));
    assert!(loss_chart(&[0.3]).contains("<circle"));
    assert!(loss_chart(&[0.3, f32::NAN, 0.2]).contains("1 not finite"));
    let mut spiky = vec![0.1; 200];
    spiky[50] = 40.0;
    assert!(loss_chart(&spiky).contains("cut off"));
    assert!(!loss_chart(&losses[..100]).contains("cut off"));
}

proptest! {
    #[test]
    fn charts_take_any_losses(losses in prop::collection::vec(any::<f32>(), 0..1200)) {
        let svg = loss_chart(&losses);
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf,"));
        for (x, y) in line(&svg, "raw").into_iter().chain(line(&svg, "smooth")) {
            prop_assert!((0.0..=560.0).contains(&x) && (0.0..=230.0).contains(&y));
        }
    }
}
