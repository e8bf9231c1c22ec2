//! What nobody vouches for: broken images, hostile archives, wrong requests, and two writers on one mask.

use std::io::{Cursor, Read, Write};
use std::net::TcpStream;

use image::{GrayImage, ImageFormat, RgbImage};
use mudi_tests::served::Server;
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::studio::{SUBJECTS, Studio, encoded, mask, photo, text};

/// A PNG whose header says that it has these sides; its pixels do not follow.
fn promised(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encoded(RgbImage::new(1, 1), ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// PNG's checksum (ISO 3309).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 },
        )
    })
}

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let whole = photo(0, 0);
    let jpeg = encoded(RgbImage::new(40, 40), ImageFormat::Jpeg);
    let webp = encoded(RgbImage::new(40, 40), ImageFormat::WebP);
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let damaged = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 8].copy_from_slice(&[0xff; 8]);
        bytes
    };
    vec![
        ("empty", Vec::new()),
        ("one byte", vec![0x89]),
        ("text", b"not an image".to_vec()),
        ("HTML", b"<html><script>alert(1)</script></html>".to_vec()),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec()),
        ("SVG of entities", b"<!DOCTYPE s [<!ENTITY a 'aaaa'>]><svg>&a;&a;</svg>".to_vec()),
        ("GIF", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec()),
        ("BMP", b"BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00".to_vec()),
        ("TIFF", b"II*\x00\x08\x00\x00\x00".to_vec()),
        ("PDF", b"%PDF-1.7\n".to_vec()),
        ("program", b"\x7fELF\x02\x01\x01\x00".to_vec()),
        ("zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("PNG's signature", whole[..8].to_vec()),
        ("half a PNG", half(&whole)),
        ("half a JPEG", half(&jpeg)),
        ("half a WebP", half(&webp)),
        ("PNG with a damaged header", damaged(&whole, 16)),
        ("PNG with damaged pixels", damaged(&whole, whole.len() / 2)),
        ("JPEG with a damaged table", damaged(&jpeg, 30)),
        ("WebP with a damaged header", damaged(&webp, 12)),
        ("PNG without pixels", promised(0, 0)),
        ("PNG of 4 billion pixels", promised(65_536, 65_536)),
        ("PNG of 2^62 pixels", promised(0x7fff_ffff, 0x7fff_ffff)),
        ("PNG that breaks its promise", promised(9000, 9000)),
        ("zeros", vec![0; 1 << 20]),
    ]
}

#[test]
fn broken_images_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--upload-limit", "2"]);
    let studio = Studio::full(server.client());
    let id = text(&studio.list("photos")[0]["id"]);
    let before = files(&data);
    let upload = studio.path("subjects/a/photos?name=x.png");
    let drawn = studio.path(&format!("photos/{id}/mask"));
    let tag = studio.client.get(&drawn).header("etag").to_owned();
    for (name, bytes) in hostile() {
        for (method, path) in [("POST", &upload), ("PUT", &drawn)] {
            let answer = studio.client.with("if-match", &tag).send(method, path, Some(&bytes));
            assert_eq!(answer.status, 422, "{name}: {}", answer.shown());
            let detail = answer.problem(422, "bad_file");
            assert!(!detail.contains("/tmp") && !detail.is_empty(), "{name}: {detail}");
        }
    }
    studio.client.send("POST", &upload, Some(&vec![0; 3 << 20])).problem(413, "too_large");
    let small = encoded(GrayImage::new(5, 5), ImageFormat::Png);
    let detail =
        studio.client.with("if-match", &tag).send("PUT", &drawn, Some(&small)).problem(422, "bad_file");
    assert!(detail.contains("5x5") && detail.contains("64x64"), "{detail}");
    assert_eq!(files(&data), before, "nothing is left behind");
    assert_eq!(studio.list("photos").len(), 4);
}

