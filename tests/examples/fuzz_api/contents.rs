//! What is in a project, to the byte.

use std::collections::BTreeMap;

use mudi_tests::served::{Client, text};
use serde_json::Value;

use crate::stage::items;

/// Lists, and the files of their items.
const LISTS: [(&str, &[&str]); 8] = [
    ("subjects", &[]),
    ("recipes", &[]),
    ("layouts", &[]),
    ("links", &[]),
    ("jobs", &[]),
    ("photos", &["image", "thumbnail", "mask", "mask/thumbnail"]),
    ("images", &["picture", "thumbnail", "canvas"]),
    ("runs", &["weights", "metrics", "samples", "seen"]),
];

/// Every list and every file of a project, by its path below the project's.
pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

/// What is in `project`, as the owner sees it. What is not there (a mask, the weights of a run that is paused) is left out.
///
/// # Panics
/// Where the server does not have what a list says that it has.
pub(crate) fn contents(client: &Client, project: &str) -> Contents {
    let path = format!("/api/projects/{project}");
    let mut found = Contents::new();
    for (list, files) in LISTS {
        let rows = items(client, &format!("{path}/{list}"));
        for row in &rows {
            let id = text(&row["id"]);
            for file in files.iter().filter(|file| is_there(list, row, file)) {
                let place = format!("{list}/{id}/{file}");
                found.insert(place.clone(), client.get(&format!("{path}/{place}")).well().bytes);
            }
        }
        found.insert(list.to_owned(), serde_json::to_vec(&rows).expect("JSON"));
    }
    found
}

/// Whether the item has the file.
fn is_there(list: &str, row: &Value, file: &str) -> bool {
    match (list, file) {
        ("photos", "mask" | "mask/thumbnail") => row["mask"].is_string(),
        ("images", "canvas") => row["canvas"] == true,
        ("runs", "weights") => row["state"] == "done",
        _ => true,
    }
}

/// What stands in `before` and is otherwise, or not at all, in `after`.
pub(crate) fn changed(before: &Contents, after: &Contents) -> Vec<String> {
    let differs = |place: &&String| before.get(*place) != after.get(*place);
    before
        .keys()
        .chain(after.keys().filter(|place| !before.contains_key(*place)))
        .filter(differs)
        .cloned()
        .collect()
}

/// Which files that nothing ever changes are others in `after` than in `before`; those that are gone were deleted.
pub(crate) fn broken(before: &Contents, after: &Contents) -> Vec<String> {
    let lasting = ["/image", "/picture", "/canvas", "/weights"];
    let differs = |(place, bytes): &(&String, &Vec<u8>)| {
        lasting.iter().any(|end| place.ends_with(end)) && after.get(*place).is_some_and(|now| now != *bytes)
    };
    before.iter().filter(differs).map(|(place, _)| place.clone()).collect()
}
