//! What a run would need, before it is made; and what it looks at, while it goes.

use mudi_tests::served::Server;
use mudi_tests::workshop::models;
use serde_json::{Value, json};

use super::studio::{Studio, text};

#[test]
fn a_run_is_foreseen_and_can_be_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let ask = |recipe: &Value| studio.post("forecast", &json!({ "base": "sdxl-tiny", "recipe": recipe }));

    let before = ask(&json!({ "steps": 100 }));
    assert!(before["seconds"].is_null() && before["refusal"].is_null(), "{before}");
    let memory = |forecast: &Value| forecast["memory"].as_u64().expect("bytes");
    assert!(memory(&before) < before["available"].as_u64().expect("bytes"));
    assert!(memory(&ask(&json!({ "batch": 16 }))) > memory(&before));

    let run = studio.train(12, &json!({}));
    let seen = format!("runs/{}/seen", text(&run["id"]));
    studio.done(&run["job"]);
    let shown = studio.client.get(&studio.path(&seen)).value();
    assert_eq!(shown["step"], 12);
    let captions = shown["captions"].as_array().expect("captions");
    assert_eq!(captions.len() as u64, run["recipe"]["batch"].as_u64().expect("a batch"));
    assert!(captions.iter().all(|caption| text(caption).contains("olis") || text(caption).contains("hta")));
    assert!(image::load_from_memory(&studio.bytes(&format!("{seen}/12"))).is_ok());
    studio.client.get(&studio.path(&format!("{seen}/1"))).problem(404, "missing");

    let seconds = |steps: u32| {
        let forecast = ask(&json!({ "steps": steps, "prior-images": run["recipe"]["prior-images"],
            "batch": run["recipe"]["batch"], "resolution": run["recipe"]["resolution"] }));
        forecast["seconds"].as_f64().expect("seconds")
    };
    assert!(seconds(100) > 0.0);
    assert!((seconds(300) / seconds(100) - 3.0).abs() < 1e-6);

    for (body, status, code) in [
        (json!({ "base": "no-such" }), 422, "refused"),
        (json!({ "base": "sdxl-tiny", "recipe": { "rank": 0 } }), 422, "refused"),
        (json!({ "base": "sdxl-tiny", "wish": 1 }), 422, "refused"),
    ] {
        let answer = studio.client.json("POST", &studio.path("forecast"), &body);
        answer.problem(status, code);
    }
}

#[test]
fn what_does_not_fit_is_said_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--memory", "0.001"]);
    let studio = Studio::full(server.client());
    let forecast = studio.post("forecast", &json!({ "base": "sdxl-tiny" }));
    let refusal = text(&forecast["refusal"]);
    assert!(refusal.contains("of memory") && !refusal.contains("sdxl-tiny"), "{refusal}");
    assert!(refusal.contains("smaller base model") && !refusal.contains("--"), "{refusal}");
}

#[test]
fn an_identifier_in_pieces_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--models", &models()]);
    let studio = Studio::new(server.client());
    let notes = || studio.post("forecast", &json!({ "base": "pocket" }))["notes"].clone();
    studio.post("subjects", &json!({ "id": "a", "name": "olis brown bear" }));
    assert!(notes().is_null());
    studio.post("subjects", &json!({ "id": "b", "name": "bella teal bear" }));
    let notes = notes();
    assert!(text(&notes[0]).contains("“bella”") && text(&notes[0]).contains("“hta”"), "{notes}");
}
