//! Pretraining that is killed and started again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mudi_tests::workshop::{Workshop, json, program};

/// Two steps of each stage, with a checkpoint after each.
fn arguments<'a>(run: &'a str, out: &'a str) -> Vec<&'a str> {
    let small = [
        "--vae-steps",
        "2",
        "--steps",
        "2",
        "--decoder-steps",
        "2",
        "--pool",
        "2",
        "--checkpoint-every",
        "1",
        "--quiet",
    ];
    [&["pretrain", "--run", run, "--out", out], &small[..]].concat()
}

/// Starts the command and kills it as soon as `file` is there.
fn killed_at(file: &Path, arguments: &[&str]) {
    let mut child = Command::new(program())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let begin = Instant::now();
    while !file.exists() {
        assert!(begin.elapsed() < Duration::from_secs(300), "{} does not come", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it is killed");
    assert!(!child.wait().expect("it ends").success(), "it was killed before its end");
}

#[test]
fn a_model_is_the_same_whether_or_not_its_making_was_killed() {
    let shop = Workshop::new();
    let (run, out) = (shop.path("whole/pocket"), shop.path("whole-model"));
    let result = json(&arguments(&run, &out));
    assert_eq!(result["out"], out);

    let (run, out) = (shop.path("parts/pocket"), shop.path("parts-model"));
    // After the first of two steps of the autoencoder, of the denoiser, and of the decoder.
    for stage in ["vae.safetensors", "diffusion.safetensors", "decoder.safetensors"] {
        killed_at(&Path::new(&run).join(stage), &arguments(&run, &out));
        assert!(!Path::new(&out).exists(), "killed in the middle");
    }
    let _ = json(&arguments(&run, &out));

    let files = shop.files("whole-model");
    assert!(files.iter().any(|file| file == Path::new("unet/diffusion_pytorch_model.safetensors")));
    assert_eq!(files, shop.files("parts-model"));
    for file in files.iter().map(|file| file.display()) {
        let same = shop.bytes(&format!("whole-model/{file}")) == shop.bytes(&format!("parts-model/{file}"));
        assert!(same, "{file} differs");
    }
}
