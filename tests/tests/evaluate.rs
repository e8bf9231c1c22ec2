//! `mudi evaluate` as a user meets it, with networks in miniature whose weights are random: what is found means nothing, but
//! how it is counted, compared, written and refused does.

use std::path::Path;

use mudi_tests::golden::fixture;
use mudi_tests::workshop::{Workshop, copy_folder, json, mudi, ok, refused, shipped};
use serde_json::Value;

/// A workshop with toys, images of both, and a detector; and the common arguments.
struct Gallery {
    shop: Workshop,
    arguments: Vec<String>,
}

impl Gallery {
    fn new() -> Self {
        let shop = Workshop::new();
        let toys = shop.toys();
        let images = shop.path("images");
        std::fs::create_dir_all(&images).expect("a folder");
        for (index, photo) in shop.files("toys").iter().filter(|name| is_photo(name)).take(3).enumerate() {
            std::fs::copy(Path::new(&toys).join(photo), format!("{images}/{index}.png")).expect("a copy");
        }
        // What `mudi generate` puts beside an image is none.
        std::fs::copy(format!("{images}/0.png"), format!("{images}/0.layout.png")).expect("a copy");
        detector(Path::new(&shop.path("owl")));
        let dino = fixture("vision/dinov2-tiny").display().to_string();
        let detector = shop.path("owl");
        let arguments = [
            "evaluate",
            "--photos",
            &toys,
            "--images",
            &images,
            "--detector",
            &detector,
            "--embedder",
            &dino,
            "--query",
            "toy",
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        Self { shop, arguments }
    }

    /// The arguments with `further` ones.
    fn with<'a>(&'a self, further: &[&'a str]) -> Vec<&'a str> {
        self.arguments.iter().map(String::as_str).chain(further.iter().copied()).collect()
    }

    /// The arguments with another value of `flag`.
    fn instead<'a>(&'a self, flag: &str, value: &'a str) -> Vec<&'a str> {
        let mut arguments = self.with(&[]);
        let at = arguments.iter().position(|argument| *argument == flag).expect("the flag is there");
        arguments[at + 1] = value;
        arguments
    }
}

fn is_photo(name: &Path) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".png") && !name.contains("mask")
}

/// OWLv2 in miniature, with a tokenizer of single letters for its 120 ids.
fn detector(folder: &Path) {
    copy_folder(&fixture("vision/owlv2-tiny"), folder);
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("{letter}</w>")]);
    let ends = [("<|startoftext|>".to_owned(), 118), ("<|endoftext|>".to_owned(), 119)];
    let vocabulary: serde_json::Map<String, Value> =
        letters.zip(0..).chain(ends).map(|(token, id)| (token, Value::from(id))).collect();
    std::fs::write(folder.join("vocab.json"), Value::Object(vocabulary).to_string()).expect("a file");
    std::fs::write(folder.join("merges.txt"), "#version: 0.2\n").expect("a file");
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|value| value.as_f64().expect("a number")).collect()
}

