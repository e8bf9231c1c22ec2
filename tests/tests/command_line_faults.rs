//! What the program refuses, with which words, and that it leaves nothing behind; what it takes from where.

use std::path::Path;
use std::process::{Command, Output};

use mudi_tests::golden::fixture;
use mudi_tests::workshop::{Workshop, copy_folder, failed, json, mudi, ok, program, refs, refused};

/// Runs the program in the workshop's folder with these variables.
fn mudi_with(shop: &Workshop, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).envs(variables.iter().copied()).current_dir(shop.path(""));
    command.output().expect("the program runs")
}

#[test]
fn a_run_is_begun_in_a_new_folder_alone() {
    let shop = Workshop::new();
    shop.toys();
    std::fs::create_dir(shop.path("run")).expect("a folder");
    std::fs::write(shop.path("run/diary.txt"), "mine").expect("write");
    refused(&refs(&shop.train("run", &[])), &["diary.txt", "--out"]);
    refused(&refs(&shop.train("run", &["--resume"])), &["holds no run", "leave out --resume"]);
    refused(&refs(&shop.train("nowhere", &["--resume"])), &["holds no run", "leave out --resume"]);
    assert_eq!(shop.files("run"), [Path::new("diary.txt")], "nothing is written");
    // What a beginning that was interrupted leaves does not stand in the way.
    std::fs::remove_file(shop.path("run/diary.txt")).expect("remove");
    for left in ["lock", "recipe.json", "run.json.7.part"] {
        std::fs::write(Path::new(&shop.path("run")).join(left), "").expect("write");
    }
    ok(&refs(&shop.train("run", &[])));
    // Told before anything is read: without this file no photo can be.
    std::fs::remove_file(shop.path("toys/mask_a00.png")).expect("remove");
    refused(&refs(&shop.train("run", &[])), &["holds a run already", "--resume"]);
    refused(&refs(&shop.train("run", &["--resume", "--seed", "9"])), &["the recipe"]);
    refused(&refs(&shop.train("run", &["--resume"])), &["mask_a00.png"]);
    refused(&refs(&shop.train("new", &["--stop-after", "0"])), &["--stop-after"]);
}

