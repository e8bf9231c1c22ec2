//! Models that stay in memory between jobs, and several devices that work at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use mudi_tests::golden::fixture;
use mudi_tests::served::Server;
use serde_json::{Value, json};

use super::studio::{Studio, text};

const WEIGHTS: &str = "sdxl-tiny/unet/diffusion_pytorch_model.safetensors";

/// A folder of models with a copy of the small base.
fn models(folder: &Path) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in from.read_dir().expect("the fixture").flatten() {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                copy(&path, &to);
            } else {
                std::fs::copy(&path, &to).expect("a copy");
            }
        }
    }
    let models = folder.join("models");
    copy(&fixture("sdxl-tiny"), &models.join("sdxl-tiny"));
    models
}

/// Asks for an image and waits; its bytes, or why there is none.
fn image(studio: &Studio, wish: &Value) -> Result<Vec<u8>, String> {
    let job = studio.post("images", wish);
    let path = studio.path(&format!("jobs/{}", text(&job["id"])));
    let over = |job: &Value| ["done", "failed"].iter().any(|state| job["state"] == *state);
    let job = studio.client.until(&path, over);
    if job["state"] == "failed" {
        return Err(text(&job["fault"]["detail"]));
    }
    let last = studio.list("images").into_iter().max_by_key(|image| text(&image["id"])).expect("an image");
    Ok(studio.bytes(&format!("images/{}/picture", text(&last["id"]))))
}

#[test]
fn a_base_stays_in_memory_until_its_files_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(folder.path());
    let flags = ["--models", models.to_str().expect("a path")];
    let server = Server::start(&folder.path().join("data"), &flags);
    let studio = Studio::full(server.client());
    let run = studio
        .train(2, &json!({ "learning-rate": 0.05, "text-encoder-learning-rate": 0.05, "vae-tile": 32 }));
    studio.done(&run["job"]);
    let prompt = "olis brown bear";
    let alone = json!({ "base": "sdxl-tiny", "prompt": prompt, "steps": 2, "count": 1, "seed": 5 });
    let taught = json!({ "run": run["id"], "prompt": prompt, "steps": 2, "count": 1, "seed": 5 });

    let first = image(&studio, &alone).expect("an image");
    let second = image(&studio, &taught).expect("an image");
    assert_ne!(first, second, "the run has taught nothing");

    // The file's content is gone, but nothing tells so: only what is in memory can still make images.
    let weights = models.join(WEIGHTS);
    let whole = std::fs::read(&weights).expect("weights");
    let written = weights.metadata().and_then(|meta| meta.modified()).expect("a time");
    std::fs::write(&weights, vec![b'x'; whole.len()]).expect("written");
    File::options().write(true).open(&weights).and_then(|file| file.set_modified(written)).expect("a time");
    assert_eq!(image(&studio, &alone).expect("an image"), first, "the run's LoRA has stayed");
    assert_eq!(image(&studio, &taught).expect("an image"), second);

    // Whole again, but another file for all that can be told: it is read.
    std::fs::write(&weights, &whole[..whole.len() - 8]).expect("written");
    let fault = image(&studio, &alone).expect_err("a broken file");
    assert!(fault.contains("unet"), "{fault}");
    std::fs::write(&weights, &whole).expect("written");
    assert_eq!(image(&studio, &alone).expect("an image"), first);

    // Each picture tells which run has made it. The tiles of a recipe are those of its training: here is room for whole pictures.
    for image in studio.list("images") {
        let run = if image["run"].is_null() { json!(null) } else { json!("First") };
        assert_eq!(
            (&image["parameters"]["run"], &image["parameters"]["vae_tile"]),
            (&run, &json!(null)),
            "{image}"
        );
    }
    // Without its base a run makes no picture, and that is said at once.
    std::fs::remove_dir_all(models.join("sdxl-tiny")).expect("removed");
    let fault = studio.client.json("POST", &studio.path("images"), &taught).problem(422, "refused");
    assert!(fault.contains("sdxl-tiny") && fault.contains("trained on"), "{fault}");
}

#[test]
fn a_host_may_have_nothing_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(folder.path());
    let flags = ["--models", models.to_str().expect("a path"), "--keep-loaded", "0"];
    let server = Server::start(&folder.path().join("data"), &flags);
    let studio = Studio::new(server.client());
    let wish = json!({ "base": "sdxl-tiny", "prompt": "a bear", "steps": 2, "count": 1, "seed": 5 });
    let first = image(&studio, &wish).expect("an image");
    assert_eq!(image(&studio, &wish).expect("an image"), first);
    std::fs::write(models.join(WEIGHTS), "").expect("written");
    image(&studio, &wish).expect_err("no weights");
}

#[test]
fn several_devices_work_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--device", "cpu,composed-cpu"]);
    let studio = Studio::full(server.client());
    let long = studio.train(100_000, &json!({}));
    let path = |job: &Value| studio.path(&format!("jobs/{}", text(job)));
    studio.client.until(&path(&long["job"]), |job| job["state"] == "running" && job["step"] != 0);

    // Another run, and a base alone, do not wait for it.
    let short = studio.train(2, &json!({}));
    studio.done(&short["job"]);
    let wish = json!({ "base": "sdxl-tiny", "prompt": "a bear", "steps": 2, "count": 1 });
    let alone = studio.post("images", &wish);
    studio.done(&alone["id"]);
    assert_eq!(studio.client.get(&path(&long["job"])).value()["state"], "running");

    // Each is stopped by itself, and the server stops them all; then both go on where they were.
    let second = studio.train(100_000, &json!({}));
    let third = studio.train(2, &json!({}));
    studio.client.until(&path(&second["job"]), |job| job["state"] == "running" && job["step"] != 0);
    assert_eq!(studio.client.get(&path(&third["job"])).value()["state"], "queued");
    studio.post(&format!("jobs/{}/cancel", text(&long["job"])), &json!({}));
    studio.client.until(&path(&long["job"]), |job| job["state"] == "cancelled");
    studio.done(&third["job"]);
    assert_eq!(studio.client.get(&path(&second["job"])).value()["state"], "running");
    assert!(server.stop().success());
    let server = Server::start(&folder.path().join("data"), &["--device", "composed-cpu,cpu"]);
    let path = format!("/api/projects/{}/jobs/{}", studio.id, text(&second["job"]));
    let client = server.client();
    client.until(&path, |job| job["state"] == "running");
    let _ = client.post(&format!("{path}/cancel"), &json!({}));
    client.until(&path, |job| job["state"] == "cancelled");
}
