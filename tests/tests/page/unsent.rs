//! What is not on the server yet when another page is gone to.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use mudi_tests::browser::Browser;
use serde_json::{Value, json};

use super::shelf::{full_project, rename_layout, serve, text};

/// Photos on the disk, each of one color.
fn plain_photos(folder: &Path, count: u8) -> Vec<PathBuf> {
    let photo = |number: u8| {
        let path = folder.join(format!("plain-{number}.png"));
        RgbImage::from_pixel(96, 64, Rgb([40 * number, 90, 160])).save(&path).expect("a photo");
        path
    };
    (0..count).map(photo).collect()
}

fn arrives(browser: &Browser, end: &str) {
    browser.until(end, &format!("return location.pathname.endsWith({})", json!(end)));
}

#[test]
fn photos_are_sent_while_other_pages_are_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/projects", &json!({ "name": "Plain" }))["id"]);
    let _: Value = client
        .post(&format!("/api/projects/{project}/subjects"), &json!({ "id": "a", "name": "olis brown disc" }));
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/photos"));
    let files = plain_photos(folder.path(), 6);
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    browser.sees("0 photos");
    browser.choose_files("[data-subject=a] input[multiple]", &files[..1]);
    browser.until("the first photo", "return document.querySelectorAll('.photo').length === 1");

    browser.offline(true);
    browser.choose_files("[data-subject=a] input[multiple]", &files[1..]);
    browser.sees("The connection broke; trying again");
    browser.sees("Waits for its turn");
    // The mask editor is another program, which would end them: it waits.
    browser.press("Draw the mask of");
    browser.sees("still on its way to the server");
    browser.press("Train");
    arrives(&browser, "/train");
    browser.offline(false);
    let photos = format!("/api/projects/{project}/photos");
    client.until(&photos, |page| page["items"].as_array().is_some_and(|photos| photos.len() == 6));
    browser.press("Photos");
    browser.until("all photos", "return document.querySelectorAll('.photo').length === 6");
    browser.until("nothing is left to send", "return !document.querySelector('.upload')");
    // A caption that is written when the link is pressed is waited for, too.
    let caption = "A photo of a olis brown disc on a table.";
    browser.run("document.querySelector('button.caption').click()");
    browser.write(".photo textarea", caption);
    let slow = json!({ "offline": false, "latency": 1000, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.chromium("Network.emulateNetworkConditions", &slow);
    browser.press("Draw the mask of");
    browser.until("the editor", "return !!document.querySelector('.mask-studio')");
    browser.offline(false);
    client.until(&photos, |page| {
        page["items"].as_array().is_some_and(|photos| photos.iter().any(|photo| photo["caption"] == caption))
    });
}

#[test]
fn a_layout_that_could_not_be_saved_is_offered_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let layouts = format!("/api/projects/{project}/layouts");
    let layout = text(&client.get(&layouts).value()["items"][0]["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/layouts/{layout}"));
    browser.sees("Saved");
    browser.offline(true);
    rename_layout(&browser, "Right");
    browser.sees("Not saved: the server does not answer");
    browser.press("Layouts");
    arrives(&browser, "/layouts");
    browser.sees("is not saved");
    browser.offline(false);
    browser.press("Left");
    browser.sees("changes of yours to this layout that were not saved");
    browser.press("Take them up");
    client.until(&layouts, |page| page["items"][0]["name"] == "Right");
    browser.until("it is saved", "return document.querySelector('.mask-save').innerText === 'Saved'");
    browser.reload();
    browser.sees("Saved");
    assert!(!browser.text().contains("that were not saved"));
}

#[test]
fn a_layout_that_was_deleted_elsewhere_is_saved_as_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let layouts = format!("/api/projects/{project}/layouts");
    let layout = text(&client.get(&layouts).value()["items"][0]["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/layouts/{layout}"));
    browser.sees("Saved");
    client.delete(&format!("{layouts}/{layout}"));
    rename_layout(&browser, "Right");
    browser.sees("was deleted in another window");
    browser.press("Save it as a new layout");
    client.until(&layouts, |page| page["items"][0]["name"] == "Right");
    browser.until(
        "its own address",
        &format!(
            "return location.pathname.includes('/layouts/') && !location.pathname.includes({})",
            json!(layout)
        ),
    );
    browser.sees("Saved");
}
