//! What a job would fail of is refused before the job waits; and what was deleted while it waits is not made again.

use std::io::{Read, Write};
use std::net::TcpStream;

use image::{GrayImage, ImageFormat, Luma, RgbImage};
use mudi_tests::patience::until;
use mudi_tests::served::Server;
use serde_json::{Value, json};

use super::input::{files, zipped};
use super::studio::{Studio, encoded, mask, photo, text};

/// Puts a mask in the place of a photo's.
fn redraw(studio: &Studio, photo: &Value, bytes: &[u8]) {
    let path = studio.path(&format!("photos/{}/mask", text(&photo["id"])));
    let tag = studio.client.get(&path).header("etag").to_owned();
    studio.client.with("if-match", tag).send("PUT", &path, Some(bytes)).well();
}

#[test]
fn a_mask_that_covers_nothing_is_told_of_before_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let new = json!({ "name": "x", "base": "sdxl-tiny", "recipe": { "steps": 1 } });
    let refused = || studio.client.json("POST", &studio.path("runs"), &new).problem(409, "conflict");

    let second = studio.list("photos")[1].clone();
    redraw(&studio, &second, &encoded(GrayImage::new(64, 64), ImageFormat::Png));
    let fault = refused();
    assert!(fault.contains("\"1.png\"") && fault.contains("`a`") && fault.contains("nothing"), "{fault}");
    redraw(&studio, &second, &mask(1));

    // A speck is lost where the photo is made smaller.
    let huge = studio.upload("b", "huge.png", &encoded(RgbImage::new(4096, 64), ImageFormat::Png));
    let mut speck = GrayImage::new(4096, 64);
    speck.put_pixel(2000, 30, Luma([255]));
    studio.draw(&text(&huge["id"]), &encoded(speck, ImageFormat::Png));
    let fault = refused();
    assert!(fault.contains("\"huge.png\"") && fault.contains("`b`"), "{fault}");
    assert!(studio.list("runs").is_empty() && studio.list("jobs").is_empty());
    studio.client.delete(&studio.path(&format!("photos/{}", text(&huge["id"]))));
    let run = studio.train(1, &json!({}));
    studio.done(&run["job"]);
}

#[test]
fn layouts_and_targets_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    for route in ["runs", "forecast"] {
        let mut wish = json!({ "base": "sdxl-tiny", "recipe": { "steps": 1, "targets": ["to_q", "nope"] } });
        if route == "runs" {
            wish["name"] = json!("x");
        }
        let fault = studio.client.json("POST", &studio.path(route), &wish).problem(422, "refused");
        assert!(fault.contains("\"nope\"") && fault.contains("targets"), "{route}: {fault}");
        assert!(!fault.contains("--"), "the page has no flags: {fault}");
        wish["recipe"] = json!({ "steps": 1, "relative-sizes": "a=1,zzz=0.5" });
        let fault = studio.client.json("POST", &studio.path(route), &wish).problem(422, "refused");
        assert!(fault.contains("`zzz`") && fault.contains("a, b"), "{route}: {fault}");
        assert!(!fault.contains("--"), "the page has no flags: {fault}");
    }
    let run = studio.train(1, &json!({}));
    studio.done(&run["job"]);
    let wish = |placement: Value| {
        let layout = json!({ "version": 1, "subjects": [placement] });
        json!({
            "run": run["id"], "prompt": "olis brown bear", "steps": 1, "count": 1, "layout": { "fixed": layout },
        })
    };
    let place = |subject: &str, photo: u32| json!({ "subject": subject, "photo": photo, "x": 0.1, "y": 0.2, "width": 0.3 });
    for (placement, word) in
        [(place("zzz", 0), "`zzz`"), (place("a", 7), "photo 7"), (place("b", 2), "photo 2")]
    {
        let answer = studio.client.json("POST", &studio.path("images"), &wish(placement));
        let fault = answer.problem(422, "refused");
        assert!(fault.contains(word) && !fault.contains("--"), "{fault}");
    }
    let job = studio.post("images", &wish(place("b", 1)));
    studio.done(&job["id"]);
    // A picture has the proportions of its layout, unless others are asked for.
    let size = |wish: &Value| {
        let job = studio.post("images", wish);
        studio.done(&job["id"]);
        let image = studio.list(&format!("images?job={}", text(&job["id"]))).remove(0);
        [&image["width"], &image["height"]].map(|side| side.as_u64().expect("pixels"))
    };
    let mut wide = wish(place("b", 1));
    wide["layout"]["fixed"]["aspect"] = json!("2:1");
    let [width, height] = size(&wide);
    assert!(width > height, "{width} x {height}");
    wide["aspect"] = json!("2:3");
    let [width, height] = size(&wide);
    assert!(width < height, "{width} x {height}");
    wide["layout"] = json!("random");
    assert_eq!(size(&wide), [width, height]);
    wide["aspect"] = json!("7:1");
    let fault = studio.client.json("POST", &studio.path("images"), &wide);
    assert_eq!(fault.status, 422, "{}", fault.shown());
}