/// The names of all files of projects, and of those that are being uploaded.
pub(crate) fn files(data: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![data.join("projects"), data.join("incoming")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// A zip of these files.
pub(crate) fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in files {
        zip.start_file(*name, options).expect("a file in a zip");
        zip.write_all(bytes).expect("a zip in memory");
    }
    zip.finish().expect("a zip in memory").into_inner()
}

#[test]
fn a_data_set_goes_in_and_out_and_no_archive_gets_further() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--archive-limit", "8"]);
    let first = Studio::full(server.client());
    let packed = first.bytes("dataset");
    let second = Studio::new(server.client());
    let path = second.path("dataset");
    let added = second.client.send("POST", &path, Some(&packed)).value();
    assert_eq!(added["items"].as_array().map(Vec::len), Some(4));
    let known = |studio: &Studio| {
        let photo = |photo: &serde_json::Value| {
            ["subject", "caption", "mask", "bounds"].map(|field| photo[field].clone())
        };
        studio.list("photos").iter().map(photo).collect::<Vec<_>>()
    };
    assert_eq!(known(&second), known(&first));
    assert_eq!(second.list("subjects"), first.list("subjects"));
    // Once more adds nothing.
    second.client.send("POST", &path, Some(&packed)).well();
    assert_eq!(second.list("photos").len(), 4);
    // What a project gave comes back to it as what it is: of a JPEG other bytes are kept than were sent.
    let round = Studio::new(server.client());
    round.post("subjects", &json!({ "id": "a", "name": SUBJECTS[0].1 }));
    let bear = image::load_from_memory(&photo(0, 0)).expect("a photo").to_rgb8();
    let sent = round.upload("a", "a.jpg", &encoded(bear, ImageFormat::Jpeg));
    let again = round.client.send("POST", &round.path("dataset"), Some(&round.bytes("dataset"))).value();
    assert_eq!((&again["items"][0]["id"], round.list("photos").len()), (&sent["id"], 1));

    let before = files(&data);
    let line = |file: &str| {
        format!(
            "{{\"id\": {{\"a\": \"{}\"}}}}\n{{\"id\": \"a\", \"file_name\": \"{file}\"}}\n",
            SUBJECTS[0].1
        )
    };
    let (bear, text) = (photo(0, 0), line("a.png"));
    let zeros = vec![0; 40 << 20];
    let slip = line("../../a.png");
    let root = line("/etc/passwd");
    let missing = line("none.png");
    let stranger = text.replace("brown bear", "green bear");
    let cases: [(&str, Vec<u8>, u16); 10] = [
        ("no zip", b"PK\x03\x04 something".to_vec(), 422),
        ("half a zip", packed[..packed.len() / 2].to_vec(), 422),
        ("no metadata", zipped(&[("a.png", &bear)]), 422),
        (
            "two data sets",
            zipped(&[("x/metadata.jsonl", text.as_bytes()), ("y/metadata.jsonl", text.as_bytes())]),
            422,
        ),
        ("a path upwards", zipped(&[("metadata.jsonl", slip.as_bytes()), ("../../a.png", &bear)]), 422),
        ("a path from the root", zipped(&[("metadata.jsonl", root.as_bytes()), ("/etc/passwd", &bear)]), 422),
        ("a file that is not there", zipped(&[("metadata.jsonl", missing.as_bytes())]), 422),
        ("metadata that is no text", zipped(&[("metadata.jsonl", &[0xff, 0xfe])]), 422),
        ("a bomb", zipped(&[("metadata.jsonl", text.as_bytes()), ("a.png", &zeros)]), 413),
        ("another name", zipped(&[("metadata.jsonl", stranger.as_bytes()), ("a.png", &bear)]), 409),
    ];
    for (name, bytes, status) in cases {
        let answer = second.client.send("POST", &path, Some(&bytes));
        assert_eq!(answer.status, status, "{name}: {}", answer.shown());
    }
    let large = vec![0; 9 << 20];
    second.client.send("POST", &path, Some(&large)).problem(413, "too_large");
    assert_eq!(files(&data), before, "nothing is left behind");
    // What the zip names and has not is told before anything is added.
    let third = Studio::new(server.client());
    let two = format!("{text}{{\"id\": \"a\", \"file_name\": \"none.png\"}}\n");
    let half = zipped(&[("metadata.jsonl", two.as_bytes()), ("a.png", &bear)]);
    let fault = third.client.send("POST", &third.path("dataset"), Some(&half)).problem(422, "bad_file");
    assert!(fault.contains("none.png"), "{fault}");
    assert!(third.list("subjects").is_empty() && third.list("photos").is_empty());
    // A folder in the zip is as good as its files.
    second
        .client
        .send("POST", &path, Some(&zipped(&[("x/metadata.jsonl", text.as_bytes()), ("x/a.png", &bear)])))
        .well();
}

