//! What users have made outlives faults, deletions and full disks.

use std::process::Command;

use mudi_tests::served::Server;
use mudi_tests::workshop::{program, refused};
use serde_json::{Value, json};

use super::input::{files, zipped};
use super::studio::{Studio, photo, text};

#[test]
fn a_folder_of_somebody_else_is_refused_and_stays() {
    for place in ["projects/thesis/draft.tex", "incoming/letter.txt"] {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join(place);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        std::fs::write(&file, "mine").expect("a file");
        let data = home.path().display().to_string();
        refused(&["serve", "--data", &data, "--listen", "127.0.0.1:0"], &["mudi.sqlite", "--data"]);
        assert_eq!(std::fs::read(&file).expect("the file"), b"mine", "{place}");
    }
    // Beside a database what is not the program's stays, too.
    let data = tempfile::tempdir().expect("a folder");
    drop(Server::start(data.path(), &[]));
    let note = data.path().join("projects/note.txt");
    std::fs::write(&note, "mine").expect("a file");
    drop(Server::start(data.path(), &[]));
    assert!(note.exists());
}

#[test]
fn a_training_that_failed_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let mut studio = Studio::full(server.client());
    let run = studio.train(300, &json!({}));
    let job = text(&run["job"]);
    let path = studio.path(&format!("jobs/{job}"));
    studio.client.until(&path, |job| job["step"].as_u64() > Some(4));
    studio.post(&format!("jobs/{job}/pause"), &Value::Null);
    let paused = studio.client.until(&path, |job| job["state"] == "paused");
    drop(server);

    let server = Server::start(&data, &["--memory", "0.02"]);
    studio.client = server.client();
    studio.post(&format!("jobs/{job}/resume"), &Value::Null);
    let failed = studio.client.until(&path, |job| job["state"] == "failed");
    assert_eq!(failed["fault"]["code"], "memory", "{failed}");
    assert!(!text(&failed["fault"]["detail"]).contains("--"), "the page has no flags: {failed}");
    // Its file can be brought to a machine with more.
    let archive = studio.bytes("archive");
    drop(server);

    let server = Server::start(&data, &[]);
    studio.client = server.client();
    let moved = studio.client.send("POST", "/api/projects/import", Some(&archive)).value();
    let moved = Studio { client: studio.client.clone(), id: text(&moved["id"]) };
    for studio in [&studio, &moved] {
        let run = &studio.list("runs")[0];
        let job = text(&run["job"]);
        studio.post(&format!("jobs/{job}/resume"), &Value::Null);
        let done = studio.done(&run["job"]);
        assert!(done.get("fault").is_none() && done["steps"] == 300, "{done}");
    }
    let metrics = |studio: &Studio| {
        let id = text(&studio.list("runs")[0]["id"]);
        (studio.bytes(&format!("runs/{id}/metrics")), studio.bytes(&format!("runs/{id}/weights")))
    };
    assert!(metrics(&studio) == metrics(&moved));
    assert!(paused["step"].as_u64() < Some(300), "it was paused before its end");
    // What is done does not go on.
    let done = text(&run["job"]);
    studio.client.send("POST", &studio.path(&format!("jobs/{done}/resume")), None).problem(409, "conflict");
}

