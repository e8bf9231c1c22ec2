//! Every page, light and dark, on a phone and on a desk, looked at by axe-core: what it finds serious keeps somebody out.

use mudi_tests::browser::Browser;
use serde_json::{Value, json};

use super::shelf::{PASSWORD, full_project, serve};

fn axe() -> String {
    let path = std::env::var("MUDI_AXE").unwrap_or_default();
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("axe-core at {path:?}: {error}; `cargo xtask test` fetches it"))
}

/// Widths of the window, and whether it is dark.
const WAYS: [(u32, bool); 4] = [(360, false), (360, true), (1440, true), (1440, false)];

/// What axe-core finds serious or critical at the page that is open.
fn findings(browser: &Browser, axe: &str, place: &str) -> Vec<String> {
    let loaded = browser.run("return typeof axe === 'object'");
    if loaded != true {
        // Through the driver: the page itself may load no script of somebody else's.
        let _ = browser.run(axe);
    }
    let found = browser.run_later(
        "const done = arguments[arguments.length - 1];
         axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations), error => done(String(error)));",
    );
    let all = found.as_array().unwrap_or_else(|| panic!("axe-core fails at {place}: {found}"));
    let bad = |finding: &&Value| ["serious", "critical"].iter().any(|impact| finding["impact"] == *impact);
    let words = |finding: &Value| format!("{place}: {}: {}", finding["id"], finding["nodes"][0]["html"]);
    all.iter().filter(bad).map(words).collect()
}

#[test]
fn nothing_keeps_anybody_out() {
    let axe = axe();
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let project = full_project(&server.client());
    let first = |list: &str| {
        let all = server.client().get(&format!("/api/projects/{project}/{list}")).value();
        all["items"][0]["id"].as_str().unwrap_or_else(|| panic!("no {list}: {all}")).to_owned()
    };
    let (run, photo, layout) = (first("runs"), first("photos"), first("layouts"));
    // Names may be long, and without a place to break them.
    let long = json!({ "access": "viewer", "label": "long".repeat(50) });
    let _ = server.client().post(&format!("/api/projects/{project}/links"), &long);
    let path = format!("/api/projects/{project}");
    let named = json!({ "name": format!("Sample: two bears {}", "long".repeat(45)) });
    let _ = server.client().with("if-match", "*").json("PATCH", &path, &named).well();
    let left = server.client().get(&format!("{path}/layouts")).value()["items"][0]["value"].clone();
    let _ = server
        .client()
        .post(&format!("{path}/layouts"), &json!({ "name": "long".repeat(50), "value": left }));
    let pages = [
        ("", "Subjects"),
        ("/photos", "Masked"),
        (&format!("/photos/{photo}/mask"), "Saved"),
        ("/layouts", "Left"),
        (&format!("/layouts/{layout}"), "What is encoded"),
        ("/play", "Start over"),
        ("/train", "New run"),
        (&format!("/train/{run}"), "Recipe"),
        ("/generate", "olis brown bear and hta teal bear"),
        ("/share", "For Ann"),
    ];
    let browser = Browser::open(&server.address);
    let mut bad = Vec::new();
    // A page is loaded on a phone, and then looked at in every way, as by whoever turns the lights off or takes a larger window.
    let mut look = |place: &str, words: &str| {
        for (width, dark) in WAYS {
            browser.size(width, 800);
            browser.dark(dark);
            let how = format!("{place} ({width}{})", if dark { ", dark" } else { "" });
            browser.sees(words);
            // A phone's window grows with what is too wide; the page's own width does not.
            let fits = "const page = document.documentElement; return page.scrollWidth <= page.clientWidth";
            browser.until(&format!("{how} fits the window"), fits);
            bad.extend(findings(&browser, &axe, &how));
        }
        browser.size(360, 800);
    };
    browser.size(360, 800);
    browser.go("/");
    look("/", "Sample: two bears");
    browser.press("New project");
    look("/, dialog", "New project");
    for (place, words) in pages {
        browser.go(&format!("/projects/{project}{place}"));
        browser.sees(words);
        if place == "/train" {
            browser.press("Every parameter");
        }
        look(place, words);
    }
    browser.go(&format!("/projects/{project}/generate"));
    browser.until("pictures", "return !!document.querySelector('.picture-open')");
    browser.run("document.querySelector('.picture-open').click()");
    look("/generate, a picture", "Without metadata");
    browser.go("/no/such/place");
    look("/no/such/place", "There is no such page");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn nothing_keeps_anybody_from_signing_in() {
    let axe = axe();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let address = "https://mudi.example.org";
    let server =
        serve(folder.path(), &["--public-url", address, "--password-file", &file.display().to_string()]);
    let browser = Browser::open_from_afar(&server.address);
    browser.go("/");
    browser.sees("Sign in");
    // The cookie comes by TLS only, and here it is none: that is said, before and after.
    browser.sees(&format!("Open the studio, or your link, at {address}"));
    browser.write("#password", PASSWORD);
    browser.press("Sign in");
    browser.sees(&format!(
        "The password is right, but at this address the browser does not keep that. Sign in at {address}"
    ));
    for (width, dark) in WAYS {
        browser.size(width, 800);
        browser.dark(dark);
        assert_eq!(findings(&browser, &axe, "sign in"), Vec::<String>::new(), "{width}, dark: {dark}");
    }
}
