//! A disk that fills up while the program writes: it says so, leaves nothing half-written, and goes on when there is space.
//!
//! No test can fill a disk. Here no file may grow beyond some size, so that a write fails in its middle, with another number
//! of the same kind of error.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mudi_tests::golden::fixture;
use mudi_tests::workshop::{Workshop, failed, ok, program, refs, shipped};

/// Runs the program where a file can hold no more than `kibibytes`.
fn cramped(kibibytes: u32, arguments: &[&str]) -> Output {
    // Without the trap the system would end the program instead of failing the write.
    let script = r#"trap "" XFSZ && ulimit -f "$1" && shift && exec "$@""#;
    Command::new("bash")
        .args(["-c", script, "bash", &kibibytes.to_string()])
        .arg(program())
        .args(arguments)
        .output()
        .expect("bash runs")
}

const CURE: &str = "free space";

#[test]
fn a_run_goes_on_once_there_is_space() {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(&shop.train("whole", &[])));
    // The checkpoint is larger than this, what is written before it is smaller.
    const ROOM: u32 = 16;

    failed(&cramped(ROOM, &refs(&shop.train("first", &[]))), &["first", "checkpoint.safetensors", CURE]);

    ok(&refs(&shop.train("later", &["--stop-after", "2"])));
    let before = shop.bytes("later/checkpoint.safetensors");
    let output = cramped(ROOM, &refs(&shop.train("later", &["--resume"])));
    failed(&output, &["later", "checkpoint.safetensors", CURE]);
    assert!(output.stdout.is_empty());
    assert!(before == shop.bytes("later/checkpoint.safetensors"), "the last good checkpoint stays");

    for run in ["first", "later"] {
        for file in shop.files(run) {
            let known = [
                "checkpoint.safetensors",
                "lock",
                "metrics.jsonl",
                "priors.safetensors",
                "recipe.json",
                "run.json",
            ];
            assert!(known.iter().any(|known| file == Path::new(known)), "{run}: {} is left", file.display());
        }
        ok(&refs(&shop.train(run, &["--resume"])));
        assert_eq!(shop.files(run), shop.files("whole"), "{run}");
        for file in ["checkpoint.safetensors", "pytorch_lora_weights.safetensors", "metrics.jsonl"] {
            let same = shop.bytes(&format!("{run}/{file}")) == shop.bytes(&format!("whole/{file}"));
            assert!(same, "{run}: {file} differs from that of a run that never stopped");
        }
    }
}

#[test]
fn no_command_leaves_half_a_file() {
    let shop = Workshop::new();
    let inputs = fixture("sdxl-tiny/golden/unet.safetensors").display().to_string();
    let base = ["--base", &shop.base];
    let (toys, pictures, demo, out) =
        (shop.path("toys"), shop.path("pictures"), shop.path("demo"), shop.path("out.safetensors"));
    let (run, model) = (shop.path("run"), shop.path("model"));
    // Wherever the program was built.
    let [owl, sam, dino] = ["owlv2-toybox", "sam-toybox", "dinov2-toybox"].map(shipped);
    let networks = ["--detector", &owl, "--segmenter", &sam, "--embedder", &dino];
    let demo = [&["demo", base[0], base[1], "--out", &demo][..], &networks].concat();
    let commands: [(&str, &[&str]); 5] = [
        (".png", &["toybox", "--photos", "1", "--out", &toys]),
        ("0000.png", &["generate", base[0], base[1], "--prompt", "a", "--steps", "1", "--out", &pictures]),
        (".png", &demo),
        (
            "out.safetensors",
            &["forward", base[0], base[1], "--network", "unet", "--inputs", &inputs, "--out", &out],
        ),
        ("vocab.json", &["pretrain", "--run", &run, "--out", &model]),
    ];
    for (file, arguments) in commands {
        let output = cramped(1, arguments);
        failed(&output, &[file, CURE]);
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(shop.files("."), Vec::<PathBuf>::new(), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_printed_is_a_failure() {
    let shop = Workshop::new();
    for further in [&["--json"][..], &[]] {
        let out = shop.path(&format!("toys{}", further.len()));
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
        let output = Command::new(program())
            .args([&["toybox", "--out", &out], further].concat())
            .stdout(Stdio::from(full))
            .output()
            .expect("the program runs");
        failed(&output, &["standard output", "space"]);
    }
}

#[test]
fn a_merged_base_is_whole_or_not_there() {
    let shop = Workshop::new();
    let out = shop.path("merged");
    failed(&cramped(40, &["merge", "--base", &shop.base, "--out", &out]), &["merged", CURE]);
    assert_eq!(shop.files(""), Vec::<PathBuf>::new(), "nothing is left");
}