#[test]
fn what_cannot_be_written_is_told_before_the_work() {
    let shop = Workshop::new();
    let toys = shop.toys();
    let (file, below, broken) = (shop.path("file"), shop.path("file/out"), shop.path("broken"));
    std::fs::write(&file, "mine").expect("write");
    // Whose weights are no numbers, so that whatever is told of other things was told before they were read.
    copy_folder(&fixture("sdxl-tiny"), Path::new(&broken));
    let weights = Path::new(&broken).join("unet/diffusion_pytorch_model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("weights");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    bytes[8 + header..].fill(0xff);
    std::fs::write(&weights, bytes).expect("write");
    let image = Path::new(&toys).join("a00.png").display().to_string();
    let place = "a file stands where a folder is needed";
    for out in [&file, &below] {
        refused(&["train", "--photos", "/no/photos", "--base", &broken, "--out", out], &["file", place]);
        refused(&["generate", "--base", &broken, "--prompt", "a", "--out", out], &["file", place]);
        refused(&["toybox", "--out", out], &["file", place]);
        refused(
            &["pretrain", "--network", "sam", "--out", out, "--run", &shop.path("run")],
            &["file", place],
        );
        refused(&["demo", "--base", &broken, "--out", out], &["file", place]);
    }
    refused(&["segment", "--image", &image, "--box", "1,1,9,9", "--out", &below], &["file", place]);
    refused(&["segment", "--image", &image, "--class", "bear", "--out", &toys], &["toys", "name a file"]);
    let out = shop.path("out");
    let drawn = ["generate", "--base", &broken, "--prompt", "a", "--out", &out];
    for (flags, words) in [
        (["--size", "30"], &["30 x 30", "multiples of"][..]),
        (["--steps", "5000"], &["5000 steps"]),
        (["--noise", "/no/noise"], &["/no/noise"]),
        (["--count", "1"], &["diffusion_pytorch_model.safetensors", "not numbers"]),
    ] {
        refused(&[&drawn[..], &flags].concat(), words);
    }
    assert!(!Path::new(&out).exists() && !Path::new(&shop.path("run")).exists());
    assert_eq!(shop.bytes("file"), b"mine");
}

#[test]
fn what_nothing_can_learn_from_is_refused_before_a_run_begins() {
    let shop = Workshop::new();
    shop.toys();
    for (flags, words) in [
        (["--targets", "nothing"], &["--targets", "nothing", "to_q", "conv1"][..]),
        (["--relative-sizes", "z=0.5"], &["--relative-sizes", "`z`", "a, b"]),
    ] {
        refused(&refs(&shop.train("run", &flags)), words);
        assert!(!Path::new(&shop.path("run")).exists(), "{flags:?}");
    }
    std::fs::create_dir(shop.path("bare")).expect("a folder");
    let (bare, out) = (shop.path("bare"), shop.path("run"));
    refused(&["train", "--photos", &bare, "--out", &out], &["metadata.jsonl", r#"{"id": {"a": "#]);
}

/// The metadata of the folder `toys` without the masks that it names, which then would have to be made.
fn unmask(toys: &str) {
    let file = Path::new(toys).join("metadata.jsonl");
    let lines = std::fs::read_to_string(&file).expect("metadata");
    let without = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line.as_object_mut().expect("an object").remove("mask_path");
        line.to_string() + "\n"
    });
    std::fs::write(&file, without.collect::<String>()).expect("write");
}

#[test]
fn masks_are_made_once_nothing_else_is_wrong() {
    let shop = Workshop::new();
    let toys = shop.toys();
    unmask(&toys);
    // Whatever is told before this was told before a mask was to be made.
    let none = shop.path("no-detector");
    let with = |further: &[&str]| shop.train("run", &[&["--detector", &none], further].concat());
    refused(&refs(&with(&[])), &["no-detector"]);
    refused(&refs(&with(&["--memory", "0.001"])), &["needs", "MiB"]);
    refused(&refs(&with(&["--targets", "nothing"])), &["--targets"]);
    refused(&refs(&with(&["--relative-sizes", "z=0.5"])), &["--relative-sizes"]);
    refused(&refs(&with(&["--vae", &none])), &["no-detector", "--vae"]);
    let base = shop.path("base");
    copy_folder(Path::new(&shop.base), Path::new(&base));
    std::fs::remove_file(Path::new(&base).join("vae/config.json")).expect("remove");
    let (out, photo) = (shop.path("run"), shop.path("toys/b02.png"));
    let elsewhere =
        ["train", "--photos", &toys, "--base", &base, "--out", &out, "--detector", &none, "--quiet"];
    refused(&elsewhere, &["vae", "config.json"]);
    copy_folder(Path::new(&shop.base), Path::new(&base));
    let weights = Path::new(&base).join("unet/diffusion_pytorch_model.safetensors");
    let bytes = std::fs::read(&weights).expect("weights");
    std::fs::write(&weights, &bytes[..bytes.len() - 9]).expect("write");
    refused(&elsewhere, &["diffusion_pytorch_model.safetensors", "bytes where the header says"]);
    std::fs::write(&photo, "").expect("write");
    refused(&refs(&with(&[])), &["b02.png", "empty"]);
    assert!(!Path::new(&out).exists() && !Path::new(&toys).join("automatic_masks").exists());
}

#[test]
fn what_should_be_known_is_told_without_a_terminal_too() {
    let shop = Workshop::new();
    for (subjects, words) in
        [("4", ["4 subjects", "segmix-probability 0.5"]), ("1", ["One subject", "no collages"])]
    {
        let (toys, run) = (shop.path(&format!("toys-{subjects}")), shop.path(&format!("run-{subjects}")));
        ok(&["toybox", "--subjects", subjects, "--photos", "1", "--size", "64", "--out", &toys]);
        let files = ["train", "--photos", &toys, "--base", &shop.base, "--out", &run, "--quiet"];
        let small = ["--steps", "1", "--rank", "4", "--regularization", "none"];
        let output = mudi(&[&files[..], &small].concat());
        assert!(output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
}

#[test]
fn flags_come_before_the_file_and_the_file_before_the_environment() {
    let shop = Workshop::new();
    shop.toys();
    let file = shop.path("recipe.json");
    std::fs::write(&file, r#"{"seed": 3, "margin": 80, "batch": 1}"#).expect("write");
    let variables = [("MUDI_SEED", "5"), ("MUDI_MAX_WIDTH", "0.625"), ("MUDI_BATCH", "4")];
    let arguments = shop.train("run", &["--recipe", &file, "--batch", "2"]);
    let output = mudi_with(&shop, &variables, &refs(&arguments));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recipe: serde_json::Value = serde_json::from_slice(&shop.bytes("run/recipe.json")).expect("JSON");
    assert_eq!(["seed", "margin", "batch"].map(|name| &recipe[name]), [3, 80, 2]);
    assert_eq!(recipe["max-width"], 0.625);
    let output = mudi_with(&shop, &[("MUDI_SEED", "many")], &refs(&shop.train("other", &[])));
    failed(&output, &["MUDI_SEED", "many"]);
    refused(&refs(&shop.train("other", &["--recipe", &shop.path("none")])), &["none", "--recipe"]);
}

#[test]
fn a_pulled_model_is_found_by_its_name() {
    let shop = Workshop::new();
    copy_folder(&fixture("sdxl-tiny"), Path::new(&shop.path("models/tiny")));
    let output = mudi_with(&shop, &[], &["plan", "--base", "tiny"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    failed(&mudi_with(&shop, &[], &["plan", "--base", "large"]), &["large", "models/large", "mudi models"]);
    failed(
        &mudi_with(&shop, &[], &["evaluate", "--photos", "a", "--images", "b", "--embedder", "eye"]),
        &["eye", "models/eye"],
    );
}

#[test]
fn a_plan_shows_what_is_asked_for() {
    let shop = Workshop::new();
    let rows = |flags: &[&str]| {
        let plan = json(&[&["plan", "--base", &shop.base], flags].concat());
        let rows = plan["rows"].as_array().expect("rows").clone();
        rows.into_iter().map(|row| format!("{}: {}", row["precision"], row["job"])).collect::<Vec<_>>()
    };
    assert_eq!(rows(&[]).len(), 6);
    let asked = rows(&["--precision", "bf16", "--gradient-checkpointing", "false"]);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|row| row.contains("bf16") && !row.contains("with gradient")), "{asked:?}");
    refused(
        &["plan", "--base", &shop.base, "--targets", "to_q,nothing"],
        &["`targets`", "\"nothing\"", "to_k"],
    );
}

#[test]
fn flags_that_do_not_go_together_or_are_out_of_range_are_named() {
    let shop = Workshop::new();
    let out = shop.path("out");
    let (base, none, run) = (shop.base.as_str(), shop.path("none"), shop.path("run"));
    let drawn = ["generate", "--prompt", "a", "--out", &out];
    let cases: [(&[&str], &[&str]); 22] = [
        (&drawn, &["--run", "--base"]),
        (
            &["generate", "--prompt", "a", "--out", &out, "--run", &none],
            &["none", "holds no run", "mudi train"],
        ),
        (&["export", "--out", &out], &["--run", "--lora"]),
        (&["export", "--out", &out, "--run", &none], &["none", "holds no run", "mudi train"]),
        (&["generate", "--prompt", "a", "--out", &out, "--base", base, "--gamma", "-1"], &["--layout"]),
        (&["generate", "--prompt", "a", "--out", &out, "--base", base, "--lora-scale", "-1"], &["--run"]),
        (
            &["generate", "--prompt", "a", "--out", &out, "--base", base, "--guidance", "-1"],
            &["--guidance -1", "from 0"],
        ),
        (&["generate", "--prompt", "a", "--out", &out, "--base", base, "--steps", "0"], &["--steps", "0"]),
        (
            &["generate", "--prompt", "a", "--out", &out, "--base", base, "--memory", "-1"],
            &["--memory", "from 0"],
        ),
        (
            &["generate", "--prompt", "a", "--out", &out, "--base", base, "--memory", "nan"],
            &["--memory", "from 0"],
        ),
        (&["probe", "base", "--guidance", "nan"], &["--guidance", "from 0 to 100"]),
        (&["benchmark", "--toys", "3", "--part", "gamma", "--out", &out], &["--toys", "subjects"]),
        (&["benchmark", "--steps", "2000000", "--out", &out], &["`steps`", "1000000"]),
        (&["demo", "--seed", "18446744073709551615", "--out", &out], &["`seed`", "9007199254740991"]),
        (&["pretrain", "--from", &none, "--run", &run, "--out", &out], &["none", "--from"]),
        (&["pretrain", "--run", &out, "--out", &out], &["--run", "--out", "name two"]),
        (&["pretrain", "--export-only", "--run", &run, "--out", &out], &["no checkpoint", "--export-only"]),
        (
            &["pretrain", "--network", "sam", "--export-only", "--run", &run, "--out", &out],
            &["no checkpoint"],
        ),
        (&["models", "pull", "sam", "--models", &out, "--token-file", &none], &["none", "--token-file"]),
        (&["bench", "--base", base, "--runs", "1", "--python", &none], &["--python", "none"]),
        (&["models", "pull", "taesdxl", "--models", &out], &["taesdxl", "sdxl", "OWNER/NAME"]),
        (&["segment", "--image", &none, "--out", &out, "--box", "1,1,2,2"], &["none", "--image"]),
    ];
    for (arguments, words) in cases {
        refused(arguments, words);
        assert!(!Path::new(&out).exists(), "{arguments:?} leaves something");
    }
    let karras = ["--base", base, "--sampler", "ddim", "--karras"];
    refused(&[&drawn[..], &karras].concat(), &["euler", "leave out --karras"]);
}

#[test]
fn a_server_that_cannot_do_what_it_is_told_does_not_start() {
    let shop = Workshop::new();
    let (data, none, file) = (shop.path("data"), shop.path("none"), shop.path("serve.json"));
    let models = fixture("").display().to_string();
    std::fs::write(&file, r#"{"rate": 0, "listen": "127.0.0.1:0"}"#).expect("write");
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--models", &none], &["none", "--models"]),
        (&["--models", &models, "--segmenter", "none"], &["none", "--segmenter", "SAM"]),
        (&["--models", &models, "--preview", "none"], &["none", "--preview"]),
        (&["--config", &file], &["serve.json", "`rate`", "from 1"]),
        (&["--upload-limit", "0"], &["`upload-limit`", "from 1"]),
        (&["--nice", "50"], &["`nice`", "0 to 19"]),
        (&["--public-url", "mudi.example.org"], &["`public-url`", "https://"]),
        (&["--password-file", &none, "--models", &models], &["none", "--password-file"]),
    ];
    for (flags, words) in cases {
        refused(&[&["serve", "--data", &data, "--listen", "127.0.0.1:0"], flags].concat(), words);
    }
    // What the file says wrongly a flag may say rightly; what a flag says wrongly is not the file's fault.
    let output = mudi(&["serve", "--data", &data, "--config", &file, "--rate", "0"]);
    failed(&output, &["`rate`"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("serve.json"));
    let flags = ["serve", "--data", &data, "--listen", "127.0.0.1:0", "--device", "cuda"];
    refused(&flags, &["--features cuda"]);
}

/// Paths that are no UTF-8, and streams that nobody reads.
#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;
    use std::process::Stdio;

    use super::*;

    /// A path in the workshop that is no text.
    fn odd(shop: &Workshop) -> OsString {
        let mut path = OsString::from(shop.path("odd"));
        path.push(OsStr::from_bytes(b"\xff"));
        path
    }

    #[test]
    fn paths_need_not_be_text() {
        let shop = Workshop::new();
        let odd = odd(&shop);
        for further in [&["--json"][..], &[]] {
            let mut out = odd.clone();
            out.push(further.len().to_string());
            let output = Command::new(program())
                .args(["toybox", "--photos", "1", "--out"])
                .arg(&out)
                .args(further)
                .output();
            let output = output.expect("the program runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).contains("odd\u{fffd}"));
            // A run notes where its photos are, so it says so before it begins.
            let (base, run) = (shop.base.as_str(), shop.path("run"));
            let train = Command::new(program())
                .args(["train", "--base", base, "--out", &run, "--photos"])
                .arg(&out)
                .output();
            failed(&train.expect("the program runs"), &["odd", "not UTF-8", "rename"]);
            assert!(!Path::new(&run).exists());
        }
    }

    #[test]
    fn a_failure_that_nobody_can_be_told_is_a_failure() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
        let status =
            Command::new(program()).args(["plan", "--base", "/no/base"]).stderr(Stdio::from(full)).status();
        assert_eq!(status.expect("the program runs").code(), Some(2));
    }
}
