//! Copies of projects, the sample project, and pictures that a run draws on its way.

use mudi_tests::served::Server;
use serde_json::{Value, json};

use super::studio::{PHOTOS, SUBJECTS, Studio, text};

#[test]
fn a_copy_holds_what_the_original_holds_and_goes_its_own_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let layout = json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
    let _ = studio.post("layouts", &json!({ "name": "Left", "value": layout }));
    let first = text(&studio.list("photos")[0]["id"]);
    let caption = json!({ "caption": "olis on a table" });
    studio.client.json("PATCH", &studio.path(&format!("photos/{first}")), &caption).well();

    let made = studio.post("copies", &Value::Null);
    assert_eq!(made["name"], "Toys, copy");
    let copy = Studio { client: studio.client.clone(), id: text(&made["id"]) };
    let (originals, copies) = (studio.list("photos"), copy.list("photos"));
    assert_eq!(copies.len(), SUBJECTS.len() * PHOTOS as usize);
    for (original, copied) in originals.iter().zip(&copies) {
        assert_ne!(original["id"], copied["id"]);
        for field in ["name", "subject", "caption", "mask", "bounds", "width"] {
            assert_eq!(original[field], copied[field], "{field}");
        }
        for part in ["image", "thumbnail", "mask", "mask/thumbnail"] {
            let bytes = |studio: &Studio, photo: &Value| {
                studio.bytes(&format!("photos/{}/{part}", text(&photo["id"])))
            };
            assert_eq!(bytes(&studio, original), bytes(&copy, copied), "{part}");
        }
    }
    assert_eq!(copy.list("layouts")[0]["value"], layout_of(&studio));
    assert!(copy.list("runs").is_empty() && copy.list("images").is_empty());

    // The original can go; the copy stays whole, and can be trained.
    studio.client.delete(&format!("/api/projects/{}", studio.id));
    assert!(
        image::load_from_memory(&copy.bytes(&format!("photos/{}/image", text(&copies[0]["id"])))).is_ok()
    );
    let run = copy.train(2, &json!({ "sample-every": 1, "sample-prompts": ["olis"] }));
    copy.done(&run["job"]);
    let path = format!("runs/{}/samples", text(&run["id"]));
    assert_eq!(copy.list(&path), [json!({ "step": 1 }), json!({ "step": 2 })]);
    assert!(image::load_from_memory(&copy.bytes(&format!("{path}/2"))).is_ok());
    copy.client.get(&copy.path(&format!("{path}/3"))).problem(404, "missing");
    copy.client.get(&copy.path(&format!("{path}/x"))).problem(404, "missing");
}

fn layout_of(studio: &Studio) -> Value {
    studio.list("layouts")[0]["value"].clone()
}

#[test]
fn the_sample_is_ready_to_be_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let client = server.client();
    let made = client.post("/api/samples", &Value::Null);
    let studio = Studio { client, id: text(&made["id"]) };
    let photos = studio.list("photos");
    assert!(photos.len() >= 6 && photos.iter().all(|photo| photo["bounds"].is_object()), "{photos:?}");
    assert_eq!(studio.list("subjects").len(), 2);
    let run = studio.train(1, &json!({}));
    studio.done(&run["job"]);
}
