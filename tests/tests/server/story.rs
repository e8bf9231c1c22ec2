//! From an empty folder to images of two subjects, and back to an empty folder.

use std::path::Path;

use mudi_tests::served::{Client, Server};
use serde_json::{Value, json};

use super::studio::{PHOTOS, SUBJECTS, Studio, photo, text};

#[test]
fn a_project_from_its_first_photo_to_its_last_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--log", "debug"]);
    let client = server.client();
    assert_eq!(client.get("/healthz").well().bytes, b"ok");
    assert!(client.get("/api/bases").value()["items"].to_string().contains("sdxl-tiny"));
    assert_eq!(client.get("/api/session").value()["access"], "owner");
    the_reference_can_be_read(&client);

    let studio = Studio::full(client.clone());
    photos_are_kept(&studio);
    let run = trained(&studio);
    let job = generated(&studio, &run);
    saved_documents(&studio);

    let metrics = String::from_utf8(client.get("/metrics").well().bytes).expect("text");
    let jobs = |state: &str| {
        let line = format!("mudi_jobs{{state=\"{state}\"}} ");
        metrics.lines().find_map(|text| text.strip_prefix(&line)?.parse::<u32>().ok()).unwrap_or(0)
    };
    // Of four, one was cancelled while it waited, and one while it ran, if it was not done by then.
    assert!([1, 2].contains(&jobs("cancelled")) && jobs("done") + jobs("cancelled") == 4, "{metrics}");
    assert!(metrics.contains("# EOF"), "{metrics}");

    // A run goes with its weights; its images stay.
    let images = studio.list("images").len();
    client.delete(&studio.path(&format!("runs/{run}")));
    client.get(&studio.path(&format!("runs/{run}"))).problem(404, "missing");
    assert_eq!(studio.list("images").len(), images);
    assert!(studio.list("images").iter().all(|image| image.get("run").is_none()));
    assert!(studio.get(&format!("jobs/{job}"))["state"] == "done");

    let other = Studio::full(client.clone());
    client.delete(&format!("/api/projects/{}", studio.id));
    client.get(&format!("/api/projects/{}", studio.id)).problem(404, "missing");
    client.get(&studio.path("photos")).problem(404, "missing");
    assert_eq!(other.list("photos").len(), SUBJECTS.len() * PHOTOS as usize, "other projects stay");
    assert!(server.stop().success());
    nothing_is_left(&data, &[&studio.id, "a caption that nobody else has", "olis and hta in a garden"]);
}

/// The reference's page and what it loads are this server's own.
fn the_reference_can_be_read(client: &Client) {
    let page = String::from_utf8(client.get("/api/reference/").well().bytes).expect("text");
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    let scripts: Vec<_> = page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(scripts.len() > 1, "{page}");
    for script in scripts {
        let answer = client.get(&format!("/api/reference/{}", script.trim_start_matches("./"))).well();
        assert!(answer.header("content-type").contains("javascript"), "{script}");
    }
    let set_up = client.get("/api/reference/swagger-initializer.js").well().bytes;
    assert!(String::from_utf8_lossy(&set_up).contains("/api/openapi.json"));
    client.get("/api/reference/nothing.js").problem(404, "missing");
}

fn photos_are_kept(studio: &Studio) {
    let photos = studio.list("photos");
    assert_eq!(photos.len(), SUBJECTS.len() * PHOTOS as usize);
    assert_eq!(studio.list("photos?subject=a").len(), PHOTOS as usize);
    assert_eq!(
        studio.list("subjects")[0],
        json!({ "id": "a", "name": SUBJECTS[0].1, "photos": PHOTOS, "version": 1 })
    );
    // The same file again is the same photo.
    assert_eq!(studio.upload("a", "again.png", &photo(0, 0))["id"], photos[0]["id"]);
    assert_eq!(studio.list("photos").len(), photos.len());

    let id = text(&photos[0]["id"]);
    let pixels = image::load_from_memory(&studio.bytes(&format!("photos/{id}/image"))).expect("an image");
    assert_eq!(pixels.to_rgb8(), image::load_from_memory(&photo(0, 0)).expect("an image").to_rgb8());
    assert!(image::load_from_memory(&studio.bytes(&format!("photos/{id}/thumbnail"))).is_ok());

    let path = studio.path(&format!("photos/{id}"));
    let caption = json!({ "caption": "a caption that nobody else has" });
    let changed = studio.client.json("PATCH", &path, &caption).value();
    assert_eq!(changed["version"], 2);
    studio.client.with("if-match", "\"1\"").json("PATCH", &path, &caption).problem(412, "stale");

    studio.client.json("PATCH", &path, &json!({})).problem(422, "refused");

    // Two pages of two, and no third.
    let first = studio.get("photos?limit=2");
    let after = text(&first["next"]);
    let second = studio.get(&format!("photos?limit=2&after={after}"));
    assert_eq!([&first["items"][1]["id"], &second["items"][1]["id"]], [&photos[1]["id"], &photos[3]["id"]]);
    assert!(second.get("next").is_none());
}