#[test]
fn pictures_masks_and_scores_that_failed_are_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // The fixtures have none of the networks that see.
    let mut command = Command::new(program());
    command.env("MUDI_SERVE_PASWORD_FILE", "password");
    let server = Server::start_as(command, &data, &[]);
    let log = server.log();
    assert!(log.contains("owlv2-toybox"), "what is missing is in the log");
    assert!(log.contains("MUDI_SERVE_PASWORD_FILE sets nothing"), "what is mistyped, too: {log}");
    let mut studio = Studio::full(server.client());
    let (run, spare) = (studio.train(2, &json!({})), studio.train(2, &json!({})));
    studio.done(&run["job"]);
    studio.done(&spare["job"]);
    let made = studio.generate(&text(&run["id"]), 1);
    studio.done(&made["id"]);
    let image = studio.list("images")[0]["id"].clone();
    studio.upload("a", "2.png", &photo(0, 2));
    let failed = |studio: &Studio, job: &Value, code: &str| {
        let path = studio.path(&format!("jobs/{}", text(&job["id"])));
        let job = studio.client.until(&path, |job| job["state"] == "failed");
        assert_eq!(job["fault"]["code"], code, "{job}");
        text(&job["fault"]["detail"])
    };
    let scores = studio.post("evaluations", &json!({ "images": [image] }));
    failed(&studio, &scores, "networks");
    let masks = studio.post("masks", &json!({}));
    failed(&studio, &masks, "networks");
    drop(server);

    let server = Server::start(&data, &["--memory", "0.02"]);
    studio.client = server.client();
    let wish = json!({ "base": "sdxl-tiny", "prompt": "a bear", "steps": 2, "count": 5 });
    let pictures = studio.post("images", &wish);
    let fault = failed(&studio, &pictures, "memory");
    assert!(fault.contains("one picture at a time") && !fault.contains("--"), "{fault}");
    let of_spare = studio.generate(&text(&spare["id"]), 1);
    failed(&studio, &of_spare, "memory");
    drop(server);

    let networks =
        [("--detector", "owlv2-toybox"), ("--segmenter", "sam-toybox"), ("--embedder", "dinov2-toybox")];
    let place = |name: &str| format!("{}/../models/{name}", env!("CARGO_MANIFEST_DIR"));
    let flags: Vec<String> =
        networks.iter().flat_map(|(flag, name)| [(*flag).to_owned(), place(name)]).collect();
    let server = Server::start(&data, &flags.iter().map(String::as_str).collect::<Vec<_>>());
    studio.client = server.client();
    for job in [&scores, &masks, &pictures] {
        studio.post(&format!("jobs/{}/resume", text(&job["id"])), &Value::Null);
        let done = studio.done(&job["id"]);
        assert!(done.get("fault").is_none(), "{done}");
    }
    assert!(studio.get(&format!("images/{}", text(&image)))["score"].is_object());
    assert_eq!(studio.list(&format!("images?job={}", text(&pictures["id"]))).len(), 5);
    let events = studio.client.events(&studio.path(&format!("jobs/{}/events", text(&masks["id"]))));
    assert_eq!(events.filter(|(_, event)| event["event"] == "mask").count(), 1);
    // Without its run a job cannot go on.
    studio.client.delete(&studio.path(&format!("runs/{}", text(&spare["id"]))));
    let path = studio.path(&format!("jobs/{}/resume", text(&of_spare["id"])));
    let fault = studio.client.send("POST", &path, None).problem(409, "conflict");
    assert!(fault.contains("run was deleted"), "{fault}");
}

#[test]
fn a_run_stays_while_pictures_are_made_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let run = studio.train(2, &json!({}));
    studio.done(&run["job"]);
    let path = studio.path(&format!("runs/{}", text(&run["id"])));
    let job = studio.generate(&text(&run["id"]), 64);
    let fault = studio.client.send("DELETE", &path, None).problem(409, "conflict");
    assert!(fault.contains("pictures are being made"), "{fault}");
    let job = text(&job["id"]);
    studio.post(&format!("jobs/{job}/cancel"), &Value::Null);
    studio.client.until(&studio.path(&format!("jobs/{job}")), |job| job["state"] == "cancelled");
    // What was cancelled is over: it neither goes on nor waits.
    for word in ["resume", "pause"] {
        let path = studio.path(&format!("jobs/{job}/{word}"));
        studio.client.send("POST", &path, None).problem(409, "conflict");
    }
    assert_eq!(studio.get(&format!("jobs/{job}"))["state"], "cancelled");
    studio.client.delete(&path);

    // Who listens to a run that is deleted while it waits does not wait for good.
    let run = studio.train(300, &json!({}));
    let job = format!("jobs/{}", text(&run["job"]));
    studio.post(&format!("{job}/pause"), &Value::Null);
    studio.client.until(&studio.path(&job), |job| job["state"] == "paused");
    let events = studio.client.events(&studio.path(&format!("{job}/events")));
    studio.client.delete(&studio.path(&format!("runs/{}", text(&run["id"]))));
    assert!(events.count() > 0, "the stream ends");
}

#[test]
fn what_is_deleted_takes_its_files_along_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let studio = Studio::full(server.client());
    let bare = files(&data);
    let run = studio.train(2, &json!({ "sample-every": 1, "sample-prompts": ["olis"] }));
    studio.done(&run["job"]);
    let trained = files(&data);
    assert!(trained.len() > bare.len(), "{trained:?}");
    studio.done(&studio.generate(&text(&run["id"]), 2)["id"]);
    assert!(files(&data).len() > trained.len());

    for image in studio.list("images") {
        studio.client.delete(&studio.path(&format!("images/{}", text(&image["id"]))));
    }
    assert_eq!(files(&data), trained);
    studio.client.delete(&studio.path(&format!("runs/{}", text(&run["id"]))));
    assert_eq!(files(&data), bare);
    // Masks of both subjects are alike, and kept once: they stay as long as anybody has them.
    let other = studio.list("photos?subject=b")[0].clone();
    studio.client.delete(&studio.path("subjects/a"));
    for part in ["image", "thumbnail", "mask", "mask/thumbnail"] {
        studio.bytes(&format!("photos/{}/{part}", text(&other["id"])));
    }
    for photo in studio.list("photos") {
        studio.client.delete(&studio.path(&format!("photos/{}", text(&photo["id"]))));
    }
    assert_eq!(files(&data), Vec::<String>::new());
}

