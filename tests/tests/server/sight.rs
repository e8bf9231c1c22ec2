//! The server sees: masks by the name of a class and by clicks, and whether images show who they should. By the small
//! networks that ship, on toys.

use std::path::Path;

use image::GrayImage;
use mudi_diffusion::Engine;
use mudi_domain::api::{MaskPoint, MaskPrompt};
use mudi_domain::mask::Mask;
use mudi_engine_candle::CandleEngine;
use mudi_preview::SafetensorsWeights;
use mudi_tests::patience::finished;
use mudi_tests::served::Server;
use mudi_tests::workshop::{models, shipped};
use mudi_vision::sam::{self, Fit, Prompt, SamConfig, SamDecoder, embedding};
use serde_json::{Value, json};

use super::studio::{Studio, text};

/// The sample project on a server with the models of this repository.
fn toys(data: &Path) -> (Server, Studio) {
    let server = Server::start(data, &["--models", &models()]);
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
fn a_mask_is_made_anew_and_stays_where_none_can_be_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, studio) = toys(&folder.path().join("data"));
    let photos = studio.list("photos");
    let (first, second) = (&photos[0], &photos[1]);
    let mask_path = |photo: &Value| studio.path(&format!("photos/{}/mask", text(&photo["id"])));
    let redraw = |photo: &Value, side: u32| {
        let side_of = |which: &str| photo[which].as_u64().expect("a number") as u32;
        let (width, height) = (side_of("width"), side_of("height"));
        let shown = |x, y| image::Luma([if x < side && y < side { 255 } else { 0 }]);
        let bytes = super::studio::encoded(GrayImage::from_fn(width, height, shown), image::ImageFormat::Png);
        let tag = studio.client.get(&mask_path(photo)).well().header("etag").to_owned();
        studio.client.with("if-match", &tag).send("PUT", &mask_path(photo), Some(&bytes)).well();
        text(&studio.get(&format!("photos/{}", text(&photo["id"])))["mask"])
    };
    let truth = mask(&studio.bytes(&format!("photos/{}/mask", text(&first["id"]))));
    let wrong = redraw(first, 5);
    let kept = redraw(second, 6);
    // Nothing of this photo can be found: its mask stays as it is.
    let gray = image::RgbImage::from_pixel(64, 64, image::Rgb([128; 3]));
    let empty = studio.upload("a", "empty.png", &super::studio::encoded(gray, image::ImageFormat::Png));
    let drawn = super::studio::mask(0);
    studio.draw(&text(&empty["id"]), &drawn);
    let hopeless = text(&studio.get(&format!("photos/{}", text(&empty["id"])))["mask"]);
    let unnamed = json!({ "photos": [first["id"]] });
    studio.client.json("POST", &studio.path("masks"), &unnamed).problem(409, "conflict");

    let wish = json!({ "photos": [first["id"], empty["id"]], "anew": [wrong, hopeless] });
    let job = studio.post("masks", &wish);
    assert_eq!(studio.done(&job["id"])["kind"], "segment");
    let made = mask(&studio.bytes(&format!("photos/{}/mask", text(&first["id"]))));
    assert!(made.iou(&truth) > ALIKE, "{}", made.iou(&truth));
    let tag = |photo: &Value| text(&studio.get(&format!("photos/{}", text(&photo["id"])))["mask"]);
    assert_eq!((tag(second), tag(&empty)), (kept, hopeless));
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

/// The segmenter's decoder as a browser loads it.
fn decoder(studio: &Studio, engine: &CandleEngine) -> SamDecoder<CandleEngine> {
    let model = studio.client.get(&studio.path("segmenter")).value();
    assert_eq!(model["side"], 96);
    let file = |name: &str| {
        let files = model["files"].as_array().expect("files");
        let file = files.iter().find(|file| file["name"] == name).expect("the file");
        let path = studio.path(&format!("segmenter/files/{}", text(&file["sha256"])));
        let answer = studio.client.get(&path).well();
        assert_eq!(file["bytes"], json!(answer.bytes.len()));
        assert!(answer.header("cache-control").contains("immutable"));
        let again = studio.client.with("if-none-match", answer.header("etag")).get(&path);
        assert_eq!((again.status, again.bytes.len()), (304, 0));
        answer.bytes
    };
    let config: SamConfig = mudi_diffusion::parse(std::str::from_utf8(&file("config.json")).expect("text"))
        .expect("a configuration");
    let weights = file("model.safetensors");
    let whole = std::fs::metadata(Path::new(&shipped("sam-toybox")).join("model.safetensors"));
    assert!((weights.len() as u64) < whole.expect("a file").len() / 2, "the image encoder stays where it is");
    let mut weights = SafetensorsWeights::new(engine, "model.safetensors", &weights).expect("weights");
    SamDecoder::new(engine, &config, &mut weights).expect("a decoder")
}