/// Trains, with a pause in the middle; the run's id.
fn trained(studio: &Studio) -> String {
    const STEPS: u64 = 30;
    let sampled = json!({ "sample-every": 15, "sample-prompts": ["olis and hta"] });
    let run = studio.train(STEPS as u32, &sampled);
    let (id, job) = (text(&run["id"]), text(&run["job"]));
    assert_eq!(run["photos"], SUBJECTS.len() as u32 * PHOTOS);
    let path = studio.path(&format!("jobs/{job}"));
    studio.client.until(&path, |job| job["step"].as_u64() > Some(0));
    studio.client.get(&studio.path(&format!("runs/{id}/weights"))).problem(409, "conflict");

    studio.post(&format!("jobs/{job}/pause"), &Value::Null);
    let paused = studio.client.until(&path, |job| job["state"] != "running");
    if paused["state"] != "done" {
        assert_eq!(paused["state"], "paused");
        studio.post(&format!("jobs/{job}/resume"), &Value::Null);
    }

    // One listener from the first event on, and one who heard the first half already.
    let all: Vec<(i64, Value)> = studio.client.events(&format!("{path}/events")).collect();
    assert_eq!(all.last().expect("events").1, json!({ "event": "state", "state": "done" }));
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "ids grow");
    assert!(all.iter().any(|(_, event)| event["stage"] == "loading the model" && event["steps"] == 0));
    let trained = all.iter().filter(|(_, event)| event["stage"] == "training");
    let steps: Vec<u64> = trained.filter_map(|(_, event)| event["step"].as_u64()).collect();
    assert!(steps.contains(&STEPS) && steps.is_sorted(), "{steps:?}");
    assert!(all.iter().any(|(_, event)| event["loss"].is_f64()));
    let (middle, _) = all[all.len() / 2];
    let rest: Vec<_> =
        studio.client.with("last-event-id", middle.to_string()).events(&format!("{path}/events")).collect();
    assert_eq!(rest, all[all.len() / 2 + 1..]);
    let heard = studio.client.get(&format!("{path}/events")).well();
    assert_eq!(heard.header("x-accel-buffering"), "no", "a proxy passes events on at once");
    let (last, _) = all[all.len() - 1];
    let over = studio.client.with("last-event-id", last.to_string()).get(&format!("{path}/events"));
    assert_eq!(over.status, 204, "a browser stops asking");

    let job = studio.done(&run["job"]);
    // It keeps the names that it is trained on, whatever the subjects are called later.
    let known = json!(SUBJECTS.map(|(id, name)| json!({ "id": id, "name": name })));
    assert_eq!(run["subjects"], known);
    let name = |name: &str| {
        let path = studio.path("subjects/a");
        studio.client.json("PATCH", &path, &json!({ "name": name })).value()
    };
    assert_eq!(name("olis red bear")["name"], "olis red bear");
    assert_eq!(studio.get(&format!("runs/{id}"))["subjects"], known);
    assert_eq!(studio.list("runs")[0]["subjects"], known);
    name(SUBJECTS[0].1);
    assert!(job["finished"].as_i64() >= job["started"].as_i64() && job.get("position").is_none(), "{job}");
    let metrics = studio.list(&format!("runs/{id}/metrics?after=10"));
    assert_eq!(
        metrics.iter().map(|metric| metric["step"].as_u64()).collect::<Vec<_>>(),
        (11..=STEPS).map(Some).collect::<Vec<_>>()
    );
    let weights = studio.client.get(&studio.path(&format!("runs/{id}/weights"))).well();
    assert!(weights.header("content-disposition").contains(".safetensors"));
    assert_eq!(weights.header("content-length"), weights.bytes.len().to_string());
    id
}

