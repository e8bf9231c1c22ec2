//! The server sees: masks by the name of a class and by clicks, and whether images show who they should. By the small
//! networks that ship, on toys.

use std::path::Path;

use mudi_domain::mask::Mask;
use mudi_tests::served::Server;
use serde_json::{Value, json};

use super::studio::{Studio, text};

/// The sample project on a server with the models of this repository.
fn toys(data: &Path) -> (Server, Studio) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").display().to_string();
    let server = Server::start(data, &["--models", &models]);
    let client = server.client();
    let project = client.post("/api/samples", &Value::Null);
    (server, Studio { client, id: text(&project["id"]) })
}

/// What a mask must share with the true one, as intersection over union. The segmenter that ships is not as good yet as it should
/// be (docs/benchmarks.md); this is what tells a mask of the subject from another one.
const ALIKE: f64 = 0.7;

fn mask(bytes: &[u8]) -> Mask {
    Mask::from_image(&image::load_from_memory(bytes).expect("an image"))
}

/// Takes a photo's mask away, and returns it.
fn unmask(studio: &Studio, photo: &Value) -> Mask {
    let path = studio.path(&format!("photos/{}/mask", text(&photo["id"])));
    let answer = studio.client.get(&path).well();
    studio.client.with("if-match", answer.header("etag")).delete(&path);
    mask(&answer.bytes)
}

#[test]
fn masks_are_made_where_there_are_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, studio) = toys(&folder.path().join("data"));
    let none = studio.client.json("POST", &studio.path("masks"), &json!({}));
    assert!(none.problem(409, "conflict").contains("mask"));

    let photos = studio.list("photos");
    let truths: Vec<Mask> = photos[..3].iter().map(|photo| unmask(&studio, photo)).collect();
    // A photo of nobody: a mask is not guessed.
    let gray = image::RgbImage::from_pixel(64, 64, image::Rgb([128; 3]));
    let empty = studio.upload("a", "empty.png", &super::studio::encoded(gray, image::ImageFormat::Png));
    let job = studio.post("masks", &json!({}));
    assert_eq!(studio.done(&job["id"])["kind"], "segment");
    for (photo, truth) in photos.iter().zip(&truths) {
        let made = mask(&studio.bytes(&format!("photos/{}/mask", text(&photo["id"]))));
        assert!(made.iou(truth) > ALIKE, "{photo}: {}", made.iou(truth));
    }
    let events = studio.client.events(&studio.path(&format!("jobs/{}/events", text(&job["id"]))));
    let told: Vec<Value> = events.map(|(_, event)| event).filter(|event| event["event"] == "mask").collect();
    assert_eq!(told.len(), 4, "{told:?}");
    let of_empty = told.iter().find(|event| event["photo"] == empty["id"]).expect("its event");
    assert!(of_empty["fault"].as_str().is_some_and(|fault| fault.starts_with("no ")), "{of_empty}");
}

#[test]
fn a_click_makes_a_mask_that_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, studio) = toys(&folder.path().join("data"));
    let photo = studio.list("photos")[0].clone();
    let truth = unmask(&studio, &photo);
    let bounds = truth.bounding_box().expect("a subject");
    let path = studio.path(&format!("photos/{}/segment", text(&photo["id"])));
    let (left, top) = (bounds.x as f32, bounds.y as f32);
    let boxed = json!({ "bounds": [left, top, left + bounds.width as f32, top + bounds.height as f32] });
    let made = mask(&studio.client.json("POST", &path, &boxed).well().bytes);
    assert!(made.iou(&truth) > ALIKE, "{}", made.iou(&truth));
    studio.client.get(&studio.path(&format!("photos/{}/mask", text(&photo["id"])))).problem(404, "missing");

    for wrong in [
        json!({}),
        json!({ "points": [{ "x": 1e9, "y": 0, "on_subject": true }] }),
        json!({ "points": vec![json!({ "x": 1, "y": 1, "on_subject": true }); 65] }),
        json!({ "bounds": [1, 2, 3] }),
    ] {
        let answer = studio.client.json("POST", &path, &wrong);
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.shown());
    }
}

#[test]
fn images_are_judged_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, studio) = toys(&folder.path().join("data"));
    let recipe = json!({ "steps": 1, "rank": 4, "batch": 1, "regularization": "none" });
    let run = studio.post("runs", &json!({ "name": "First", "base": "pocket", "recipe": recipe }));
    studio.done(&run["job"]);
    let prompt = "A photo of a olis brown bear and a hta teal bear in the garden.";
    let wanted = json!({ "run": run["id"], "prompt": prompt, "steps": 8, "count": 2, "layout": "random" });
    studio.done(&studio.post("images", &wanted)["id"]);
    let plain = json!({ "base": "pocket", "prompt": prompt, "steps": 1, "count": 1 });
    studio.done(&studio.post("images", &plain)["id"]);

    let ids: Vec<Value> = studio.list("images").iter().map(|image| image["id"].clone()).collect();
    let evaluations = studio.path("evaluations");
    for wrong in [json!({ "images": [] }), json!({ "images": ids }), json!({ "images": [ids[2]] })] {
        let answer = studio.client.json("POST", &evaluations, &wrong);
        assert!(answer.problem(422, "refused").contains("images"), "{wrong}");
    }
    let job = studio.post("evaluations", &json!({ "images": ids[..2] }));
    assert_eq!(studio.done(&job["id"])["kind"], "evaluate");
    let images = studio.list("images");
    for image in &images[..2] {
        let score = &image["score"];
        assert_eq!(score["subjects"], 2, "{score}");
        assert!(score["score"].as_f64().is_some_and(|score| score <= 1.0), "{score}");
        assert!(!score["explanation"].as_str().unwrap_or_default().is_empty(), "{score}");
        assert_eq!(
            score["right"].as_bool(),
            score["score"].as_f64().map(|score| score > mudi::evaluate::RIGHT)
        );
    }
    assert!(images[2].get("score").is_none());
    studio.done(&studio.post("evaluations", &json!({ "images": ids[..2] }))["id"]);
    assert_eq!(studio.list("images"), images, "what has a score keeps it");
}
