//! Files that come and go: photos that are dropped and pasted, data folders, whole projects, recipes that are kept.

use std::path::Path;

use mudi_tests::browser::Browser;
use mudi_tests::served::Client;
use serde_json::{Value, json};

use super::shelf::{photos, serve, text};

/// Gives what `target` finds on the page a file as a drag or the clipboard does.
fn hand_over(browser: &Browser, event: &str, target: &str, photo: &Path) {
    use base64::Engine as _;
    let bytes = std::fs::read(photo).expect("a photo");
    let encoded = base64::prelude::BASE64_STANDARD.encode(bytes);
    let name = photo.file_name().expect("a name").to_string_lossy().into_owned();
    let script = "
        const [event, selector, encoded, name] = arguments;
        const bytes = Uint8Array.from(atob(encoded), c => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name, { type: 'image/png' }));
        const target = document.querySelector(selector);
        if (event === 'paste') {
            target.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        } else {
            for (const kind of ['dragenter', 'dragover', 'drop']) {
                const dragged = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
                target.dispatchEvent(dragged);
                if (kind !== 'dragenter' && !dragged.defaultPrevented) throw Error('the browser would open the file');
            }
        }";
    let _ = browser.run_with(script, &json!([event, target, encoded, name]));
}

fn count(client: &Client, path: &str) -> usize {
    client.get(path).value()["items"].as_array().map_or(0, Vec::len)
}

#[test]
fn photos_are_dropped_and_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/projects", &json!({ "name": "Discs" }))["id"]);
    let path = format!("/api/projects/{project}");
    let _ = client.post(&format!("{path}/subjects"), &json!({ "id": "a", "name": "olis wooden disc" }));
    let files = photos(folder.path(), 0);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/photos"));
    browser.sees("Or drop them here, or paste.");
    let others = photos(folder.path(), 1);
    let subject = "[data-subject]";
    for (event, target, file, number) in [
        ("drop", subject, &files[0], 1),
        ("paste", subject, &files[1], 2),
        ("drop", subject, &files[0], 2),
        // Beside the only subject.
        ("drop", ".page-head", &others[0], 3),
    ] {
        let known = count(&client, &format!("{path}/photos")) == number;
        hand_over(&browser, event, target, file);
        if known {
            browser.sees("“0-0.png” is there already.");
        }
        // The same photo again is the same photo.
        let shown = format!("return document.querySelectorAll('[data-subject] img').length === {number}");
        browser.until("the photo is shown", &shown);
        browser.until("nothing is on its way", "return document.querySelectorAll('.upload').length === 0");
        assert_eq!(count(&client, &format!("{path}/photos")), number);
    }

    // Somebody else adds a subject while a form is open, under the key that this one would have had.
    browser.press("Add a subject");
    let _ = client.post(&format!("{path}/subjects"), &json!({ "id": "b", "name": "hta blue disc" }));
    browser.write("#subject-identifier", "ult");
    browser.write("#subject-class", "green disc");
    // What is written is pasted as words, although it may come with a picture of itself.
    hand_over(&browser, "paste", "#subject-class", &others[1]);
    browser.press("Add subject");
    browser.sees("green disc");
    assert_eq!(count(&client, &format!("{path}/photos")), 3);
    client.delete(&format!("{path}/subjects/c"));
    browser.reload();
    browser.sees("hta");
    hand_over(&browser, "drop", ".page-head", &others[1]);
    browser.sees("Drop them on a subject");
    hand_over(&browser, "paste", "body", &others[1]);
    browser.sees("pasted for “hta blue disc”, the last subject.");
    browser.until("the photo is shown", "return !!document.querySelector('[data-subject=b] .photo')");
    browser.press("More of 1-1.png");
    browser.press("Move to “olis wooden disc”");
    browser.sees("“1-1.png” is now a photo of “olis wooden disc”.");
    browser.until("it is there", "return document.querySelectorAll('[data-subject=a] .photo').length === 4");
    assert_eq!(count(&client, &format!("{path}/photos?subject=a")), 4);

    // What is on its way is given up, and what a proxy refuses is not sent for ever.
    let input = "[data-subject=b] input[multiple]";
    let all: Vec<&Path> = files.iter().chain(&others[..1]).map(std::path::PathBuf::as_path).collect();
    browser.offline(true);
    browser.choose_files(input, &all);
    browser.sees("The connection broke; trying again");
    browser.press("Cancel 0-0.png");
    browser.press("Cancel all 2");
    browser.until("nothing is on its way", "return document.querySelectorAll('.upload').length === 0");
    browser.offline(false);
    browser.run(
        "const answers = (name, value) => Object.defineProperty(XMLHttpRequest.prototype, name, { get: () => value });
         answers('status', 413);
         answers('responseText', '<html><h1>413 Request Entity Too Large</h1></html>');",
    );
    browser.choose_files(input, &all[..1]);
    browser.sees("whoever hosts it can raise that limit (nginx: client_max_body_size)");
    browser.press("Dismiss 0-0.png");
    browser.until("its row goes", "return document.querySelectorAll('.upload').length === 0");
}

