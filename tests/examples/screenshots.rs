//! Photographs the page for the README: `cargo xtask screenshots` calls it with the folder to write to.

use std::path::{Path, PathBuf};

use mudi_domain::recipe::Recipe;
use mudi_tests::browser::Browser;
use mudi_tests::served::Server;
use serde_json::{Value, json};

/// Steps between samples; the run is four times as long.
const EVERY: u32 = 150;

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
    let recipe = Recipe {
        sample_every: EVERY,
        sample_prompts: vec![prompt.to_owned()],
        ..Recipe::for_pocket(4 * EVERY, 2)
    };
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
    let photos = client.get(&format!("{path}/photos")).value();
    shot("masks.webp", &format!("/photos/{}/mask", id(&photos["items"][1])), "Saved");
    let job = run["job"].as_str().expect("a job");
    // On a slow machine the whole would take longer than anybody waits for one answer.
    for samples in 1..=3 {
        client.until(&format!("{path}/jobs/{job}"), |job| {
            job["stage"] == "training" && job["step"].as_u64() > Some(u64::from(samples * EVERY + 4))
        });
    }
    browser.dark(true);
    shot("training.webp", &format!("/train/{}", id(&run)), &format!("Step {}", 3 * EVERY));
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
    let layout = json!({ "version": 1, "subjects": [
        { "subject": "a", "photo": 1, "x": 0.1, "y": 0.3, "width": 0.45 },
        { "subject": "b", "photo": 3, "x": 0.58, "y": 0.42, "width": 0.34 },
    ] });
    let layout = client.post(&format!("{path}/layouts"), &json!({ "name": "Side by side", "value": layout }));
    let layout = format!("/layouts/{}", id(&layout));
    browser.go(&format!("/projects/{project}{layout}"));
    browser.press("Turn on");
    browser.until(
        "the preview is finished",
        "return /^Step (\\d+) of \\1,/.test(document.querySelector('.live-status')?.innerText ?? '')",
    );
    browser.photograph(&out.join("layout.webp"));
    eprintln!("layout.webp");
    browser.size(360, 740);
    browser.dark(true);
    shot("phone.webp", "", "Newest pictures");
}
