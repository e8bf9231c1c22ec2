//! `mudi improve`: a run that draws, is judged, and learns on from its best pictures.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mudi_tests::workshop::{Workshop, copy_folder, json, ok, refs, refused, shipped};

/// A short run of the base that ships on two toys whose names say their colours, so that even so little gives pictures of two. It is
/// trained once for all tests, each of which has a copy.
fn taught() -> Workshop {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    // What the run says of its photos' place, until there is a copy.
    const PLACE: &str = "the-folder-of-the-first";
    let name = |shop: &Workshop| {
        let place = PathBuf::from(shop.path(""));
        place.file_name().expect("a folder's name").to_string_lossy().into_owned()
    };
    let files = FILES.get_or_init(|| {
        let shop = Workshop::new();
        let toys = shop.path("toys");
        ok(&["toybox", "--photos", "3", "--seed", "22", "--out", &toys]);
        let run = shop.path("run");
        let base = shipped("pocket");
        let files = ["train", "--photos", &toys, "--base", &base, "--out", &run, "--quiet"];
        let small =
            ["--steps", "20", "--batch", "2", "--rank", "4", "--alpha", "8", "--regularization", "none"];
        ok(&[&files[..], &small].concat());
        let read = |file: PathBuf| {
            let bytes = shop.bytes(&file.display().to_string());
            (file, bytes)
        };
        let mut all: Vec<_> = shop.files("").into_iter().map(read).collect();
        let start =
            all.iter_mut().find(|(file, _)| file == Path::new("run/run.json")).expect("a run's start");
        let text = String::from_utf8(start.1.clone()).expect("text");
        assert!(text.contains(&name(&shop)), "{text}");
        start.1 = text.replace(&name(&shop), PLACE).into_bytes();
        all
    });
    let shop = Workshop::new();
    for (file, bytes) in files {
        let path = PathBuf::from(shop.path(&file.display().to_string()));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let is_start = file == Path::new("run/run.json");
        let text = is_start.then(|| String::from_utf8_lossy(bytes).replace(PLACE, &name(&shop)));
        std::fs::write(path, text.map_or_else(|| bytes.clone(), String::into_bytes)).expect("a file");
    }
    shop
}

/// The arguments for the run, into the folder `out`.
fn arguments(shop: &Workshop, out: &str, further: &[&str]) -> Vec<String> {
    let (run, out) = (shop.path("run"), shop.path(out));
    let (detector, embedder) = (shipped("owlv2-toybox"), shipped("dinov2-toybox"));
    let small = ["--pictures", "16", "--keep", "5", "--steps", "3"];
    let networks = ["--detector", &detector, "--embedder", &embedder];
    let all = [&["improve", "--run", &run, "--out", &out][..], &networks, &small, further].concat();
    all.into_iter().map(str::to_owned).collect()
}

/// The same with another value of `flag`.
fn instead(mut arguments: Vec<String>, flag: &str, value: &str) -> Vec<String> {
    let at = arguments.iter().position(|argument| argument == flag).expect("the flag is there");
    value.clone_into(&mut arguments[at + 1]);
    arguments
}

