//! The benchmark, with few steps and pictures.

use std::path::Path;

use mudi_tests::workshop::{Workshop, copy_folder, json, refused, shipped};
use serde_json::Value;

#[test]
fn a_benchmark_resumes_and_counts() {
    let shop = Workshop::new();
    let out = shop.path("benchmark");
    let (detector, embedder) = (shipped("owlv2-toybox"), shipped("dinov2-toybox"));
    let reader = shipped("reader-toybox");
    let common = [
        "benchmark",
        "--base",
        &shop.base,
        "--out",
        &out,
        "--detector",
        &detector,
        "--embedder",
        &embedder,
        "--reader",
        &reader,
        "--prompts",
        "1",
        "--seeds",
        "2",
        "--part",
        "methods",
        "--quiet",
    ];
    let of = |steps, pairs| [&common[..], &["--steps", steps, "--pairs", pairs]].concat();
    let arguments = |steps| of(steps, "1");
    let first = json(&arguments("1"));
    for method in ["dreambooth", "cutmix", "mudi", "dreambooth_kind", "cutmix_kind", "mudi_kind"] {
        let found = &first["methods"][method];
        assert!(found["success"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{first}");
        assert_eq!(found["success_interval"].as_array().map(Vec::len), Some(2));
        assert_eq!(found["pictures"], 2);
        assert!(found["placed"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{first}");
        assert!(found["right_and_placed"].as_f64() <= found["success"].as_f64(), "{first}");
    }
    assert!(shop.bytes("benchmark/benchmark.html").starts_with(b"<!DOCTYPE html>"));
    assert!(shop.bytes("benchmark/methods.svg").starts_with(b"<svg"));
    assert_eq!(first["toys"]["2"].as_array().map(Vec::len), Some(1));
    // The pictures are there to be looked at, and whoever judges them finds the same.
    let page = String::from_utf8(shop.bytes("benchmark/benchmark.html")).expect("text");
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 6, "one of each way");
    let size = |file: &str| image::image_dimensions(shop.path(file)).expect("a picture");
    let (width, height) = size("benchmark/pictures/0-mudi-kind-2-1/0-0000.png");
    assert_eq!(size("benchmark/methods.webp"), (width + 8, 6 * (height + 4) + 4), "a row for each way");
    let told = json(&[
        "evaluate",
        "--photos",
        &shop.path("benchmark/runs/0-mudi-kind-2/toys"),
        "--images",
        &shop.path("benchmark/pictures/0-mudi-kind-2-1"),
        "--detector",
        &detector,
        "--embedder",
        &embedder,
        "--quiet",
    ]);
    let cell = shop.bytes("benchmark/cells/0-mudi-kind-2-1.json");
    let cell: Value = serde_json::from_slice(&cell).expect("json");
    let judged: Vec<&Value> = told["images"].as_array().expect("images").iter().collect();
    assert_eq!(judged.len(), 2, "{told}");
    for (image, picture) in judged.iter().zip(cell["pictures"].as_array().expect("pictures")) {
        assert_eq!(image["verdicts"][0]["score"], picture["score"], "{told} {cell}");
        assert_eq!(image["prompt"], picture["prompt"], "{told} {cell}");
    }
    // A cell that is there counts, and is not made again.
    let cell = shop.path("benchmark/cells/0-mudi-kind-2-1.json");
    let mut known: Value = serde_json::from_slice(&std::fs::read(&cell).expect("a cell")).expect("json");
    for picture in known["pictures"].as_array_mut().expect("pictures") {
        picture["score"] = 1.0.into();
        picture["sureness"] = 0.49.into();
    }
    known["pictures"][0]["sureness"] = 0.51.into();
    std::fs::write(&cell, known.to_string()).expect("a cell");
    let again = &json(&arguments("1"))["methods"]["mudi_kind"];
    assert_eq!(["success", "placed", "right_and_placed"].map(|key| &again[key]), [1.0, 0.5, 0.5]);
    refused(&arguments("2"), &["settings", "--out"]);
    // Further pairs, side by side, do not change the ones that are there, nor depend on who makes them.
    let three = |jobs| json(&[&of("1", "3")[..], &["--jobs", jobs]].concat());
    let side_by_side = three("2");
    assert_eq!(side_by_side["methods"]["mudi"]["pictures"], 6);
    assert_eq!(side_by_side["methods"]["mudi_kind"]["pictures"], 6);
    for group in ["1", "2"] {
        std::fs::remove_dir_all(shop.path(&format!("benchmark/runs/{group}-mudi-kind-2"))).expect("a run");
        std::fs::remove_file(shop.path(&format!("benchmark/cells/{group}-mudi-kind-2-1.json")))
            .expect("a cell");
    }
    std::fs::remove_dir_all(shop.path("benchmark/pictures/1-mudi-kind-2-1")).expect("pictures");
    std::fs::write(shop.path("benchmark/pictures/2-mudi-kind-2-1/0-0000.png"), "half").expect("a file");
    assert_eq!(three("1"), side_by_side);
    // Pairs can be measured elsewhere: their cells are all that the tables need.
    let gathered = shop.path("gathered");
    copy_folder(Path::new(&shop.path("benchmark/cells")), &Path::new(&gathered).join("cells"));
    std::fs::copy(shop.path("benchmark/settings.json"), format!("{gathered}/settings.json")).expect("a copy");
    let there = |pairs, first| {
        let same = of("1", pairs).into_iter().map(|word| if word == out { gathered.as_str() } else { word });
        json(&same.chain(["--first-pair", first]).collect::<Vec<_>>())
    };
    assert_eq!(there("3", "1"), side_by_side);
    assert!(!Path::new(&gathered).join("runs").exists(), "nothing was taught");
    let last = there("1", "3");
    assert_eq!(last["toys"]["2"][0], side_by_side["toys"]["2"][2]);
    let shares = |of: &Value| of["methods"]["mudi_kind"]["groups"].clone();
    assert_eq!(shares(&last)[0], shares(&side_by_side)[2]);
    assert!(last["command"].as_str().is_some_and(|command| command.contains("--first-pair 3")), "{last}");
    // Pictures that an interrupted run has left are judged as they are.
    let other = shop.path("benchmark/cells/1-mudi-kind-2-1.json");
    let sureness = || {
        let cell: Value = serde_json::from_slice(&std::fs::read(&other).expect("a cell")).expect("json");
        [0, 1].map(|at| cell["pictures"][at]["sureness"].as_f64())
    };
    let [first, second] = sureness();
    let picture = |seed| shop.path(&format!("benchmark/pictures/1-mudi-kind-2-1/0-000{seed}.png"));
    std::fs::rename(picture(0), picture(2)).expect("a picture");
    std::fs::rename(picture(1), picture(0)).expect("a picture");
    std::fs::rename(picture(2), picture(1)).expect("a picture");
    std::fs::remove_file(&other).expect("a cell");
    three("1");
    assert_ne!(first, second);
    assert_eq!(sureness(), [second, first]);
    std::fs::write(&cell, "{").expect("a cell");
    refused(&arguments("1"), &["0-mudi-kind-2-1.json", "remove it"]);
    refused(&[&of("1", "3")[..], &["--jobs", "2"]].concat(), &["0-mudi-kind-2-1.json"]);
}
