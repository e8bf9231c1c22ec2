//! Nothing that somebody does on the page is lost: by links, by undoing, by a connection that breaks.

use mudi_tests::browser::Browser;
use mudi_tests::served::Client;
use serde_json::{Value, json};

use super::shelf::{full_project, rename_layout, serve, text};

/// Nothing in the page has failed.
fn unharmed(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(!complaints.iter().any(|text| text.contains("panicked")), "{complaints:?}");
}

#[test]
fn links_lead_from_each_part_to_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let project = full_project(&server.client());
    let browser = Browser::open(&server.address);
    let arrives = |end: &str, element: &str| {
        let there = format!(
            "return location.pathname.endsWith({}) && !!document.querySelector({})",
            json!(end),
            json!(element)
        );
        browser.until(&format!("{end} shows {element}"), &there);
    };
    // Loaded at the address, and come to by links.
    for by_links in [false, true] {
        if by_links {
            browser.go(&format!("/projects/{project}"));
            browser.press("Photos");
        } else {
            browser.go(&format!("/projects/{project}/photos"));
        }
        arrives("/photos", ".photo");
        browser.press("Mend the mask of");
        arrives("/mask", ".mask-studio");
        browser.press("Next photo");
        arrives("/mask", ".mask-studio");
        browser.press("Photos");
        arrives("/photos", ".photo");
        browser.press("Layouts");
        arrives("/layouts", ".grid");
        browser.press("Left");
        browser.until("the designer", "return !!document.querySelector('.layout-studio')");
        browser.press("Generate with it");
        arrives("/generate", "#prompt");
        browser.run("history.back()");
        browser.until("the designer again", "return !!document.querySelector('.layout-studio')");
        browser.press("Layouts");
        arrives("/layouts", ".grid");
        browser.press("Play");
        arrives("/play", "canvas");
        browser.press("Train");
        arrives("/train", "#history");
    }
    assert!(!browser.text().contains("There is no such page"));
    // On a phone, too, the next photo is one press away.
    browser.size(360, 740);
    browser.go(&format!("/projects/{project}/photos"));
    browser.press("Mend the mask of");
    arrives("/mask", ".mask-studio");
    let first = browser.path();
    browser.press("Next photo");
    browser.until("another photo", &format!("return location.pathname !== {}", json!(first)));
    let fits =
        browser.run("const page = document.documentElement; return page.scrollWidth <= page.clientWidth");
    assert_eq!(fits, true, "the editor fits a phone");
    // On its side it is lower than the rail, of which every link can be reached all the same.
    browser.size(740, 360);
    let last = "const last = document.querySelector('.rail li:last-child a');
        last.scrollIntoView();
        return last.getBoundingClientRect().bottom <= innerHeight";
    assert_eq!(browser.run(last), true, "the last link of the rail");
    unharmed(&browser);
}

#[test]
fn what_is_deleted_comes_back_wherever_one_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let count = |list: &str| {
        let path = format!("/api/projects/{project}/{list}");
        client.get(&path).value()["items"].as_array().expect("items").len()
    };
    let photos = count("photos");
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/photos"));
    browser.until("photos", "return document.querySelectorAll('.photo').length > 1");
    browser.run("document.querySelector('.photo [title=Delete]').click()");
    browser.press("Train");
    browser.until("the form", "return !!document.querySelector('#history')");
    browser.press("Undo");
    browser.press("Photos");
    let all = format!(
        "return [...document.querySelectorAll('.photo')].filter(e => e.checkVisibility()).length === {photos}"
    );
    browser.until("every photo", &all);
    // What is deleted for good while its list is looked at anew goes from that, too.
    browser.run("document.querySelector('.photo [title=Delete]').click()");
    browser.sees("is deleted.");
    // Whoever points at the message keeps it.
    browser.run("document.querySelector('.toasts').dispatchEvent(new MouseEvent('mouseenter'))");
    browser.press("Train");
    browser.until("the form", "return !!document.querySelector('#history')");
    browser.press("Photos");
    browser.until("photos", "return document.querySelectorAll('.photo').length > 1");
    browser.press("Dismiss");
    let left = format!("return document.querySelectorAll('.photo').length === {}", photos - 1);
    browser.until("one photo less", &left);

    browser.go("/");
    browser.until("the project", "return document.querySelectorAll('.project').length === 1");
    // What was to be deleted would have been, when the page was left.
    assert_eq!(count("photos"), photos - 1, "nothing is deleted that was taken back");
    browser.press("Delete");
    browser.sees("Nothing here yet");
    browser.press("Undo");
    browser.until("the project again", "return document.querySelectorAll('.project').length === 1");
    browser.press("Delete");
    browser.press("Dismiss");
    browser.sees("Nothing here yet");
    unharmed(&browser);
    browser.until("it is gone", "return !document.querySelector('.toast')");
    client.until("/api/projects", |page| page["items"].as_array().is_some_and(Vec::is_empty));
    assert!(!browser.text().contains("is deleted"));
}