/// The lines of the list of kept pictures.
fn kept(shop: &Workshop, out: &str) -> Vec<serde_json::Value> {
    let text = String::from_utf8(shop.bytes(&format!("{out}/pictures/kept.jsonl"))).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_run_learns_on_from_its_best_pictures_and_goes_on_where_it_was() {
    let shop = taught();
    let made = json(&refs(&arguments(&shop, "better", &[])));
    let kept = kept(&shop, "better");
    assert!((4..=5).contains(&kept.len()), "{kept:?}");
    assert_eq!(made["kept"], kept.len());
    assert_eq!(made["steps"], 3);
    let texts: Vec<&str> = kept.iter().filter_map(|line| line["text"].as_str()).collect();
    assert!(
        texts.iter().all(|text| text.contains("olis pink elephant") && text.contains("hta green elephant"))
    );
    assert!(shop.bytes("better/evaluation.html").len() > 1000);
    let lora = shop.bytes("better/pytorch_lora_weights.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&lora).expect("a LoRA");
    let ranks = tensors.iter().filter(|(name, _)| name.ends_with("lora_A.weight"));
    let ranks: Vec<usize> = ranks.map(|(_, tensor)| tensor.shape()[0]).collect();
    assert!(!ranks.is_empty() && ranks.iter().all(|rank| *rank == 8), "{ranks:?}");

    // Stopped before the last pictures were drawn and anything was learnt.
    for file in ["pictures/kept.jsonl", "pictures/0007.png", "run.json", "checkpoint.safetensors"] {
        std::fs::remove_file(shop.path(&format!("better/{file}"))).expect("a file");
    }
    // By an earlier version, with a detector that cannot choose.
    let noted =
        || -> serde_json::Value { serde_json::from_slice(&shop.bytes("better/improve.json")).expect("JSON") };
    let mut earlier = noted();
    earlier["detector"] = "elsewhere".into();
    for later in ["base", "files"] {
        assert!(earlier.as_object_mut().expect("an object").remove(later).is_some(), "{later}");
    }
    std::fs::write(shop.path("better/improve.json"), earlier.to_string()).expect("a file");
    let drawn =
        || std::fs::metadata(shop.path("better/pictures/0003.png")).and_then(|found| found.modified());
    let before = drawn().expect("a picture");
    // However its folders' places are written.
    let networks = [("--detector", "owlv2-toybox"), ("--embedder", "dinov2-toybox")];
    let again = networks
        .into_iter()
        .fold(arguments(&shop, "toys/../better", &["--quiet"]), |arguments, (flag, network)| {
            instead(arguments, flag, &shipped(&format!("pocket/../{network}")))
        });
    ok(&refs(&again));
    ok(&refs(&arguments(&shop, "run/../better", &["--quiet"])));
    assert_eq!(drawn().expect("a picture"), before, "what is there is not drawn again");
    assert!(shop.bytes("better/pytorch_lora_weights.safetensors") == lora, "the same comes of it");
    assert!(noted()["base"].is_string() && noted()["detector"] != "elsewhere", "{}", noted());

    // It is a run like any other.
    let (run, out, file) = (shop.path("better"), shop.path("pictures"), shop.path("lora.safetensors"));
    let prompt = ["--prompt", "a olis pink elephant", "--count", "1", "--steps", "2", "--quiet"];
    ok(&[&["generate", "--run", &run, "--layout", "random", "--out", &out][..], &prompt].concat());
    ok(&["export", "--run", &run, "--out", &file]);

    // Other settings are another folder's.
    refused(&refs(&arguments(&shop, "better", &["--seed", "5"])), &["seed 1000, now 5", "another --out"]);
    refused(&refs(&arguments(&shop, "better", &["--base", &shop.base])), &["base", "another --out"]);
    // Whoever has chosen is part of it.
    let other = shop.path("owl");
    copy_folder(Path::new(&shipped("owlv2-toybox")), Path::new(&other));
    let judged = instead(arguments(&shop, "better", &[]), "--detector", &other);
    refused(&refs(&judged), &["detector", "owl", "another --out"]);
    let toys = shop.path("toys");
    std::fs::copy(format!("{toys}/a01.png"), format!("{toys}/a00.png")).expect("a photo");
    refused(&refs(&arguments(&shop, "better", &[])), &["other photos: a00.png", "another --out"]);
}

#[test]
fn without_learning_nothing_changes() {
    let shop = taught();
    ok(&refs(&arguments(&shop, "same", &["--learning-rate", "1e-9", "--quiet"])));
    let picture = |run: &str| {
        let (run, out) = (shop.path(run), shop.path("out"));
        let prompt = "a olis pink elephant and a hta green elephant";
        let small = ["--prompt", prompt, "--count", "1", "--steps", "4", "--quiet", "--out", &out];
        ok(&[&["generate", "--run", &run][..], &small].concat());
        image::open(Path::new(&out).join("0000.png")).expect("a picture").to_rgb8()
    };
    let (before, after) = (picture("run"), picture("same"));
    let apart = before.iter().zip(after.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    // Rounding alone: two products are added up in place of one.
    assert!(apart <= Some(2), "{apart:?}");
}

#[test]
fn more_subjects_than_a_layout_places_are_refused_before_anything_is_loaded() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let ids: Vec<String> = ('a'..='i').map(String::from).collect();
    let named = |id: &String| (id.clone(), format!("x{id}x bear").into());
    let names: serde_json::Map<String, serde_json::Value> = ids.iter().map(named).collect();
    let mut text = serde_json::json!({ "id": names }).to_string() + "\n";
    for id in &ids {
        let photo = serde_json::json!({ "id": id, "file_name": "a00.png", "mask_path": "mask_a00.png" });
        text += &format!("{photo}\n");
    }
    std::fs::write(Path::new(&toys).join("metadata.jsonl"), text).expect("write");
    let mut train = shop.train("run", &["--regularization", "none"]);
    let steps = train.iter().position(|argument| argument == "--steps").expect("steps");
    "1".clone_into(&mut train[steps + 1]);
    ok(&refs(&train));
    refused(&refs(&arguments(&shop, "out", &[])), &["9 subjects", "can place 8", "--gamma 0"]);
    // With that it goes on to the base.
    refused(&refs(&arguments(&shop, "out", &["--gamma", "0", "--base", "/no/base"])), &["/no/base"]);
    assert!(!Path::new(&shop.path("out")).exists(), "nothing was begun");
}

#[test]
fn what_cannot_be_improved_is_refused() {
    let shop = taught();
    let (run, out) = (shop.path("run"), shop.path("out"));
    let with = |further: &[&str]| arguments(&shop, "out", further);
    refused(&refs(&with(&["--prompt", "a olis pink elephant"])), &["hta green elephant", "every subject"]);
    refused(&refs(&with(&["--gamma=-1"])), &["--gamma -1", "from 0 to 100"]);
    refused(&refs(&with(&["--kl-weight", "1000"])), &["kl-weight"]);
    let none = shop.path("none");
    for flag in ["--detector", "--embedder"] {
        refused(&refs(&instead(with(&[]), flag, &none)), &["none", "config.json"]);
    }
    assert!(!Path::new(&out).exists(), "nothing was begun");
    refused(
        &["improve", "--run", &shop.path("none"), "--out", &out],
        &["none", "holds no run", "mudi train"],
    );
    let small = arguments(&shop, "small", &["--memory", "0.001"]);
    refused(&refs(&small), &["needs", "MiB", "can be had; use a smaller base model"]);
    // Neither the run itself nor another one is drawn into.
    let before = shop.files("run");
    refused(&refs(&arguments(&shop, "run/../run", &[])), &["another run", "--out"]);
    std::fs::create_dir(&out).expect("a folder");
    std::fs::copy(shop.path("run/run.json"), Path::new(&out).join("run.json")).expect("a copy");
    refused(&refs(&with(&[])), &["another run", "--out"]);
    assert_eq!(shop.files("run"), before);
    assert_eq!(shop.files("out"), [Path::new("run.json")]);
    // Nor into a folder of anything else, such as the photos.
    let toys = shop.files("toys");
    refused(&refs(&arguments(&shop, "toys", &[])), &["toys", "other files", "--out"]);
    assert_eq!(shop.files("toys"), toys);
    std::fs::remove_file(Path::new(&run).join("pytorch_lora_weights.safetensors")).expect("a LoRA");
    refused(&refs(&with(&[])), &["has not finished", "--resume"]);
}