#[test]
fn a_random_layout_for_too_many_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    for (id, identifier) in
        ["c", "d", "e", "f", "g", "h", "i"].into_iter().zip(["ult", "amg", "lun", "kqo", "zwx", "vbk", "rrf"])
    {
        studio.post("subjects", &json!({ "id": id, "name": format!("{identifier} bear") }));
        let photo = studio.upload(id, "0.png", &photo(0, 0));
        studio.draw(&text(&photo["id"]), &mask(0));
    }
    let run = studio.train(1, &json!({ "method": "dreambooth" }));
    studio.done(&run["job"]);
    let wish = |prompt: &str| json!({ "run": run["id"], "prompt": prompt, "steps": 1, "count": 1, "layout": "random" });
    // A prompt that names nobody is about all nine.
    let fault = studio.client.json("POST", &studio.path("images"), &wish("a castle")).problem(422, "refused");
    assert!(fault.contains("at most 8") && fault.contains("about 9"), "{fault}");
    studio.done(&studio.post("images", &wish("ult bear and amg bear"))["id"]);
}

/// The canvas of a picture that the job made.
fn canvas_of(studio: &Studio, job: &Value) -> Vec<u8> {
    studio.done(&job["id"]);
    let image = studio.list(&format!("images?job={}", text(&job["id"]))).remove(0);
    assert_eq!(image["parameters"]["layout"]["subjects"][0]["photo"], 1, "pictures keep the number");
    studio.bytes(&format!("images/{}/canvas", text(&image["id"])))
}

