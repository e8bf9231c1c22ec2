//! Pretraining that is killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mudi_tests::patience::until;
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
    until(|| format!("{} does not come", file.display()), || file.exists().then_some(()));
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
    // And once more when the model is whole: its card's pictures, which follow from it, take longer than all of its steps here.
    killed_at(&Path::new(&out).join("model_index.json"), &arguments(&run, &out));

    let of_model = |file: &PathBuf| file.components().count() > 1 || file == Path::new("model_index.json");
    let model = |folder: &str| shop.files(folder).into_iter().filter(of_model).collect::<Vec<_>>();
    let files = model("whole-model");
    assert!(files.iter().any(|file| file == Path::new("unet/diffusion_pytorch_model.safetensors")));
    assert_eq!(files, model("parts-model"));
    let states = ["vae", "diffusion", "decoder"].map(|stage| format!("pocket/{stage}.safetensors"));
    let pairs =
        files.iter().map(|file| ["whole-model", "parts-model"].map(|at| format!("{at}/{}", file.display())));
    for [whole, parts] in
        pairs.chain(states.iter().map(|file| ["whole", "parts"].map(|at| format!("{at}/{file}"))))
    {
        assert!(shop.bytes(&whole) == shop.bytes(&parts), "{parts} differs");
    }
    for file in [
        "README.md",
        "samples.png",
        "crowds-3.png",
        "crowds-5.png",
        "reconstructions.png",
        "loss-decoder.svg",
    ] {
        assert!(Path::new(&shop.path("whole-model")).join(file).is_file(), "{file}");
    }
}
