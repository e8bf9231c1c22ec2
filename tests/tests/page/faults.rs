//! Connections that break, servers that end and come back.

use mudi_tests::browser::Browser;
use serde_json::{Value, json};

use super::shelf::{full_project, photos, serve, text};

#[test]
fn an_upload_goes_on_after_the_connection_broke() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &["--upload-limit", "1"]);
    let project = text(&server.client().post("/api/projects", &json!({ "name": "Discs" }))["id"]);
    let subject = json!({ "id": "a", "name": "olis brown disc" });
    let _: Value = server.client().post(&format!("/api/projects/{project}/subjects"), &subject);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/photos"));
    browser.sees("0 photos");
    browser.offline(true);
    let files = photos(folder.path(), 0);
    browser.choose_files("[data-subject=a] input[multiple]", &[&files[0], &files[1]]);
    browser.sees("The connection broke; trying again");
    browser.offline(false);
    browser.until("both photos arrive", "return document.querySelectorAll('.photo').length === 2");
    browser.until("nothing is left to send", "return !document.querySelector('.upload')");
    // What is larger than the server takes is none that broke: it is refused, in words.
    let huge = folder.path().join("huge.png");
    std::fs::write(&huge, vec![0; 24 << 20]).expect("a file");
    browser.choose_files("[data-subject=a] input[multiple]", &[&huge]);
    browser.sees("the file has more than 1 MiB");
    browser.press("Dismiss huge.png");
    browser.until("its row goes", "return !document.querySelector('.upload')");
}

#[test]
fn a_run_is_followed_through_the_end_of_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let recipe =
        json!({ "steps": 400, "batch": 1, "rank": 4, "regularization": "none", "checkpoint-every": 2 });
    let run = json!({ "name": "Long", "base": "pocket", "recipe": recipe });
    let run = text(&client.post(&format!("/api/projects/{project}/runs"), &run)["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/train/{run}"));
    browser.until("steps are made", "return /training: ([5-9]|\\d\\d)/.test(document.body.innerText)");

    let address = server.address.clone();
    server.kill();
    browser.sees("The server does not answer.");
    assert!(browser.text().contains("training:"), "what was known stays");
    let before = browser.run("return Number(/training: (\\d+)/.exec(document.body.innerText)[1])");
    let _server = serve(folder.path(), &["--listen", &address]);
    browser.sees_no("The server does not answer.");
    let script =
        format!("return Number((/training: (\\d+)/.exec(document.body.innerText) || [0, 0])[1]) > {before}");
    browser.until("it goes on by itself", &script);
    browser.press("Pause");
    browser.sees("Paused");
    browser.press("Cancel");
    browser.press("Keep it");
    browser.press("Cancel");
    assert!(!browser.text().contains("Cancelled"), "it asks first");
    browser.press("Cancel for good");
    browser.sees("Cancelled");
}

#[test]
fn what_is_not_there_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let browser = Browser::open(&server.address);
    browser.go("/no/such/place");
    browser.sees("There is no such page");
    browser.until("its title", "return document.title.startsWith('There is no such page')");
    browser.go("/projects/01890000-0000-7000-8000-000000000000");
    browser.sees("There is no such project");
    let missing = server.client().get("/no-such-file.js");
    missing.problem(404, "missing");
    server.client().send("POST", "/", None).problem(405, "method");
    let project = full_project(&server.client());
    browser.go(&format!("/projects/{project}/train/01890000-0000-7000-8000-000000000000"));
    browser.sees("Try again");
}
