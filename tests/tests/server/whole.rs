//! A whole project as one file, and as a copy.

use std::io::{Cursor, Read};

use mudi_tests::served::{Client, Server};
use serde_json::{Value, json};
use zip::ZipArchive;

use super::input::zipped;
use super::studio::{Studio, photo, text};

/// The files of a zip.
fn unzipped(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    let mut read = |index| {
        let mut file = zip.by_index(index).expect("a file of the zip");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("its bytes");
        (file.name().expect("a name").to_string(), bytes)
    };
    (0..ZipArchive::new(Cursor::new(bytes)).expect("a zip").len()).map(&mut read).collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    zipped(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

fn import(client: &Client, archive: &[u8]) -> Studio {
    let project = client.send("POST", "/api/projects/import", Some(archive)).value();
    Studio { client: client.clone(), id: text(&project["id"]) }
}

/// The items of a list, without what a copy has of its own.
fn alike(studio: &Studio, list: &str) -> Vec<Value> {
    let mut items = studio.list(list);
    for item in &mut items {
        let item = item.as_object_mut().expect("an object");
        for own in ["id", "job", "run", "version", "heartbeat", "started", "position", "seconds_left"] {
            item.remove(own);
        }
    }
    items
}

/// The place in `list` of what each item of `items` names by `field`, if it names any.
fn named(studio: &Studio, items: &str, field: &str, list: &str) -> Vec<Option<usize>> {
    let listed = studio.list(list);
    let place = |id: &Value| listed.iter().position(|item| item["id"] == *id);
    studio.list(items).iter().map(|item| item.get(field).map(|id| place(id).expect("it is there"))).collect()
}

/// Both projects have the same in them, to the byte.
fn same(one: &Studio, other: &Studio) {
    for list in ["subjects", "photos", "recipes", "layouts", "runs", "images", "jobs"] {
        assert_eq!(alike(one, list), alike(other, list), "{list}");
    }
    for (items, field, list) in [
        ("images", "run", "runs"),
        ("images", "job", "jobs"),
        ("runs", "job", "jobs"),
        ("jobs", "run", "runs"),
    ] {
        assert_eq!(named(one, items, field, list), named(other, items, field, list), "{field} of {items}");
    }
    for (list, files) in [
        ("photos", ["image", "thumbnail", "mask", "mask/thumbnail"].as_slice()),
        ("images", &["picture", "thumbnail", "canvas"]),
        ("runs", &["weights", "metrics"]),
    ] {
        for (first, second) in one.list(list).iter().zip(other.list(list)) {
            assert_ne!(first["id"], second["id"], "ids are new");
            for file in files {
                let path = |item: &Value| format!("{list}/{}/{file}", text(&item["id"]));
                assert_eq!(one.bytes(&path(first)), other.bytes(&path(&second)), "{list} {file}");
            }
        }
    }
}

#[test]
fn a_project_comes_back_from_its_file_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let studio = Studio::full(server.client());
    let run = studio.train(4, &json!({}));
    studio.done(&run["job"]);
    studio.done(&studio.generate(&text(&run["id"]), 2)["id"]);
    let layout = json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
    studio.post("layouts", &json!({ "name": "Left", "value": layout }));
    studio.post("recipes", &json!({ "name": "Quick", "value": { "steps": 10 } }));

    // What a file manager leaves is no part of it.
    let trained = data.join(format!("projects/{}/runs/{}/trained", studio.id, text(&run["id"])));
    std::fs::write(trained.join(".DS_Store"), "views").expect("a file");
    let archive = studio.bytes("archive");
    let copy = Studio { client: studio.client.clone(), id: text(&studio.post("copies", &Value::Null)["id"]) };
    same(&studio, &copy);
    assert_eq!(copy.client.get(&format!("/api/projects/{}", copy.id)).value()["name"], "Toys, copy");

    // On another server, where there is nothing else.
    let other = Server::start(&folder.path().join("other"), &[]);
    let moved = import(&other.client(), &archive);
    same(&studio, &moved);
    // Some browsers unpack what they have fetched; whoever packs it again has a folder around it, and on a Mac notes beside it.
    let again = unzipped(&archive).into_iter().map(|(name, bytes)| (format!("project.mudi/{name}"), bytes));
    let notes = ("__MACOSX/project.mudi/._project.json".to_owned(), b"notes".to_vec());
    same(&studio, &import(&other.client(), &packed(&again.chain([notes]).collect::<Vec<_>>())));
    studio.client.delete(&format!("/api/projects/{}", studio.id));
    same(&copy, &moved);

    // The weights that came along draw what they drew.
    let run = text(&moved.list("runs")[0]["id"]);
    moved.done(&moved.generate(&run, 2)["id"]);
    let images = moved.list("images");
    let picture = |image: &Value| moved.bytes(&format!("images/{}/picture", text(&image["id"])));
    assert_eq!(picture(&images[0]), picture(&images[2]));

    // The file tells nothing of the machine it comes from.
    let place = data.display().to_string();
    for (name, bytes) in unzipped(&archive) {
        let found = bytes.windows(place.len()).any(|window| window == place.as_bytes());
        assert!(!found && !name.contains(&place), "{name} names {place}");
    }
}

#[test]
fn training_goes_on_where_the_file_was_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let job = text(&studio.train(40, &json!({}))["job"]);
    let path = format!("jobs/{job}");
    studio.client.until(&studio.path(&path), |job| job["step"].as_u64() > Some(4));
    studio.post(&format!("{path}/pause"), &Value::Null);
    let paused = studio.client.until(&studio.path(&path), |job| job["state"] != "running");
    assert_eq!(paused["state"], "paused", "the run is long enough to be paused");

    let moved = import(&server.client(), &studio.bytes("archive"));
    for project in [&studio, &moved] {
        let job = project.list("jobs")[0]["id"].clone();
        project.post(&format!("jobs/{}/resume", text(&job)), &Value::Null);
        project.done(&job);
    }
    let weights =
        |project: &Studio| project.bytes(&format!("runs/{}/weights", text(&project.list("runs")[0]["id"])));
    assert_eq!(weights(&studio), weights(&moved), "neither knows that it was copied");
}

