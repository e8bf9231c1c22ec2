//! What goes wrong is told, and nothing is done that nobody has asked for.

use mudi_tests::browser::{Browser, ENTER};
use mudi_tests::pictures::encoded;
use serde_json::Value;

use super::shelf::{serve, text};

#[test]
fn pictures_that_cannot_be_made_are_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &["--memory", "0.02"]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/generate"));
    browser.until("the form", "return !!document.querySelector('#prompt')?.value");
    browser.write("#count", "1");
    browser.press("Generate 1 picture");
    let told = "return /this needs/.test(document.querySelector('.jobs .notice.bad')?.innerText || '')";
    browser.until("why there are none", told);
    let kept = browser.run("return document.activeElement.innerText.trim()");
    assert_eq!(kept, "Generate 1 picture", "a button that has been pressed keeps the focus");
    // It stays for whoever was away, until it is put away; and it can be tried again.
    browser.reload();
    browser.until("it is still said", told);
    browser.sees("Pictures, ");
    let jobs = format!("/api/projects/{project}/jobs");
    let finished = |page: &Value| page["items"][0]["finished"].as_i64();
    let first = finished(&client.get(&jobs).value());
    browser.press("Try again");
    client.until(&jobs, |page| page["items"][0]["state"] == "failed" && finished(page) > first);
    browser.until("it is said again", told);
    browser.press("Dismiss");
    browser.until("its card goes", "return !document.querySelector('.jobs > li')");
    browser.reload();
    browser.until("the form", "return !!document.querySelector('#prompt')?.value");
    browser.until("there are no pictures", "return document.body.innerText.includes('No pictures yet')");
    assert_eq!(browser.run("return !document.querySelector('.jobs > li')"), true, "it stays away");
}

#[test]
fn enter_in_the_name_of_a_recipe_keeps_it_and_starts_no_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/train"));
    browser.press("Every parameter");
    browser.write("#recipe-steps", "777");
    browser.write("#recipe-name", "My own");
    browser.keys(ENTER);
    browser.sees("The recipe “My own” is kept.");
    assert!(browser.path().ends_with("/train"), "{}", browser.path());
    let items = |list: &str| client.get(&format!("/api/projects/{project}/{list}")).value()["items"].clone();
    assert_eq!(items("runs"), Value::Array(Vec::new()));
    assert_eq!(items("recipes")[0]["value"]["steps"], 777);
}

#[test]
fn a_photo_just_deleted_is_not_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let items = |list: &str| {
        let page = client.get(&format!("/api/projects/{project}/{list}")).value();
        page["items"].as_array().expect("items").clone()
    };
    let before = items("photos").len();
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/photos"));
    browser.until("photos", "return document.querySelectorAll('.photo').length > 1");
    browser.run("document.querySelector('.photo [title=Delete]').click()");
    browser.sees("is deleted.");
    // Whoever points at the message keeps it, and the photo with it.
    browser.run("document.querySelector('.toasts').dispatchEvent(new MouseEvent('mouseenter'))");
    browser.press("Train");
    browser.press("Every parameter");
    browser.write("#recipe-steps", "90");
    assert_eq!(items("photos").len(), before, "the message can still be undone");
    browser.press("Train 90 steps");
    browser.until("the run's page opens", "return location.pathname.split('/').length === 5");
    assert_eq!(items("photos").len(), before - 1);
    assert_eq!(items("runs")[0]["photos"], before as u64 - 1);
    browser.sees_no("is deleted.");
}

#[test]
fn a_mask_is_taken_away_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let path = format!("/api/projects/{project}/photos");
    let photo = client.get(&path).value()["items"][0].clone();
    let (mask, name) = (format!("{path}/{}/mask", text(&photo["id"])), text(&photo["name"]));
    let side = |which: &str| u32::try_from(photo[which].as_u64().expect("a number")).expect("a side");
    let empty = encoded(image::GrayImage::new(side("width"), side("height")), image::ImageFormat::Png);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/photos"));
    browser.sees("Every photo has its mask.");
    let more = format!("More of {name}");

    browser.press(&more);
    browser.press("Remove the mask");
    browser.sees(&format!("The mask of “{name}” is removed."));
    browser.sees("No mask yet");
    client.get(&mask).well();
    browser.press("Undo");
    browser.sees_no("No mask yet");
    browser.press(&more);
    browser.press("Remove the mask");
    browser.sees(&format!("The mask of “{name}” is removed."));
    browser.press("Dismiss");
    browser.sees("1 photo without a mask.");
    client.get(&mask).problem(404, "missing");

    // A mask that covers nothing is as good as none, until another one is found in its place.
    client.with("if-none-match", "*").send("PUT", &mask, Some(&empty)).well();
    browser.reload();
    browser.sees("Empty mask");
    browser.sees("1 photo without a mask.");
    browser.press(&more);
    browser.press("Find the mask again");
    browser.sees("Every photo has its mask.");
    browser.press("Find all masks again");
    browser.sees("Each mask stays until another one is found.");
    browser.press("Keep them");
}