#[test]
fn a_layout_names_the_same_photo_whatever_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let train = || {
        let run = studio.train(1, &json!({}));
        studio.done(&run["job"]);
        run
    };
    let wish = |run: &Value, photo: u32| {
        let placed = json!({ "subject": "a", "photo": photo, "x": 0.1, "y": 0.2, "width": 0.3 });
        json!({
            "run": run["id"], "prompt": "olis brown bear", "steps": 1, "count": 1,
            "layout": { "fixed": { "version": 1, "subjects": [placed] } },
        })
    };
    let numbers = || {
        let photos = studio.list("photos?subject=a");
        photos.iter().map(|photo| photo["number"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let before = train();
    let wanted = canvas_of(&studio, &studio.post("images", &wish(&before, 1)));
    let first = text(&studio.list("photos?subject=a")[0]["id"]);
    studio.client.delete(&studio.path(&format!("photos/{first}")));
    let third = studio.upload("a", "2.png", &photo(0, 2));
    studio.draw(&text(&third["id"]), &mask(2));
    assert_eq!(numbers(), [1, 2]);
    // Sent twice it is the same photo, and takes no number.
    assert_eq!(studio.upload("a", "2.png", &photo(0, 2))["number"], 2);
    let after = train();
    for run in [&before, &after] {
        assert_eq!(canvas_of(&studio, &studio.post("images", &wish(run, 1))), wanted);
    }
    for (run, photo) in [(&before, 2), (&after, 0)] {
        let fault =
            studio.client.json("POST", &studio.path("images"), &wish(run, photo)).problem(422, "refused");
        assert!(fault.contains(&format!("photo {photo}")) && fault.contains("trained"), "{fault}");
    }
    let copy = Studio { client: studio.client.clone(), id: text(&studio.post("copies", &Value::Null)["id"]) };
    let run = copy.list("runs").remove(0);
    assert_eq!(canvas_of(&copy, &copy.post("images", &wish(&run, 1))), wanted);
    assert_eq!(copy.upload("a", "3.png", &photo(0, 3))["number"], 3);
    // The last one's number is not given again either.
    studio.client.delete(&studio.path(&format!("photos/{}", text(&third["id"]))));
    assert_eq!(studio.upload("a", "3.png", &photo(0, 3))["number"], 3);
}

/// Lets a job of eight pictures make four, and pauses it.
fn paused_after_four(studio: &Studio, run: &Value) -> String {
    let wish = json!({
        "run": run["id"], "prompt": "olis brown bear and hta blue robot", "steps": 200, "count": 8,
        "layout": "random", "seed": 7,
    });
    let job = text(&studio.post("images", &wish)["id"]);
    let made = |page: &Value| page["items"].as_array().map_or(0, Vec::len);
    studio.client.until(&studio.path(&format!("images?job={job}")), |page| made(page) >= 4);
    studio.post(&format!("jobs/{job}/pause"), &Value::Null);
    let path = studio.path(&format!("jobs/{job}"));
    let paused = studio.client.until(&path, |job| job["state"] != "running");
    assert_eq!(paused["state"], "paused", "the job is long enough to be paused");
    assert_eq!(studio.list(&format!("images?job={job}")).len(), 4);
    job
}

/// Lets a job go on to its end; the numbers of the pictures that are there then.
fn numbers_after(studio: &Studio, job: &str) -> Vec<u64> {
    studio.post(&format!("jobs/{job}/resume"), &Value::Null);
    studio.done(&json!(job));
    let images = studio.list(&format!("images?job={job}"));
    images.iter().map(|image| image["number"].as_u64().expect("a number")).collect()
}

#[test]
fn pictures_that_were_deleted_are_not_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let run = studio.train(2, &json!({}));
    studio.done(&run["job"]);
    let delete = |job: &str, numbers: &[u64]| {
        for image in studio.list(&format!("images?job={job}")) {
            if image["number"].as_u64().is_some_and(|number| numbers.contains(&number)) {
                studio.client.delete(&studio.path(&format!("images/{}", text(&image["id"]))));
            }
        }
    };

    let some = paused_after_four(&studio, &run);
    delete(&some, &[1, 3]);
    let copy = Studio { client: studio.client.clone(), id: text(&studio.post("copies", &Value::Null)["id"]) };
    let jobs = copy.list("jobs");
    let copied = jobs.iter().find(|job| job["state"] == "paused").expect("the job of the copy");
    assert_eq!(numbers_after(&studio, &some), [0, 2, 4, 5, 6, 7]);
    assert_eq!(numbers_after(&copy, &text(&copied["id"])), [0, 2, 4, 5, 6, 7]);

    let all = paused_after_four(&studio, &run);
    delete(&all, &[0, 1, 2, 3]);
    assert_eq!(numbers_after(&studio, &all), [4, 5, 6, 7]);
}

#[test]
fn a_mask_of_a_data_set_comes_to_the_photo_that_is_there_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let studio = Studio::new(server.client());
    let send = |mask: Option<&[u8]>| {
        let mut line = json!({ "id": "a", "file_name": "a.png" });
        if mask.is_some() {
            line["mask_path"] = json!("m.png");
        }
        let text = format!("{}\n{line}", json!({ "id": { "a": "olis brown bear" } }));
        let photo = photo(0, 0);
        let mut files = vec![("metadata.jsonl", text.as_bytes()), ("a.png", photo.as_slice())];
        files.extend(mask.map(|mask| ("m.png", mask)));
        studio.client.send("POST", &studio.path("dataset"), Some(&zipped(&files))).well();
        studio.list("photos")[0]["mask"].clone()
    };
    assert!(send(None).is_null());
    let drawn = send(Some(&mask(0)));
    assert!(drawn.is_string());
    // One that is there stays, and the other one leaves no file.
    let before = files(&data);
    assert_eq!(send(Some(&mask(1))), drawn);
    assert_eq!(files(&data), before);
}

#[test]
fn an_upload_whose_subject_was_deleted_meanwhile_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let studio = Studio::new(server.client());
    studio.post("subjects", &json!({ "id": "a", "name": "olis brown bear" }));
    let bytes = photo(0, 0);
    let mut socket = TcpStream::connect(&server.address).expect("a connection");
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        studio.path("subjects/a/photos?name=a.png"),
        server.address,
        bytes.len()
    );
    socket.write_all(head.as_bytes()).expect("a head");
    socket.write_all(&bytes[..100]).expect("half a body");
    // It is being received once its file is there.
    until(|| "the upload has not begun".to_owned(), || (!files(&data).is_empty()).then_some(()));
    studio.client.delete(&studio.path("subjects/a"));
    socket.write_all(&bytes[100..]).expect("the rest");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(files(&data), Vec::<String>::new());
}

#[test]
fn methods_that_somebody_makes_up_are_counted_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    for method in ["MADEUP1", "MADEUP2"] {
        let mut socket = TcpStream::connect(&server.address).expect("a connection");
        let head = format!("{method} / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address);
        socket.write_all(head.as_bytes()).expect("a head");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }
    let metrics = String::from_utf8(server.client().get("/metrics").well().bytes).expect("text");
    assert!(!metrics.contains("MADEUP") && metrics.contains("method=\"other\""), "{metrics}");
}