/// Whatever the database cannot write is refused, and what is said to be kept is kept.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_kept_is_not_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut command = Command::new("bash");
    command.args(["-c", r#"trap "" XFSZ && exec "$@""#, "bash"]).arg(program());
    let server = Server::start_as(command, &data, &[]);
    let studio = Studio::full(server.client());
    let new = json!({ "name": "Quick", "value": { "steps": 10 } });
    let recipe = studio.path(&format!("recipes/{}", text(&studio.post("recipes", &new)["id"])));
    let first = studio.path(&format!("photos/{}", text(&studio.list("photos")[0]["id"])));
    let files = files(&data);

    let limited = |size: &str| {
        let limit = format!("--fsize={size}:");
        let done = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &limit]).status();
        assert!(done.expect("prlimit runs").success());
    };
    // The database's log cannot grow.
    let log = data.join("mudi.sqlite-wal").metadata().expect("the database's log").len();
    limited(&log.to_string());
    let other = json!({ "name": "Other", "value": { "steps": 20 } });
    let project = studio.path("");
    let project = project.trim_end_matches('/');
    for (method, path, body) in [
        ("POST", "/api/projects", Some(json!({ "name": "Other" }))),
        ("POST", &studio.path("recipes"), Some(other.clone())),
        ("PUT", &recipe, Some(other)),
        ("PATCH", project, Some(json!({ "name": "Other" }))),
        ("PATCH", &first, Some(json!({ "caption": "other" }))),
        ("PATCH", &studio.path("subjects/a"), Some(json!({ "name": "olis red bear" }))),
        ("DELETE", &first, None),
    ] {
        let body = body.map(|body| body.to_string().into_bytes());
        let client = studio.client.with("content-type", "application/json");
        let answer = client.send(method, path, body.as_deref());
        assert!(answer.status >= 500, "{method} {path}: {}", answer.shown());
    }
    limited("unlimited");
    assert_eq!(studio.client.get("/api/projects").value()["items"][0]["name"], "Toys");
    assert_eq!(studio.client.get("/api/projects").value()["items"].as_array().map(Vec::len), Some(1));
    let recipes = studio.list("recipes");
    assert_eq!((recipes.len(), &recipes[0]["name"], &recipes[0]["version"]), (1, &json!("Quick"), &json!(1)));
    assert_eq!(studio.list("subjects")[0]["version"], 1);
    assert_eq!(studio.list("photos")[0]["caption"], "");
    assert_eq!(super::input::files(&data), files, "no photo has lost its file");
    // With room everything goes on.
    studio.client.json("PATCH", &first, &json!({ "caption": "other" })).well();
    studio.upload("a", "2.png", &photo(0, 2));
    studio.client.delete(&first);
}

/// A checkpoint that cannot be written keeps nobody from cancelling or pausing.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_does_not_stop_a_halt() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("bash");
    command.args(["-c", r#"trap "" XFSZ && ulimit -S -f 1000 && exec "$@""#, "bash"]).arg(program());
    let server = Server::start_as(command, &folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    for (word, state, fault) in
        [("pause", "paused", json!("disk_full")), ("cancel", "cancelled", Value::Null)]
    {
        let run = studio.train(100_000, &json!({ "rank": 64, "checkpoint-every": 100_000 }));
        let path = studio.path(&format!("jobs/{}", text(&run["job"])));
        studio.client.until(&path, |job| job["step"].as_u64() > Some(1));
        studio.client.send("POST", &format!("{path}/{word}"), None).well();
        let job = studio.client.until(&path, |job| job["state"] != "running");
        assert_eq!((&job["state"], &job["fault"]["code"]), (&json!(state), &fault), "{job}");
        let _ = studio.client.send("POST", &format!("{path}/cancel"), None);
    }
}

#[test]
fn captions_of_any_data_folder_can_be_taken_home_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let zip = |caption: &str| {
        let lines = [
            json!({ "id": { "a": "olis bear" } }),
            json!({ "id": "a", "file_name": "a.png", "text": caption }),
        ];
        let text = lines.map(|line| line.to_string()).join("\n");
        zipped(&[("metadata.jsonl", text.as_bytes()), ("a.png", &photo(0, 0))])
    };
    let studio = Studio::new(server.client());
    let send = |caption: &str| studio.client.send("POST", &studio.path("dataset"), Some(&zip(caption)));
    let fault = send(&"long ".repeat(300)).problem(422, "bad_file");
    assert!(fault.contains("a.png") && fault.contains("1499"), "{fault}");
    assert!(studio.list("photos").is_empty() && studio.list("subjects").is_empty(), "nothing is kept");

    send("olis bear\r\n on a table").well();
    assert_eq!(studio.list("photos")[0]["caption"], "olis bear on a table");
    let archive = studio.bytes("archive");
    studio.client.send("POST", "/api/projects/import", Some(&archive)).well();
    let change = studio.path(&format!("photos/{}", text(&studio.list("photos")[0]["id"])));
    let fault = studio.client.json("PATCH", &change, &json!({ "caption": "a\nb" })).problem(422, "refused");
    assert!(fault.contains("line break"), "{fault}");
}
