//! Projects are apart: a link lists its own project alone, and what belongs to one project is not found by way of another, whoever asks.

use image::ImageFormat;
use mudi_tests::patience::until;
use mudi_tests::served::Client;
use serde_json::{Value, json};

use super::access::{Ids, table};
use super::studio::{Studio, encoded, mask, text};

/// What a project holds.
const LISTS: [&str; 8] = ["subjects", "photos", "recipes", "layouts", "runs", "images", "jobs", "links"];

/// Waits until a link has expired, and with it the session that it has opened.
pub(crate) fn until_signed_out(client: &Client) {
    let status = || client.get("/api/projects").status;
    until(|| "the link does not expire".to_owned(), || Some(status()).filter(|status| *status == 401));
}

/// Whoever guesses links is stopped, also from many addresses of one network; others are not.
pub(crate) fn who_guesses_is_stopped(client: &Client) {
    let asked = |address: &str| {
        let client = client.with("x-forwarded-for", address);
        client.json("POST", "/api/session", &json!({ "link": "guess" }))
    };
    let guess = |address: &str| asked(address).status;
    assert!((0..12).any(|_| guess("203.0.113.9") == 429));
    assert!((1..13).any(|number| guess(&format!("2001:db8::{number}")) == 429));
    // Programs read when they may ask again, and how one signs in.
    assert_eq!(asked("203.0.113.9").header("retry-after"), "60");
    let wrong = asked("198.51.100.7");
    wrong.problem(401, "wrong_secret");
    assert!(wrong.header("www-authenticate").contains("mudi_session"));
}

/// Each caller's list of projects has those that are theirs: none, that of the link, or all.
pub(crate) fn lists_are_of_the_callers_own(callers: &[(&str, &str, Client)], own: &Studio, other: &Studio) {
    for (name, level, client) in callers {
        let expected = match *level {
            "nobody" => {
                client.get("/api/projects").problem(401, "sign_in");
                continue;
            }
            "stranger" => vec![&other.id],
            "owner" => vec![&own.id, &other.id],
            _ => vec![&own.id],
        };
        let listed = client.get("/api/projects").value();
        let listed: Vec<String> = listed["items"]
            .as_array()
            .expect("projects")
            .iter()
            .map(|project| text(&project["id"]))
            .collect();
        // What the owner has made on the way, by every route that makes projects, comes after those.
        let compared = if *level == "owner" { listed.len().min(expected.len()) } else { listed.len() };
        assert_eq!(listed[..compared].iter().collect::<Vec<_>>(), expected, "{name}");
    }
}

/// A body that the route takes, so that nothing but the place of what it names can be wrong.
fn body(method: &str, path: &str) -> Option<Vec<u8>> {
    let layout = json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
    let document = |value: Value| json!({ "name": "taken", "value": value });
    let words = match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("PATCH", "{subject}") => json!({ "name": "olis green cat" }),
        ("PATCH", "{photo}") => json!({ "caption": "taken" }),
        ("PUT", "{recipe}") => document(json!({})),
        ("PUT", "{layout}") => document(layout),
        ("POST", "segment") => json!({ "points": [{ "x": 30, "y": 30, "on_subject": true }] }),
        ("PUT", "mask") => return Some(mask(1)),
        ("POST", "photos") => return Some(encoded(image::RgbImage::new(9, 9), ImageFormat::Png)),
        _ => return None,
    };
    Some(words.to_string().into_bytes())
}

/// Asks, as the owner and by way of the project `other`, for everything that is in `own`, by every route: nothing is found or changed.
pub(crate) fn nothing_is_found_by_way_of_another(ids: &Ids, own: &Studio, other: &Studio) {
    let held = || LISTS.map(|list| own.list(list));
    let before = held();
    let link = text(&own.list("links")[0]["id"]);
    let mut asked = 0;
    for [_, method, path] in table() {
        let Some(below) = path.strip_prefix("/api/projects/{project}/") else { continue };
        // Files of models have their digest for a name, and are everybody's.
        if !below.contains('{') || below.contains("{sha256}") {
            continue;
        }
        let mut place = ids.fill(&below.replace("{link}", &link));
        if (method, below) == ("POST", "subjects/{subject}/photos") {
            place += "?name=taken.png";
        }
        let mut client = other.client.with("content-type", "application/json");
        if below.ends_with("/mask") {
            let (name, value) =
                if method == "DELETE" { ("if-match", "\"any\"") } else { ("if-none-match", "*") };
            client = client.with(name, value);
        }
        let answer = client.send(method, &other.path(&place), body(method, path).as_deref());
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.shown());
        asked += 1;
    }
    assert!(asked > 30, "{asked}");
    let id = |list: &str| own.list(list)[0]["id"].clone();
    let picture = json!({ "run": id("runs"), "prompt": "olis", "steps": 1, "count": 1 });
    for (route, wish) in [("images", picture), ("evaluations", json!({ "images": [id("images")] }))] {
        other.client.json("POST", &other.path(route), &wish).problem(404, "missing");
    }
    assert_eq!(held(), before, "nothing has changed");
}