#[test]
fn a_browser_can_make_the_masks_that_the_server_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, studio) = toys(&folder.path().join("data"));
    let engine = CandleEngine::cpu();
    let decoder = decoder(&studio, &engine);
    let shape = decoder.embedding_shape();
    let mut tags = std::collections::BTreeSet::new();
    for photo in &studio.list("photos")[..2] {
        let truth = mask(&studio.bytes(&format!("photos/{}/mask", text(&photo["id"]))));
        let path = studio.path(&format!("photos/{}/embedding", text(&photo["id"])));
        let answer = studio.client.get(&path).well();
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let tag = answer.header("etag").to_owned();
        assert_eq!(studio.client.get(&path).well().bytes, answer.bytes, "it is the same each time");
        let again = studio.client.with("if-none-match", &tag).get(&path);
        assert_eq!((again.status, again.bytes.len()), (304, 0));
        tags.insert(tag);

        let values = embedding::from_bytes(&answer.bytes, shape.iter().product()).expect("an embedding");
        let values = engine.from_slice(&values, &shape).expect("a tensor");
        let size = [truth.height() as usize, truth.width() as usize];
        let fit = Fit { size, image_size: decoder.image_size() };
        let bounds = truth.bounding_box().expect("a subject");
        let [x, y] =
            [bounds.x as f32 + bounds.width as f32 / 2.0, bounds.y as f32 + bounds.height as f32 / 2.0];
        let point = |x: f32, y: f32, on_subject| MaskPoint { x, y, on_subject };
        let edges =
            [bounds.x as f32, bounds.y as f32, x + bounds.width as f32 / 2.0, y + bounds.height as f32 / 2.0];
        for prompt in [
            MaskPrompt { points: vec![point(x, y, true)], bounds: None },
            MaskPrompt { points: vec![point(x, y, true), point(2.0, 3.0, false)], bounds: None },
            MaskPrompt { points: Vec::new(), bounds: Some(edges) },
        ] {
            let asked = studio.path(&format!("photos/{}/segment", text(&photo["id"])));
            let body = serde_json::to_value(&prompt).expect("JSON");
            let servers = mask(&studio.client.json("POST", &asked, &body).well().bytes);
            let placed = fit.prompt(&Prompt::from(&prompt));
            let best = finished(decoder.best(&engine, &values, &placed)).expect("a mask");
            let coverage = sam::mask::cover(&best.logits, decoder.mask_size(), decoder.image_size(), size);
            let ours = GrayImage::from_raw(truth.width(), truth.height(), coverage).expect("as many bytes");
            let ours = Mask::from_gray(ours);
            assert!(ours.iou(&servers) >= 0.99, "{prompt:?}: {}", ours.iou(&servers));
        }
    }
    assert_eq!(tags.len(), 2, "each photo has its own");
}

#[test]
fn what_browsers_ask_of_the_segmenter_may_be_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, studio) = toys(&folder.path().join("data"));
    let photo = text(&studio.list("photos")[0]["id"]);
    let nothing = "01890000-0000-7000-8000-000000000000";
    for path in [format!("photos/{nothing}/embedding"), format!("segmenter/files/{}", "0".repeat(64))] {
        studio.client.get(&studio.path(&path)).problem(404, "missing");
    }
    drop(server);
    // A server without a segmenter: colours and hands are left.
    let server = Server::start(&folder.path().join("data"), &[]);
    let client = server.client();
    for path in [format!("photos/{photo}/embedding"), "segmenter".to_owned(), "segmenter/files/0".to_owned()]
    {
        let detail = client.get(&studio.path(&path)).problem(409, "conflict");
        assert!(detail.contains("no segmenter"), "{detail}");
    }
}

#[test]
fn a_segmenter_that_is_exchanged_sees_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    let own = models.join("sam-toybox");
    std::fs::create_dir_all(&own).expect("a folder");
    let from = shipped("sam-toybox");
    let from = Path::new(&from);
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(from.join(name), own.join(name)).expect("a copy");
    }
    let server = Server::start(&folder.path().join("data"), &["--models", &models.display().to_string()]);
    let client = server.client();
    let project = client.post("/api/samples", &Value::Null);
    let studio = Studio { client, id: text(&project["id"]) };
    let path = studio.path(&format!("photos/{}/embedding", text(&studio.list("photos")[0]["id"])));
    let before = studio.client.get(&path).well();
    let tiny = mudi_tests::golden::fixture("sam-tiny");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(tiny.join(name), own.join(name)).expect("a copy");
    }
    let after = studio.client.with("if-none-match", before.header("etag")).get(&path).well();
    assert!(after.bytes != before.bytes && after.header("etag") != before.header("etag"));
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
    let alone = studio.client.json("POST", &evaluations, &json!({ "images": [ids[2]] }));
    assert!(alone.problem(422, "refused").contains("of no run"));
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
            score["score"].as_f64().map(|score| score >= mudi::evaluate::right_from(2))
        );
    }
    assert!(images[2].get("score").is_none());
    studio.done(&studio.post("evaluations", &json!({ "images": ids[..2] }))["id"]);
    assert_eq!(studio.list("images"), images, "what has a score keeps it");
}