#[test]
fn a_connection_that_breaks_leaves_what_is_being_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/train"));
    browser.press("Every parameter");
    browser.write("#recipe-steps", "777");
    browser.offline(true);
    browser.press("Train 777 steps");
    browser.sees("The server does not answer.");
    browser.offline(false);
    browser.sees_no("The server does not answer.");
    let steps = "return document.querySelector('#recipe-steps')?.value === '777'";
    browser.until("the form as it was", steps);
    // Nor does it forget when a run is deleted beside it.
    browser.press("Delete First");
    browser.press("Dismiss");
    browser.sees("No runs yet");
    browser.until("the form as it was still", steps);

    let layouts = format!("/api/projects/{project}/layouts");
    let layout = text(&client.get(&layouts).value()["items"][0]["id"]);
    browser.go(&format!("/projects/{project}/layouts/{layout}"));
    browser.sees("Saved");
    browser.offline(true);
    rename_layout(&browser, "Right");
    browser.sees("The server does not answer.");
    browser.offline(false);
    browser.sees_no("The server does not answer.");
    let kept = |wanted: &str| {
        let wanted = wanted.to_owned();
        client.until(&layouts, move |page| page["items"][0]["name"] == wanted.as_str());
    };
    kept("Right");
    browser.until("it is saved", "return document.querySelector('.mask-save').innerText === 'Saved'");
    // What was done in the last moment before the page is loaded anew is kept, too.
    rename_layout(&browser, "Middle");
    browser.reload();
    kept("Middle");
    browser.sees("Saved");
    rename_layout(&browser, "Last");
    browser.press("Layouts");
    kept("Last");
    browser.sees("Last");
    // What the page says of time stays true while it is open.
    let _later = browser.run("const now = Date.now; Date.now = () => now() + 10 * 86400e3;");
    browser.sees("10 days ago");
    unharmed(&browser);
}

/// Ends every job of the project.
fn cancel_all(client: &Client, project: &str) {
    let jobs = client.get(&format!("/api/projects/{project}/jobs?limit=500")).value();
    for job in jobs["items"].as_array().expect("jobs").iter().rev() {
        let _ =
            client.send("POST", &format!("/api/projects/{project}/jobs/{}/cancel", text(&job["id"])), None);
    }
}

#[test]
fn jobs_that_wait_do_not_keep_the_page_from_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let recipe = json!({ "steps": 100_000, "batch": 1, "rank": 4, "regularization": "none" });
    let run = json!({ "name": "Long", "base": "pocket", "recipe": recipe });
    let _: Value = client.post(&format!("/api/projects/{project}/runs"), &run);
    for _ in 0..8 {
        let images = json!({ "base": "pocket", "prompt": "a bear", "steps": 2, "count": 1 });
        let _: Value = client.post(&format!("/api/projects/{project}/images"), &images);
    }
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/generate"));
    browser.until("eight jobs", "return document.querySelectorAll('.jobs > li').length === 8");
    browser.until("the form", "return !!document.querySelector('#prompt')");
    browser.sees("8 jobs before it");
    cancel_all(&client, &project);
    browser.until("no job is left", "return document.querySelectorAll('.jobs > li').length === 0");
    unharmed(&browser);
}

#[test]
fn a_run_that_failed_can_be_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &["--memory", "0.02"]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let recipe = json!({ "steps": 4, "batch": 1, "rank": 4, "regularization": "none" });
    let run = json!({ "name": "Large", "base": "pocket", "recipe": recipe });
    let run = client.post(&format!("/api/projects/{project}/runs"), &run);
    let path = format!("/api/projects/{project}/jobs/{}", text(&run["job"]));
    let first = client.until(&path, |job| job["state"] == "failed")["finished"].as_i64();
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/train/{}", text(&run["id"])));
    browser.sees("Failed");
    browser.sees("pocket: this needs");
    assert!(!browser.text().contains("/pocket"), "where the models lie is nobody's business");
    browser.press("Try again");
    client.until(&path, |job| job["state"] == "failed" && job["finished"].as_i64() > first);
    browser.sees("Failed");
    let address = server.address.clone();
    drop(server);
    let _server = serve(folder.path(), &["--listen", &address]);
    browser.sees_no("The server does not answer.");
    browser.press("Try again");
    browser.sees("Generate with it");
    unharmed(&browser);
}