/// Makes images, of which one is deleted; the job's id.
fn generated(studio: &Studio, run: &str) -> String {
    let first = studio.generate(run, 5);
    let second = studio.generate(run, 5);
    assert_eq!(second["state"], "queued");
    let cancelled = studio.post(&format!("jobs/{}/cancel", text(&second["id"])), &Value::Null);
    assert_ne!(cancelled["state"], "queued");
    let job = text(&studio.done(&first["id"])["id"]);
    studio
        .client
        .until(&studio.path(&format!("jobs/{}", text(&second["id"]))), |job| job["state"] == "cancelled");

    // Steps are counted over all pictures, whatever the groups that they are made in.
    let events = studio.client.events(&studio.path(&format!("jobs/{job}/events")));
    let told: Vec<Value> =
        events.map(|(_, event)| event).filter(|event| event["event"] == "progress").collect();
    assert_eq!(told[0]["stage"], "loading the model");
    let counted = &told[1..];
    assert!(counted.iter().all(|event| event["stage"] == "steps of 5 pictures" && event["steps"] == 15));
    let steps: Vec<u64> = counted.iter().filter_map(|event| event["step"].as_u64()).collect();
    assert!(steps.is_sorted() && steps.first() == Some(&0) && steps.last() == Some(&15), "{steps:?}");

    let images = studio.list(&format!("images?job={job}"));
    let numbers: Vec<_> = images.iter().map(|image| image["number"].as_u64()).collect();
    assert_eq!(numbers, (0..5).map(Some).collect::<Vec<_>>());
    // The newest first, in parts: each goes on where the one before ended.
    let part = |after: &str| studio.get(&format!("images?job={job}&newest=true&limit=3{after}"));
    let first = part("");
    let second = part(&format!("&after={}", text(&first["next"])));
    assert!(second.get("next").is_none(), "{second}");
    let parts = [&first, &second].map(|part| part["items"].as_array().expect("items").clone());
    let newest: Vec<_> = parts.concat().iter().map(|image| image["id"].clone()).collect();
    let oldest: Vec<_> = images.iter().map(|image| image["id"].clone()).collect();
    assert_eq!(newest.into_iter().rev().collect::<Vec<_>>(), oldest);
    assert_eq!(images[3]["seed"], 10, "seeds count up");
    assert_eq!(images[0]["parameters"]["prompt"], "olis brown bear and hta blue robot");
    assert_eq!(images[0]["parameters"]["negative_prompt"], "", "the vocabulary lacks the paper's words");
    let id = text(&images[0]["id"]);
    let picture = studio.bytes(&format!("images/{id}/picture"));
    assert!(String::from_utf8_lossy(&picture).contains("olis brown bear"), "the file tells what made it");
    assert!(image::load_from_memory(&studio.bytes(&format!("images/{id}/canvas"))).is_ok());

    studio.client.delete(&studio.path(&format!("images/{id}")));
    studio.client.get(&studio.path(&format!("images/{id}/picture"))).problem(404, "missing");
    assert_eq!(studio.list(&format!("images?job={job}")).len(), 4);
    // The base alone makes images too, but has no subjects to lay out.
    let mut plain =
        json!({ "base": "sdxl-tiny", "prompt": "olis and hta in a garden", "steps": 1, "count": 1 });
    let made = studio.post("images", &plain);
    plain["layout"] = json!("random");
    studio.client.json("POST", &studio.path("images"), &plain).problem(422, "refused");
    studio.post(&format!("jobs/{}/cancel", text(&made["id"])), &Value::Null);
    studio.client.until(&studio.path(&format!("jobs/{}", text(&made["id"]))), |job| {
        job["state"] == "cancelled" || job["state"] == "done"
    });
    studio.client.delete(&studio.path(&format!("images/{}", text(&images[1]["id"]))));
    job
}

fn saved_documents(studio: &Studio) {
    let recipe = studio.post("recipes", &json!({ "name": "Quick", "value": { "steps": 10 } }));
    assert_eq!((&recipe["value"]["steps"], &recipe["value"]["rank"]), (&json!(10), &json!(32)), "{recipe}");
    let layout = json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
    let saved = studio.post("layouts", &json!({ "name": "Left", "value": layout }));
    let path = studio.path(&format!("layouts/{}", text(&saved["id"])));
    let new = json!({ "name": "Left again", "value": layout });
    let changed = studio.client.with("if-match", "\"1\"").json("PUT", &path, &new);
    assert_eq!(changed.header("etag"), "\"2\"");
    studio.client.with("if-match", "\"1\"").json("PUT", &path, &new).problem(412, "stale");
    assert_eq!(studio.list("layouts")[0]["name"], "Left again");
    assert_eq!(studio.list("recipes").len(), 1);
    studio.client.delete(&path);
    studio.client.get(&path).problem(404, "missing");
}

/// No file's name and no file's content below `folder` has any of `words`.
fn nothing_is_left(folder: &Path, words: &[&str]) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.display().to_string();
        assert!(words.iter().all(|word| !name.contains(word)), "{name}");
        if path.is_dir() {
            nothing_is_left(&path, words);
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        for word in words {
            let id = word.parse::<uuid::Uuid>().map(|id| id.as_bytes().to_vec());
            let found = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found(word.as_bytes()) && !id.is_ok_and(|id| found(&id)), "{name} has {word}");
        }
    }
}