#[test]
fn of_two_writers_on_a_mask_the_second_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let path = studio.path(&format!("photos/{}/mask", text(&studio.list("photos")[0]["id"])));
    let client = &studio.client;
    client.send("PUT", &path, Some(&mask(1))).problem(428, "precondition_required");
    client.with("if-none-match", "*").send("PUT", &path, Some(&mask(1))).problem(412, "stale");
    let tag = client.get(&path).header("etag").to_owned();

    // Both have read the same mask, and draw at the same time: one is kept, seven are told.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let write = |number: u32| {
            let client = client.with("if-match", &tag);
            let path = &path;
            scope.spawn(move || client.send("PUT", path, Some(&mask(number + 1))).status)
        };
        let writers: Vec<_> = (0..8).map(write).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 204 | 412)), "{statuses:?} {}", server.log());
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    let kept = client.get(&path).well();
    let winner = statuses.iter().position(|status| *status == 204).expect("a winner");
    let pixels = |bytes: &[u8]| image::load_from_memory(bytes).expect("a mask").to_luma8();
    assert_eq!(pixels(&kept.bytes), pixels(&mask(winner as u32 + 1)));

    // Known bytes are not sent again, and parts can be asked for.
    let tag = kept.header("etag").to_owned();
    assert_eq!(client.with("if-none-match", &tag).get(&path).status, 304);
    let part = client.with("range", "bytes=1-3").get(&path);
    assert_eq!((part.status, part.bytes.as_slice()), (206, &kept.bytes[1..4]));
    let beyond = client.with("range", "bytes=999999-").get(&path);
    beyond.problem(416, "range");
    let head = client.with("range", "bytes=1-3").send("HEAD", &path, None);
    assert_eq!((head.status, head.header("content-length")), (200, kept.bytes.len().to_string().as_str()));
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", kept.bytes.len()));
    client.with("if-match", "\"other\"").send("DELETE", &path, None).problem(412, "stale");
    client.with("if-match", &tag).send("DELETE", &path, None).well();
    client.get(&path).problem(404, "missing");
    // Proxies that compress make a weak tag of one; versions are told by it all the same.
    let subject = studio.path("subjects/a");
    let rename = |tag: &str, name: &str| {
        client.with("if-match", tag).json("PATCH", &subject, &json!({ "name": name }))
    };
    rename("W/\"1\"", "olis red bear").well();
    rename("W/\"1\"", "olis grey bear").problem(412, "stale");
    rename("W/1", "olis grey bear").problem(400, "invalid");
    // Without a mask there is no training.
    let new = json!({ "name": "x", "base": "sdxl-tiny" });
    let detail = client.json("POST", &studio.path("runs"), &new).problem(409, "conflict");
    assert!(detail.contains("mask"), "{detail}");
}