#[test]
fn the_form_of_pictures_is_as_it_was_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let path = format!("/api/projects/{project}");
    let first = |list: &str| client.get(&format!("{path}/{list}")).value()["items"][0].clone();
    let browser = Browser::open(&server.address);
    let generate = format!("/projects/{project}/generate");
    browser.go(&generate);
    browser.until("the form", "return !!document.querySelector('#prompt')?.value");
    browser.write("#prompt", "A photo of somebody in the snow.");
    browser.write("#count", "3");
    browser.run(
        "const e = document.querySelector('#shape'); e.value = '9:16'; e.dispatchEvent(new Event('change'))",
    );
    let written = "return document.querySelector('#prompt')?.value === 'A photo of somebody in the snow.'
        && document.querySelector('#count').value === '3'";
    browser.until("it is written", written);
    browser.press("Design one");
    browser.until("the layouts", "return location.pathname.endsWith('/layouts')");
    browser.run("history.back()");
    browser.until("the form as it was", written);
    browser.reload();
    browser.until("the form as it was still", written);
    browser.until("its shape", "return document.querySelector('#shape').value === '9:16'");
    // An address changes what it names, and nothing else. A layout has a shape.
    let layout = text(&first("layouts")["id"]);
    browser.go(&format!("{generate}?layout={layout}&gamma=1.5"));
    browser.until("the form again", written);
    browser
        .until("the layout", &format!("return document.querySelector('#start').value === {}", json!(layout)));
    browser.sees("(gamma): 1.5");
    browser.until("the layout's shape", "return document.querySelector('#shape').value === ''");
    browser.until("its own address", "return location.search === ''");

    // A run knows subjects by the names that it was trained on.
    let subject = first("subjects");
    let (id, name) = (text(&subject["id"]), text(&subject["name"]));
    client.json("PATCH", &format!("{path}/subjects/{id}"), &json!({ "name": "olis red bear" })).well();
    browser.reload();
    browser.until("the form once more", written);
    browser.press(&format!("olis red bear, trained as {name}"));
    let wanted = format!("A photo of somebody in the snow and a {name}");
    browser
        .until("its name", &format!("return document.querySelector('#prompt').value === {}", json!(wanted)));

    // A model that nobody has chosen gives way when it is gone; one that somebody has is said to be, and nothing is drawn with another one.
    client.delete(&format!("{path}/runs/{}", text(&first("runs")["id"])));
    let kept = "const key = Object.keys(sessionStorage).find(key => key.startsWith('mudi-generate-'));";
    let before = browser.run(&format!("{kept} return sessionStorage.getItem(key)"));
    browser.reload();
    browser.until(
        "the base",
        "return document.querySelector('#model')?.selectedOptions[0].text.startsWith('pocket alone')",
    );
    let chosen = before.as_str().expect("the form").replace("\"model\":true", "\"model\":false");
    browser.run(&format!("{kept} sessionStorage.setItem(key, {})", json!(chosen)));
    browser.reload();
    browser.sees("choose another model");
    browser.sees("by a run that is deleted: First");
    let chosen =
        "return document.querySelector('#model').selectedOptions[0].text === 'A run that is deleted'";
    browser.until("the run", chosen);
    browser.press("Generate 3 pictures");
    browser.sees("The model that was chosen is not there any more");
    unharmed(&browser);
}

#[test]
fn pictures_have_addresses_and_go_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = full_project(&client);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}"));
    browser.until("the newest", "return document.querySelectorAll('.pictures a').length === 2");
    browser.run("document.querySelector('.pictures a').click()");
    let (open, closed) = (
        "return !!document.querySelector('dialog[open] .viewer')",
        "return !document.querySelector('dialog[open]')",
    );
    browser.until("the picture", open);
    browser.press("Close");
    browser.until("the pictures", closed);
    browser.until("their address", "return location.search === ''");
    browser.until("both", "return document.querySelectorAll('.picture img').length === 2");
    let small = browser.run("return document.querySelector('.picture img').src.endsWith('/thumbnail')");
    assert_eq!(small, true, "small ones are enough here");
    browser.run("document.querySelector('.picture-open').click()");
    browser.until("the picture again", open);
    browser.run("history.back()");
    browser.until("the pictures again", closed);
    browser.run("history.forward()");
    browser.until("the picture once more", open);
    browser.reload();
    browser.until("the picture at its address", open);
    browser.press("Close");
    browser.until("the pictures at last", closed);

    let visible = |count: usize| {
        format!(
            "return [...document.querySelectorAll('.picture')].filter(e => e.checkVisibility()).length === {count}"
        )
    };
    let remove = || {
        browser.until("both pictures", &visible(2));
        browser.press("Select pictures");
        browser.run("document.querySelectorAll('.picture-select input').forEach(e => e.click())");
        browser.sees("2 pictures selected");
        browser.press("Delete");
        browser.sees("2 pictures are deleted.");
        browser.until("no picture", &visible(0));
    };
    remove();
    browser.press("Undo");
    remove();
    browser.press("Dismiss");
    client.until(&format!("/api/projects/{project}/images"), |page| {
        page["items"].as_array().is_some_and(Vec::is_empty)
    });
    browser.sees("No pictures yet");
    unharmed(&browser);
}