#[test]
fn images_are_scored_or_told_why_not() {
    let gallery = Gallery::new();
    // Everything that is proposed, of which there is too much.
    let all = json(&gallery.with(&["--threshold", "0"]));
    let images = all["images"].as_array().expect("images");
    assert_eq!(images.len(), 3, "the layout's picture is not judged");
    let found = |image: &Value| {
        numbers(&image["found"].as_array().expect("found").iter().map(|f| f["score"].clone()).collect())
    };
    let scores = found(&images[0]);
    assert!(scores.len() > 2 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let verdict = &images[0]["verdicts"][0];
    assert_eq!((verdict["score"].as_f64(), &verdict["outcome"]["kind"]), (Some(0.0), &Value::from("count")));
    assert!(verdict["explanation"].as_str().expect("text").ends_with("that of subjects 2"));
    // As many as there are subjects.
    let threshold = f64::midpoint(scores[1], scores[2]).to_string();
    let two = json(&gallery.with(&["--threshold", &threshold]));
    let verdict = &two["images"][0]["verdicts"][0];
    assert_eq!(verdict["outcome"]["kind"], "matched", "{verdict}");
    let (score, distance) =
        (verdict["score"].as_f64().expect("score"), verdict["outcome"]["distance"].as_f64());
    assert!((score - (1.0 - distance.expect("distance"))).abs() < 1e-12);
    let rows = |name: &str| -> Vec<Vec<f64>> {
        verdict[name].as_array().expect("rows").iter().map(numbers).collect()
    };
    let squares = |norm: &str| -> f64 {
        let other = json(&gallery.with(&["--threshold", &threshold, "--norm", norm]));
        1.0 - other["images"][0]["verdicts"][0]["score"].as_f64().expect("score")
    };
    let (found, expected) = (rows("detections"), rows("references"));
    let by_hand: f64 =
        found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).powi(2)).sum();
    assert!((1.0 - score - by_hand.sqrt()).abs() < 1e-9 && (squares("squared") - by_hand).abs() < 1e-9);
    assert!(squares("spectral") <= 1.0 - score + 1e-9);
    // Nothing.
    let none = json(&gallery.with(&["--threshold", "1"]));
    let summary = &none["summaries"][0];
    assert_eq!(
        (&summary["score"]["value"], &none["all_found"]["value"]),
        (&Value::from(0.0), &Value::from(0.0))
    );
    let note = none["notes"][0].as_str().expect("a note");
    assert!(note.contains("“toy”") && note.contains("above 1.00") && note.contains("--threshold"), "{note}");
    assert_eq!(
        none["images"][2]["verdicts"][0]["explanation"],
        "nothing was detected, but there are 2 subjects"
    );
}

#[test]
fn a_detector_says_how_it_is_asked() {
    let gallery = Gallery::new();
    let path = gallery.shop.path("owl/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    let mut say = |threshold: f64| {
        config["detection"] =
            serde_json::json!({ "queries": ["toy"], "threshold": threshold, "overlap": 1.0 });
        std::fs::write(&path, config.to_string()).expect("a file");
    };
    let mut arguments = gallery.with(&[]);
    assert_eq!(arguments.split_off(arguments.len() - 2), ["--query", "toy"]);
    say(0.0);
    let all = json(&arguments);
    assert_eq!(all["options"]["queries"], Value::from(vec!["toy"]));
    let found = |judged: &Value| judged["images"][0]["found"].as_array().expect("found").len();
    assert!(found(&all) > 2, "{all}");
    // A flag says otherwise.
    arguments.extend(["--threshold", "1"]);
    assert_eq!(found(&json(&arguments)), 0);
    say(1.5);
    refused(&arguments, &["config.json", "1.5 is not from 0 to 1"]);
}

#[test]
fn small_networks_judge_only_what_they_know() {
    let gallery = Gallery::new();
    let (detector, embedder) = (shipped("owlv2-toybox"), shipped("dinov2-toybox"));
    let path = gallery.shop.path("toys/metadata.jsonl");
    let text = std::fs::read_to_string(&path).expect("metadata");
    let (first, photos) = text.split_once('\n').expect("two lines");
    let mut names: Value = serde_json::from_str(first).expect("JSON");
    let mut named = |name: &str| {
        (names["id"]["a"], names["id"]["b"]) = (name.into(), "hta teal bear".into());
        std::fs::write(&path, format!("{names}\n{photos}")).expect("metadata");
    };
    let mut own = gallery.instead("--embedder", &embedder);
    assert_eq!(own.split_off(own.len() - 2), ["--query", "toy"]);
    let at = own.iter().position(|argument| *argument == "--detector").expect("the flag is there");
    let others = own[at + 1];
    named("olis brown robot");
    ok(&own);
    named("olis brown corgi");
    // The detector knows the language at large, the embedder does not.
    refused(&own, &["`brown corgi`", "embedder knows only", "bear", "--embedder"]);
    own[at + 1] = &detector;
    refused(&own, &["`brown corgi`", "detector knows only", "bear", "--detector"]);
    // Who says what to look for is believed.
    ok(&[&own[..], &["--query", "dog"]].concat());
    own[at + 1] = others;
    ok(&[&own[..], &["--query", "corgi"]].concat());
}