/// What is deleted meanwhile is packed as it was when the packing began.
#[test]
fn deleting_does_not_break_what_is_being_packed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let run = studio.train(2, &json!({}));
    studio.done(&run["job"]);
    let mut doomed = vec![studio.path(&format!("runs/{}", text(&run["id"])))];
    doomed.extend(
        studio.list("photos").iter().map(|photo| studio.path(&format!("photos/{}", text(&photo["id"])))),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| doomed.iter().for_each(|path| studio.client.delete(path)));
        for _ in 0..8 {
            let archive = studio.client.get(&studio.path("archive"));
            assert_eq!(archive.status, 200, "{}", archive.shown());
            let dataset = studio.client.get(&studio.path("dataset"));
            // In the end there is no photo any more.
            assert!([200, 409].contains(&dataset.status), "{}", dataset.shown());
        }
    });
    assert!(studio.list("photos").is_empty() && studio.list("runs").is_empty());
}

#[test]
fn a_file_that_is_not_right_makes_no_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let client = server.client();
    let studio = Studio::full(client.clone());
    let run = studio.train(2, &json!({}));
    studio.done(&run["job"]);
    let archive = studio.bytes("archive");
    let files = unzipped(&archive);
    let folders = || std::fs::read_dir(data.join("projects")).expect("a folder").count();
    let before = folders();

    let changed = |change: &dyn Fn(&mut Value)| {
        let mut files = files.clone();
        let manifest = files.iter_mut().find(|(name, _)| name == "project.json").expect("a manifest");
        let mut value = serde_json::from_slice(&manifest.1).expect("JSON");
        change(&mut value);
        manifest.1 = serde_json::to_vec(&value).expect("JSON");
        packed(&files)
    };
    let first = files.iter().position(|(name, _)| name.starts_with("files/")).expect("a file");
    let mut other_bytes = files.clone();
    other_bytes[first].1[60] ^= 1;
    let mut silent = files.clone();
    let start = silent.iter_mut().find(|(name, _)| name.ends_with("/run.json")).expect("a run's start");
    start.1 = b"{}".to_vec();
    let mut less = files.clone();
    less.remove(first);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no zip", b"PK\x03\x04 something".to_vec()),
        ("half a zip", archive[..archive.len() / 2].to_vec()),
        ("a data folder", studio.bytes("dataset")),
        ("other bytes", packed(&other_bytes)),
        ("a file less", packed(&less)),
        ("a newer program's", changed(&|value| value["version"] = json!(99))),
        ("another format", changed(&|value| value["format"] = json!("other"))),
        ("no name", changed(&|value| value["name"] = json!(" "))),
        ("a path upwards", changed(&|value| value["trained"][0]["path"] = json!("../../../mudi.sqlite"))),
        ("a path from the root", changed(&|value| value["trained"][0]["path"] = json!("/tmp/x"))),
        ("a file of nobody", changed(&|value| value["rows"]["photos"][0]["file"] = json!("../../lock"))),
        ("a job that runs", changed(&|value| value["rows"]["jobs"][0]["state"] = json!("running"))),
        (
            "an id twice",
            changed(&|value| {
                value["rows"]["photos"][1]["id"] = value["rows"]["photos"][0]["id"].clone();
            }),
        ),
        (
            "a photo twice",
            changed(&|value| {
                value["rows"]["photos"][1]["source"] = value["rows"]["photos"][0]["source"].clone();
            }),
        ),
        (
            "a subject that is not there",
            changed(&|value| {
                value["rows"]["photos"][0]["subject"] = json!("c");
            }),
        ),
        (
            "a subject without a class",
            changed(&|value| {
                value["rows"]["subjects"][0]["name"] = json!("olis");
            }),
        ),
        (
            "a run's subject without a class",
            changed(&|value| value["rows"]["run_photos"][0]["subject_name"] = json!("olis")),
        ),
        ("a recipe that is none", changed(&|value| value["rows"]["runs"][0]["recipe"] = json!("{}x"))),
        (
            "two subjects of one name",
            changed(&|value| {
                value["rows"]["subjects"][1]["name"] = value["rows"]["subjects"][0]["name"].clone();
            }),
        ),
        ("a photo of another size", changed(&|value| value["rows"]["photos"][0]["width"] = json!(65))),
        (
            "a file in a file",
            changed(&|value| {
                let mut file = value["trained"][0].clone();
                file["path"] = json!(format!("{}/x", text(&file["path"])));
                value["trained"].as_array_mut().expect("files").push(file);
            }),
        ),
        (
            "a run without its weights",
            changed(&|value| {
                let files = value["trained"].as_array_mut().expect("files");
                files.retain(|file| file["path"] != "pytorch_lora_weights.safetensors");
            }),
        ),
        ("a run that says nothing of itself", packed(&silent)),
        ("one number twice", changed(&|value| value["rows"]["photos"][1]["number"] = json!(0))),
        ("a number too large", changed(&|value| value["rows"]["photos"][1]["number"] = json!(u32::MAX))),
        ("a column more", changed(&|value| value["rows"]["photos"][0]["owner"] = json!(1))),
    ];
    for (case, bytes) in cases {
        let answer = client.send("POST", "/api/projects/import", Some(&bytes));
        let code = if case == "no name" { "refused" } else { "bad_file" };
        assert!(answer.problem(422, code).len() > 20, "{case}: {}", answer.shown());
        assert_eq!(folders(), before, "{case} left a folder");
    }
    // A newer program's rows may have more in them; what helps is said all the same.
    let newer = changed(&|value| {
        value["version"] = json!(99);
        value["rows"]["jobs"][0]["wish"] = json!(1);
    });
    let fault = client.send("POST", "/api/projects/import", Some(&newer)).problem(422, "bad_file");
    assert!(fault.contains("update it"), "{fault}");
    assert_eq!(client.get("/api/projects").value()["items"].as_array().map(Vec::len), Some(1));
    same(&studio, &import(&client, &archive));
    // In the first version jobs did not say how many pictures they had made.
    let first = changed(&|value| {
        value["version"] = json!(1);
        for job in value["rows"]["jobs"].as_array_mut().expect("jobs") {
            job.as_object_mut().expect("a job").remove("made").expect("a number");
        }
    });
    same(&studio, &import(&client, &first));
    // Until the third they counted photos, without saying their numbers.
    let second = changed(&|value| {
        value["version"] = json!(2);
        for (list, name) in [("photos", "number"), ("run_photos", "number"), ("subjects", "next_photo")] {
            for row in value["rows"][list].as_array_mut().expect("rows") {
                row.as_object_mut().expect("a row").remove(name).expect("a number");
            }
        }
    });
    let counted = import(&client, &second);
    same(&studio, &counted);
    let photos = counted.list("photos?subject=b");
    assert_eq!(photos.iter().map(|photo| photo["number"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(counted.upload("b", "2.png", &photo(1, 2))["number"], 2);
}