#[test]
fn what_a_project_holds_leaves_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let browser = Browser::open(&server.address);
    let saved = |link: &str, file: &str| {
        let found = format!(
            "return [...document.querySelectorAll('a[download]')].find(a => a.innerText.includes('{link}')).pathname"
        );
        browser.sees(link);
        let path = text(&browser.run(&found));
        let file = folder.path().join(file);
        std::fs::write(&file, &client.get(&path).well().bytes).expect("a file");
        file
    };

    browser.go(&format!("/projects/{project}"));
    let whole = saved("The project as a file", "whole.zip");
    browser.go(&format!("/projects/{project}/photos"));
    let data = saved("All as a zip", "data.zip");

    browser.go("/");
    browser.sees("Sample: two bears");
    browser.press("Duplicate “Sample: two bears”");
    browser.until("the copy", "return document.querySelectorAll('.project').length === 2");
    let nonsense = folder.path().join("nonsense.zip");
    std::fs::write(&nonsense, "no zip").expect("a file");
    browser.choose_files("input[accept*=zip]", &[&nonsense]);
    browser.sees("zip");
    browser.choose_files("input[accept*=zip]", &[&whole]);
    browser.until("the project opens", "return location.pathname.startsWith('/projects/')");
    let opened = browser.path().replace("/projects/", "");
    assert_ne!(opened, project);
    let number = count(&client, &format!("/api/projects/{project}/photos"));
    assert_eq!(count(&client, &format!("/api/projects/{opened}/photos")), number);

    let empty = text(&client.post("/api/projects", &json!({ "name": "Empty" }))["id"]);
    browser.go(&format!("/projects/{empty}/photos"));
    browser.sees("Who is it about?");
    browser.choose_files("input[accept*=zip]", &[&data]);
    browser.sees(&format!("{number} photos added."));
    browser.sees("Every photo has its mask.");
}

#[test]
fn a_recipe_is_foreseen_kept_and_taken_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = server.client();
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let browser = Browser::open(&server.address);
    browser.go(&format!("/projects/{project}/train"));
    browser.sees("How long it takes is known once a run on this base was done.");
    browser.press("Every parameter");
    browser.write("#recipe-steps", "7");
    browser.write("#recipe-prior-images", "1");
    browser.write("#recipe-sample-every", "0");
    browser.press("Keep");
    browser.sees("Give the recipe a name.");
    browser.write("#recipe-name", "Seven");
    browser.press("Keep");
    browser.sees("The recipe “Seven” is kept.");
    browser.reload();
    browser.sees("7 steps, mudi.");
    browser.press("Seven");
    browser.press("Train 7 steps");
    browser.sees("What the model sees");
    browser.sees("Done");
    browser.until(
        "the last pictures stay",
        "return document.querySelector('.seen-now').src.endsWith('/seen/7')",
    );
    browser.until("they are there", "return document.querySelector('.seen-now').naturalWidth > 0");
    browser.go(&format!("/projects/{project}/train"));
    browser.sees("by earlier runs.");
    browser.press("Delete the recipe Seven");
    browser.sees("The recipe “Seven” is deleted.");
    browser.sees_no("7 steps, mudi.");
    browser.press("Undo");
    browser.sees("7 steps, mudi.");
    // Whatever was still to be deleted would be when the page is left.
    browser.reload();
    browser.sees("7 steps, mudi.");
    assert_eq!(count(&client, &format!("/api/projects/{project}/recipes")), 1);
}
