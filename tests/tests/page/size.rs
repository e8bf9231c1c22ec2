//! What a first visit loads, and what later ones do not load again.

use mudi_tests::served::Client;
use serde_json::{Value, json};

use super::shelf::{serve, text};

/// The most bytes of a first visit, compressed.
const BUDGET: usize = 500_000;

#[test]
fn a_first_visit_is_small_and_a_second_one_nearly_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client().with("accept-encoding", "gzip, br");
    let id = "01890000-0000-7000-8000-000000000000";
    for place in ["/", &format!("/projects/{id}/layouts/{id}")] {
        visit(&server.client(), &client, place);
    }
}

#[test]
fn the_model_of_previews_comes_compressed() {
    const WEIGHTS: usize = 25_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/projects", &json!({ "name": "Any" }))["id"]);
    let model = client.get(&format!("/api/projects/{project}/preview")).value();
    let (mut whole, mut sent) = (0, 0);
    for file in model["files"].as_array().expect("files") {
        let path = format!("/api/projects/{project}/preview/files/{}", text(&file["sha256"]));
        let size = client.get(&path).well().bytes.len();
        assert_eq!(file["bytes"], Value::from(size));
        let answer = client.with("accept-encoding", "gzip").get(&path).well();
        whole += size;
        sent += answer.bytes.len();
    }
    assert!(sent <= WEIGHTS && sent < whole, "{sent} of {whole} bytes are sent");
}

fn visit(plain: &Client, client: &Client, place: &str) {
    let index = plain.get(place).well();
    assert_eq!(index.header("cache-control"), "no-cache");
    let text = String::from_utf8_lossy(&index.bytes).into_owned();
    let names = text.split(['"', '\'']).filter(|name| {
        name.starts_with('/') && [".wasm", ".js", ".css", ".svg"].iter().any(|end| name.ends_with(end))
    });
    let names: std::collections::BTreeSet<&str> = names.collect();
    assert!(names.len() >= 7, "{names:?}");
    let mut loaded = client.send("GET", place, None).well().bytes.len();
    for name in &names {
        let answer = client.get(name).well();
        assert_eq!(answer.header("content-encoding"), "br", "{name}");
        assert!(answer.header("cache-control").contains("immutable"), "{name}");
        let again = client.with("if-none-match", answer.header("etag")).get(name);
        assert_eq!((again.status, again.bytes.len()), (304, 0), "{name}");
        assert_eq!(
            client.with("accept-encoding", "br;q=0").get(name).header("content-encoding"),
            "",
            "{name}"
        );
        loaded += answer.bytes.len();
    }
    assert!(loaded <= BUDGET, "a first visit of {place} loads {loaded} bytes");
    // Nothing comes from anywhere else.
    assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
}