#[test]
fn a_page_and_its_numbers_are_written() {
    let gallery = Gallery::new();
    let dreamsim = fixture("vision/dreamsim-tiny").display().to_string();
    let out = gallery.shop.path("judged");
    let text = ok(&gallery.with(&["--embedder", &dreamsim, "--threshold", "0.3", "--out", &out, "--quiet"]));
    for words in
        ["by DINOv2, norm frobenius", "by DreamSim", "95 %", "right number of subjects", "evaluation.html"]
    {
        assert!(text.contains(words), "{words} is not in: {text}");
    }
    let numbers: Value = serde_json::from_slice(&gallery.shop.bytes("judged/evaluation.json")).expect("JSON");
    assert_eq!(numbers["summaries"][1]["embedder"], "dreamsim");
    let [low, high] =
        [0, 1].map(|at| numbers["summaries"][1]["multi_subject_similarity"]["interval"][at].as_f64());
    assert!(low < high && low > Some(-1.01));
    let page = String::from_utf8(gallery.shop.bytes("judged/evaluation.html")).expect("text");
    assert!(
        page.contains("data:image/png;base64,") && page.contains("class=\"heat\"") && !page.contains("NaN")
    );
    assert_eq!(page.matches("<article").count(), 3);
}

#[test]
fn what_cannot_be_judged_is_refused_by_name() {
    let gallery = Gallery::new();
    let shop = &gallery.shop;
    let missing = shop.path("nowhere");
    refused(
        &gallery.instead("--images", &missing),
        &["nowhere", "cannot be read", "folder that holds the images"],
    );
    refused(&gallery.instead("--photos", &missing), &["nowhere"]);
    // Before any network is loaded.
    let toys = shop.path("toys");
    let blind = [&gallery.instead("--images", &missing)[..], &["--embedder", &toys]].concat();
    refused(&blind, &["nowhere", "folder that holds the images"]);
    let empty = shop.path("empty");
    std::fs::create_dir_all(&empty).expect("a folder");
    refused(&gallery.instead("--images", &empty), &["empty", "no image in it"]);
    refused(&gallery.instead("--embedder", &empty), &["config.json", "DINOv2 or DreamSim"]);
    let (dino, owl) = (fixture("vision/dinov2-tiny").display().to_string(), shop.path("owl"));
    refused(&gallery.instead("--detector", &dino), &["vocab.json"]);
    refused(&gallery.instead("--embedder", &owl), &["owlv2", "not DINOv2 or DreamSim"]);
    refused(&gallery.instead("--query", "an uncommonly long description"), &["too long", "14 tokens"]);
    std::fs::write(format!("{empty}/broken.png"), b"no picture").expect("a file");
    refused(&gallery.instead("--images", &empty), &["broken.png"]);
    assert!(!mudi(&gallery.with(&["--threshold", "2"])).status.success());
    // References without masks.
    let toys = shop.path("toys/metadata.jsonl");
    let text = std::fs::read_to_string(&toys).expect("the text");
    let (first, photo) = text.split_once('\n').expect("two lines");
    let mut line: Value = serde_json::from_str(photo.lines().next().expect("a photo")).expect("JSON");
    line.as_object_mut().expect("an object").remove("mask_path");
    let rest: Vec<&str> = photo.lines().skip(1).collect();
    std::fs::write(&toys, format!("{first}\n{line}\n{}\n", rest.join("\n"))).expect("a file");
    refused(&gallery.with(&[]), &["mask"]);
}
