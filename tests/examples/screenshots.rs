//! Photographs the page for the README: `cargo xtask screenshots` calls it with the folder to write to.

use std::path::{Path, PathBuf};

use mudi_tests::browser::Browser;
use mudi_tests::served::Server;
use serde_json::{Value, json};

fn main() {
    let out = std::env::args().nth(1).map(PathBuf::from).expect("the folder to write to");
    let folder = tempfile::tempdir().expect("a folder");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").display().to_string();
    let server = Server::start(&folder.path().join("data"), &["--models", &models]);
    let client = server.client();
    let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    let project = id(&client.post("/api/samples", &Value::Null));
    let path = format!("/api/projects/{project}");
    let prompt = "A photo of olis brown bear and hta teal bear.";
    let recipe = json!({
        "steps": 60, "learning-rate": 0.001, "rank": 16, "alpha": 16, "batch": 3, "prior-images": 4,
        "segmix-probability": 0.5, "gradient-checkpointing": false, "sample-every": 15, "sample-prompts": [prompt],
    });
    let run =
        client.post(&format!("{path}/runs"), &json!({ "name": "Run 1", "base": "pocket", "recipe": recipe }));
    let browser = Browser::open(&server.address);
    let shot = |name: &str, place: &str, words: &str| {
        browser.go(&format!("/projects/{project}{place}"));
        browser.sees(words);
        let loaded = "return document.readyState === 'complete' && [...document.images].every(image => image.complete)";
        browser.until("every picture is there", loaded);
        std::thread::sleep(std::time::Duration::from_millis(400));
        browser.photograph(&out.join(name));
        eprintln!("{name}");
    };
    browser.size(1280, 800);
    shot("photos.webp", "/photos", "Masked");
    let job = run["job"].as_str().expect("a job");
    client.until(&format!("{path}/jobs/{job}"), |job| {
        job["stage"] == "training" && job["step"].as_u64() > Some(47)
    });
    browser.dark(true);
    shot("training.webp", &format!("/train/{}", id(&run)), "Step 45");
    client.done(&format!("{path}/jobs/{job}"));
    for (seed, place) in [(7, "in the garden"), (21, "on the beach")] {
        let words = format!("A photo of a olis brown bear and a hta teal bear {place}.");
        let images = json!({
            "run": run["id"], "prompt": words, "count": 4, "layout": "random", "gamma": 1, "seed": seed,
        });
        let job = client.post(&format!("{path}/images"), &images);
        client.done(&format!("{path}/jobs/{}", id(&job)));
    }
    browser.dark(false);
    shot("generate.webp", "/generate", "in the garden");
    browser.size(360, 740);
    browser.dark(true);
    shot("phone.webp", "", "Newest pictures");
}