#[test]
fn a_photo_moves_to_another_subject_with_all_that_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let client = &studio.client;
    let moved = studio.list("photos?subject=a")[0].clone();
    let path = studio.path(&format!("photos/{}", text(&moved["id"])));
    let to = |subject: &str| client.json("PATCH", &path, &json!({ "subject": subject }));
    client.json("PATCH", &path, &json!({ "caption": "a bear" })).well();
    to("nobody").problem(404, "missing");
    let wish = json!({ "subject": "b" });
    client.with("if-match", "\"1\"").json("PATCH", &path, &wish).problem(412, "stale");
    let there = to("b").value();
    assert_eq!(
        (&there["subject"], &there["number"], &there["caption"], &there["mask"], &there["version"]),
        (&json!("b"), &json!(2), &json!("a bear"), &moved["mask"], &json!(3))
    );
    assert_eq!(studio.list("photos?subject=b").len(), 3);
    // Its number is given to no other, and where it comes back it is another one.
    studio.upload("a", "third.png", &encoded(RgbImage::new(9, 9), ImageFormat::Png));
    assert_eq!(studio.list("photos?subject=a")[1]["number"], 2);
    assert_eq!(to("a").value()["number"], 3);
    // The photo of the same file is there already; nothing of it changes.
    studio.upload("b", "same.png", &photo(0, 0));
    let detail = to("b").problem(409, "conflict");
    assert!(detail.contains("already"), "{detail}");
    assert_eq!(client.get(&path).value()["subject"], "a");
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let client = &studio.client;
    client.get("/api/nothing").problem(404, "missing");
    client.send("PATCH", "/healthz", Some(b"")).problem(405, "method");
    client.get("/api/projects/x").problem(404, "missing");
    client.get(&studio.path("photos?limit=0")).problem(400, "invalid");
    client.get(&studio.path("photos?colour=red")).problem(400, "invalid");
    // What the description calls too large is too large.
    let run = "01890000-0000-7000-8000-000000000000";
    client.get(&studio.path(&format!("runs/{run}/metrics?after={}", 1_u64 << 63))).problem(400, "invalid");
    client.get(&studio.path(&format!("runs/{run}/metrics?after={}", i64::MIN))).problem(404, "missing");
    let images = studio.path("images");
    let runs = studio.path("runs");
    for (path, body, word) in [
        ("/api/projects", json!({ "name": " " }), "name"),
        ("/api/projects", json!({ "name": "x".repeat(201) }), "200"),
        ("/api/projects", json!({ "name": "x", "colour": "red" }), "colour"),
        (&studio.path("subjects"), json!({ "id": "c", "name": "bear" }), "bear"),
        (&studio.path("subjects"), json!({ "id": "../c", "name": "ult bear" }), "../c"),
        (&studio.path("links"), json!({ "access": "owner" }), "editor"),
        (&studio.path("links"), json!({ "access": "viewer", "expires": 1 }), "past"),
        (&runs, json!({ "name": "x", "base": "../sdxl-tiny" }), "sdxl-tiny"),
        (&runs, json!({ "name": "x", "base": "sdxl-tiny", "recipe": { "steps": 0 } }), "steps"),
        (&runs, json!({ "name": "x", "base": "sdxl-tiny", "recipe": { "stepz": 1 } }), "stepz"),
        (&images, json!({ "prompt": "x" }), "base"),
        (&images, json!({ "base": "sdxl-tiny", "prompt": "" }), "prompt"),
        (&images, json!({ "base": "sdxl-tiny", "prompt": "x", "steps": 1001 }), "steps"),
        (&images, json!({ "base": "sdxl-tiny", "prompt": "x", "sampler": "magic" }), "euler"),
        (&images, json!({ "base": "sdxl-tiny", "prompt": "x", "guidance": 1e9 }), "guidance"),
        (
            &images,
            json!({ "base": "sdxl-tiny", "prompt": "x", "sampler": "ddim", "karras": true }),
            "dpmpp-2m",
        ),
    ] {
        let detail = client.json("POST", path, &body).problem(422, "refused");
        assert!(detail.contains(word), "{body}: {detail}");
    }
    client
        .json("POST", &studio.path("subjects"), &json!({ "id": "a", "name": "ult bear" }))
        .problem(409, "conflict");
    client
        .json("POST", &studio.path("subjects"), &json!({ "id": "c", "name": SUBJECTS[0].1 }))
        .problem(409, "conflict");
    let huge = json!({ "name": "x".repeat(2 << 20) });
    // The answer comes before all is sent, and reaches a client that is still sending.
    client.json("POST", "/api/projects", &huge).problem(413, "too_large");
    assert_eq!(client.get("/api/projects").value()["items"].as_array().map(Vec::len), Some(1));
}

/// A connection that is closed while its client still sends is reset, and the answer that says why may be lost with it.
#[test]
fn who_is_refused_may_send_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--upload-limit", "1"]);
    let studio = Studio::full(server.client());
    // More than the system holds on the way.
    let (piece, pieces) = (vec![0; 64 << 10], 512);
    let whole = format!("content-length: {}", piece.len() * pieces);
    let in_chunks = [b"10000\r\n".as_slice(), &piece, b"\r\n"].concat();
    for (subject, status, length, piece) in [
        ("a", "413", whole.as_str(), &piece),
        ("a", "413", "transfer-encoding: chunked", &in_chunks),
        ("none", "404", &whole, &piece),
    ] {
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        let path = studio.path(&format!("subjects/{subject}/photos?name=large.png"));
        let head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\n{length}\r\n\r\n", server.address);
        stream.write_all(head.as_bytes()).expect("a head");
        (0..pieces).for_each(|_| stream.write_all(piece).expect("all of it is taken"));
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("an answer");
        assert_eq!(start.as_slice(), format!("HTTP/1.1 {status}").as_bytes());
    }
}
