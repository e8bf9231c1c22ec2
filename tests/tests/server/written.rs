//! What is written down about the server: the API's description, and the table of settings.

use std::path::Path;

use mudi_domain::api::{Access, JobKind, JobState};
use serde_json::{Value, json};

/// The committed description is that of the program, so that a change of the API shows in its review.
#[test]
fn the_committed_description_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let committed: Value = serde_json::from_str(&text).expect("JSON");
    let current = serde_json::to_value(mudi::server::openapi()).expect("JSON");
    assert!(
        committed == current,
        "the API has changed; look at the change, then: cargo run -- serve --openapi > docs/openapi.json"
    );
}

/// Every operation says what it needs, what it answers, and how it fails.
#[test]
fn every_operation_is_described() {
    let document = serde_json::to_value(mudi::server::openapi()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let words = operation["summary"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{method} {path} has no summary");
            let scope = operation["security"][0]["session"][0].as_str();
            assert!(scope.is_some(), "{method} {path} does not say whose it is");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.contains_key("default"), "{method} {path}");
            for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let known = operation["parameters"].as_array().is_some_and(|parameters| {
                    parameters.iter().any(|known| known["in"] == "path" && known["name"] == name)
                });
                assert!(known, "{method} {path} does not describe {name}");
            }
        }
    }
}

/// Words are described as they are sent.
#[test]
fn words_are_those_of_the_answers() {
    let document = serde_json::to_value(mudi::server::openapi()).expect("JSON");
    let described = |name: &str| document["components"]["schemas"][name]["enum"].clone();
    assert_eq!(described("JobState"), json!(JobState::ALL));
    assert_eq!(described("JobKind"), json!(JobKind::ALL));
    let access = [Access::Nobody, Access::Viewer, Access::Player, Access::Editor, Access::Owner];
    assert_eq!(described("Access"), json!(access));
}

/// Files are described as bytes, with the headers by which browsers ask for less of them.
#[test]
fn files_are_described_as_bytes() {
    let document = serde_json::to_value(mudi::server::openapi()).expect("JSON");
    let operations = document["paths"].as_object().expect("paths").iter().flat_map(|(path, item)| {
        let operations = item.as_object().expect("operations").iter();
        operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    let mut files = 0;
    for (name, operation) in operations {
        let responses = operation["responses"].as_object().expect("responses");
        let bodies = responses.values().map(|response| &response["content"]);
        for (kind, body) in bodies
            .chain([&operation["requestBody"]["content"]])
            .flat_map(|content| content.as_object().into_iter().flatten())
        {
            let is_text = kind.ends_with("json") || kind.ends_with("text") || kind.starts_with("text/");
            if !is_text {
                assert_eq!(body["schema"]["$ref"], "#/components/schemas/Octets", "{name}, {kind}");
                files += 1;
            }
        }
        let takes = |header: &str| {
            operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|known| known["in"] == "header" && known["name"] == header))
        };
        for (status, header) in [("304", "If-None-Match"), ("206", "Range"), ("206", "If-Range")] {
            assert!(!responses.contains_key(status) || takes(header), "{name}, {header}");
        }
        if let Some(part) = responses.get("206") {
            assert_eq!(part["content"], responses["200"]["content"], "{name}");
        }
    }
    assert!(files > 20, "{files}");
}

/// The page for whoever hosts the server has the table of settings as the program has it.
#[test]
fn the_table_of_settings_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/self-hosting.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for setting in mudi::server::SETTINGS {
        let default =
            if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
        let row = format!("| `{}` | `{}` | {default} | {} |", setting.name, setting.env(), setting.help);
        assert!(page.lines().any(|line| line == row), "docs/self-hosting.md needs this row:\n{row}");
    }
}
