//! What goes wrong is told, and nothing is done that nobody has asked for.

use mudi_tests::browser::{Browser, ENTER};
use serde_json::Value;

use super::shelf::{serve, text};

#[test]
fn pictures_that_cannot_be_made_are_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &["--memory", "0.02"]);
    let project = text(&server.client().post("/api/samples", &Value::Null)["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/generate"));
    browser.until("the form", "return !!document.querySelector('#prompt')?.value");
    browser.write("#count", "1");
    browser.press("Generate 1 picture");
    let told = "return /this needs/.test(document.querySelector('.toast.bad')?.innerText || '')";
    browser.until("why there are none", told);
    browser.until("its card goes", "return !document.querySelector('.jobs > li')");
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
