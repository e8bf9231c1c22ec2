//! Runs that stop and go on: when somebody wants it, and where files have moved meanwhile.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};

use mudi_tests::patience::until;
use mudi_tests::workshop::{Workshop, copy_folder, ok, program, refs, refused};

#[test]
fn a_run_goes_on_wherever_its_base_and_photos_are_by_then() {
    let mut shop = Workshop::new();
    let toys = shop.toys();
    let place = shop.path("base");
    let tiny = std::mem::replace(&mut shop.base, place);
    copy_folder(Path::new(&tiny), Path::new(&shop.base));
    ok(&refs(&shop.train("whole", &[])));
    for run in ["run", "earlier"] {
        ok(&refs(&shop.train(run, &["--stop-after", "2"])));
    }
    let noted = |run: &str| -> serde_json::Value {
        serde_json::from_slice(&shop.bytes(&format!("{run}/run.json"))).expect("JSON")
    };
    // A run of a version that knew its base by its place alone.
    let mut earlier = noted("earlier");
    assert!(earlier.as_object_mut().expect("an object").remove("fingerprint").is_some());
    std::fs::write(shop.path("earlier/run.json"), earlier.to_string()).expect("write");

    let (moved, photos) = (shop.path("moved"), shop.path("photos"));
    std::fs::rename(&toys, &photos).expect("photos");
    std::fs::rename(&shop.base, &moved).expect("a base");
    let resume = |run: &str, base: &str| {
        let out = shop.path(run);
        let files = ["train", "--photos", &photos, "--base", base, "--out", &out, "--quiet", "--resume"];
        let small = ["--steps", "6", "--prior-images", "2", "--rank", "4", "--segmix-probability", "0.6"];
        [&files[..], &small].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    refused(&refs(&resume("earlier", &moved)), &["the base model", "moved", "another --out"]);
    refused(&refs(&resume("run", &shop.base)), &["base", "not found"]);
    // Another model in its place, and elsewhere.
    let weights = Path::new(&moved).join("unet/diffusion_pytorch_model.safetensors");
    let before = std::fs::read(&weights).expect("weights");
    let mut other = before.clone();
    *other.last_mut().expect("bytes") ^= 0x40;
    std::fs::write(&weights, other).expect("write");
    refused(&refs(&resume("run", &moved)), &["the base model", "moved", "another --out"]);
    std::fs::rename(&moved, &shop.base).expect("a base");
    refused(&refs(&resume("earlier", "/no/base")), &["/no/base"]);
    refused(&refs(&resume("run", &shop.base)), &["what the base model's files hold"]);
    std::fs::rename(&shop.base, &moved).expect("a base");
    std::fs::write(&weights, before).expect("write");

    ok(&refs(&resume("run", &moved)));
    for file in ["pytorch_lora_weights.safetensors", "checkpoint.safetensors", "metrics.jsonl"] {
        assert!(shop.bytes(&format!("whole/{file}")) == shop.bytes(&format!("run/{file}")), "{file}");
    }
    // Whoever draws with it finds them.
    let now = noted("run");
    let place = |name: &str| now[name].as_str().expect("a path").to_owned();
    assert!(place("base").ends_with("moved") && place("photos").ends_with("photos"), "{now}");
    // Another folder of photos is said to be that.
    let others = shop.path("others");
    ok(&["toybox", "--photos", "3", "--seed", "5", "--size", "64", "--out", &others]);
    let mut wrong = resume("run", &moved);
    wrong[2] = others;
    refused(&refs(&wrong), &["the photos' folder", "another --out"]);
    refused(&refs(&[resume("run", &moved), vec!["--seed".into(), "9".into()]].concat()), &["seed", "now"]);
}

#[test]
fn who_stops_a_run_by_ctrl_c_loses_no_step() {
    let shop = Workshop::new();
    shop.toys();
    // No checkpoint of its own accord, and steps without end; a sample says that there was one.
    let told = ["--checkpoint-every", "0", "--sample-every", "1", "--sample-prompts", "olis"];
    let mut arguments = shop.train("run", &told);
    let steps = arguments.iter().position(|word| word == "--steps").expect("it is said how many");
    arguments[steps + 1] = "1000000".to_owned();
    let mut training = Command::new(program())
        .args(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let sample = Path::new(&shop.path("run")).join("samples/step-000001.png");
    until(|| "no step was made".to_owned(), || sample.exists().then_some(()));
    assert!(!Path::new(&shop.path("run/checkpoint.safetensors")).exists());
    let asked = Command::new("kill").args(["-INT", &training.id().to_string()]).status();
    assert!(asked.expect("kill runs").success());
    let code = training.wait().expect("it ends").code();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut training.stderr.take().expect("its words"), &mut told).expect("text");
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains("--resume") && told.contains("in the checkpoint"), "{told}");
    let metrics = String::from_utf8(shop.bytes("run/metrics.jsonl")).expect("text");
    let made = metrics.lines().count();
    assert!(made > 0 && Path::new(&shop.path("run/checkpoint.safetensors")).exists(), "{metrics}");
    let further = (made + 1).to_string();
    let go_on = [arguments, ["--resume", "--stop-after", &further].map(str::to_owned).to_vec()].concat();
    ok(&refs(&go_on));
    let metrics = String::from_utf8(shop.bytes("run/metrics.jsonl")).expect("text");
    assert_eq!(metrics.lines().count(), made + 1, "it went on from the last step");
}
