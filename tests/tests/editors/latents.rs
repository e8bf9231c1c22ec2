//! Pictures on the page while the server makes them.

use mudi_tests::browser::Browser;
use mudi_tests::workshop::models;
use serde_json::{Value, json};

use super::room::Room;

/// What the first canvas of a job shows: its side, and how many colours.
const SEEN: &str = "const canvas = document.querySelector('.live-picture');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) colours.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
    return [canvas.width, colours.size]";

fn watched(open: fn(&str) -> Browser, words: &str) {
    let room = Room::with(open, &["--models", &models()], 1200, 900);
    room.browser.go(&room.address("generate"));
    room.browser.sees("No pictures yet");
    // Long enough to be watched, however slow the browser is; it is cancelled.
    let wish = json!({ "base": "pocket", "prompt": "A photo of a red bear.", "steps": 500, "count": 2 });
    let job = room.client.post(&room.api("images"), &wish);
    room.browser.reload();
    room.browser.sees("What it will be like, after step");
    room.browser.sees(words);
    // Decoded, a picture has the base's own size: pocket's is 96 pixels.
    room.browser.until_true("document.querySelector('.live-picture').width === 96");
    let seen = room.browser.run(SEEN);
    assert!(seen[1].as_u64() > Some(50), "{seen}");
    assert_eq!(room.browser.run("return [...document.querySelectorAll('.live-pictures li')].filter(e => e.checkVisibility()).length"), 2);
    let path = room.api(&format!("jobs/{}/cancel", job["id"].as_str().expect("an id")));
    let _cancelled = room.client.post(&path, &Value::Null);
    room.browser.sees_no("What it will be like");
}

#[test]
fn the_gpu_decodes_what_the_server_makes() {
    watched(Browser::open_with_gpu, "decoded by your GPU");
}

#[test]
fn without_a_gpu_the_processor_decodes_it() {
    watched(Browser::open, "decoded by your processor");
}
