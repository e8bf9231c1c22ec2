//! Pulling models from a hub that answers well, badly, or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use mudi_tests::workshop::{Workshop, json, ok, refused};
use sha2::{Digest, Sha256};

/// What a hub does when it is asked for the weights.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    /// Answers with this status.
    Status(u16),
    /// Hangs up after half of the bytes, each time.
    Half,
    /// Hangs up after half of the bytes, once.
    HalfOnce,
    /// Sends everything, whatever part was asked for.
    Whole,
    /// Sends other bytes.
    Wrong,
}

/// A hub on this machine with one repository; stops with the test's process.
struct Hub {
    address: String,
    /// What it was asked: path, range, token.
    asked: Arc<Mutex<Vec<[String; 3]>>>,
}

const WEIGHTS: usize = 300_000;

fn weights() -> Vec<u8> {
    (0..WEIGHTS).map(|index| (index % 251) as u8).collect()
}

fn hub(mood: Mood) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked: Arc<Mutex<Vec<[String; 3]>>> = Arc::default();
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up is its own business.
            let _ = answer(stream, mood, &log);
        }
    });
    Hub { address, asked }
}

fn answer(mut stream: TcpStream, mood: Mood, log: &Mutex<Vec<[String; 3]>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut token) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "range" => range = value.trim().to_owned(),
            "authorization" => token = value.trim().to_owned(),
            _ => {}
        }
    }
    let before = {
        let mut log = log.lock().expect("nobody panics");
        let before = log.iter().filter(|asked| asked[0] == path).count();
        log.push([path.clone(), range.clone(), token]);
        before
    };
    let mut send = |status: u16, body: &[u8], length: usize| {
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()
    };
    if path.starts_with("/api/models/") {
        let digest: String = Sha256::digest(weights()).iter().map(|byte| format!("{byte:02x}")).collect();
        let list = serde_json::json!([
            {"type": "directory", "path": "x", "size": 0},
            {"type": "file", "path": "config.json", "size": 2},
            {"type": "file", "path": "pytorch_model.bin", "size": 9},
            {"type": "file", "path": "model.safetensors", "size": 130, "lfs": {"oid": digest, "size": WEIGHTS}},
        ]);
        let list = list.to_string();
        return send(200, list.as_bytes(), list.len());
    }
    if path.ends_with("config.json") {
        return send(206, b"{}", 2);
    }
    let all = weights();
    let asked = range.trim_start_matches("bytes=").split_once('-');
    let (from, to) = asked.map_or((0, WEIGHTS - 1), |(from, to)| {
        (from.parse().unwrap_or(0), to.parse().unwrap_or(WEIGHTS - 1))
    });
    let part = &all[from.min(WEIGHTS)..(to + 1).min(WEIGHTS)];
    match mood {
        Mood::Status(status) => send(status, b"no", 2),
        Mood::Half => send(206, &part[..part.len() / 2], part.len()),
        Mood::HalfOnce if before == 0 => send(206, &part[..part.len() / 2], part.len()),
        Mood::Whole => send(200, &all, all.len()),
        Mood::Wrong => send(206, &vec![1; part.len()], part.len()),
        Mood::Well | Mood::HalfOnce => send(206, part, part.len()),
    }
}

/// Arguments of a pull from a hub into the workshop's `models`.
fn pull(shop: &Workshop, address: &str, name: &str) -> Vec<String> {
    ["models", "pull", name, "--mirror", address, "--models", &shop.path("models"), "--quiet"]
        .map(str::to_owned)
        .to_vec()
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_model_is_pulled_listed_verified_and_removed() {
    for mood in [Mood::Well, Mood::HalfOnce, Mood::Whole] {
        let shop = Workshop::new();
        let hub = hub(mood);
        let models = shop.path("models");
        let pulled = json(&borrowed(&pull(&shop, &hub.address, "somebody/dinov2")));
        assert_eq!(pulled["folder"], format!("{models}/dinov2"));
        assert_eq!(shop.bytes("models/dinov2/model.safetensors"), weights());
        assert!(!Path::new(&format!("{models}/dinov2/pytorch_model.bin")).exists(), "pickles are not pulled");
        let listed = json(&["models", "list", "--models", &models]);
        assert_eq!(listed["models"][0]["name"], "dinov2");
        assert_eq!(listed["models"][0]["repositories"][0], "somebody/dinov2");
        let verify = ["models", "verify", "dinov2", "--models", &models];
        assert_eq!(json(&verify)["files"], 2);
        // Never over what is there.
        refused(
            &borrowed(&pull(&shop, &hub.address, "somebody/dinov2")),
            &["dinov2", "exists already", "remove"],
        );
        if mood == Mood::HalfOnce {
            let asked = hub.asked.lock().expect("nobody panics");
            let parts: Vec<&str> = asked
                .iter()
                .filter(|asked| asked[0].ends_with("model.safetensors"))
                .map(|asked| asked[1].as_str())
                .collect();
            assert_eq!(parts, ["bytes=0-299999", "bytes=150000-299999"], "it goes on where it stopped");
        }
        let path = format!("{models}/dinov2/model.safetensors");
        let mut bytes = weights();
        bytes[7] ^= 1;
        std::fs::write(&path, &bytes).expect("write");
        refused(&verify, &["model.safetensors", "SHA-256"]);
        std::fs::write(&path, &bytes[..100]).expect("write");
        refused(&verify, &["model.safetensors", "100 bytes", "300000"]);
        ok(&["models", "remove", "dinov2", "--models", &models]);
        assert!(!Path::new(&format!("{models}/dinov2")).exists());
    }
}

#[test]
fn a_hub_that_does_not_answer_well_leaves_no_model() {
    for (mood, words) in [
        (Mood::Status(401), &["401", "MUDI_HUB_TOKEN", "licence"][..]),
        (Mood::Status(403), &["403", "MUDI_HUB_TOKEN"]),
        (Mood::Status(404), &["not there", "--mirror"]),
        (Mood::Status(503), &["503", "try again"]),
        (Mood::Half, &["the hub failed", "try again"]),
        (Mood::Wrong, &["model.safetensors", "SHA-256", "pull the model again"]),
    ] {
        let shop = Workshop::new();
        let hub = hub(mood);
        refused(&borrowed(&pull(&shop, &hub.address, "somebody/dinov2")), words);
        assert!(!Path::new(&shop.path("models/dinov2")).exists());
        let listed = json(&["models", "list", "--models", &shop.path("models")]);
        assert_eq!(listed["models"].as_array().map(Vec::len), Some(0), "half a model is none");
    }
    let shop = Workshop::new();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    refused(&borrowed(&pull(&shop, &format!("http://{nobody}"), "sam")), &["cannot be reached", "--mirror"]);
    refused(&borrowed(&pull(&shop, "http://127.0.0.1:1", "nothing")), &["nothing", "sdxl", "OWNER/NAME"]);
    refused(&borrowed(&pull(&shop, "http://127.0.0.1:1", "../../etc")), &["no model"]);
    refused(&["models", "remove", "..", "--models", &shop.path("models")], &["no model's name"]);
}

#[test]
fn an_interrupted_pull_goes_on_and_a_token_is_sent() {
    let shop = Workshop::new();
    let failing = hub(Mood::Half);
    refused(&borrowed(&pull(&shop, &failing.address, "somebody/dinov2")), &["try again"]);
    let there = shop.bytes("models/dinov2.part/model.safetensors.part").len();
    assert!(there > 0 && there < WEIGHTS);
    let working = hub(Mood::Well);
    let token = shop.path("token");
    std::fs::write(&token, "secret\n").expect("write");
    let again = pull(&shop, &working.address, "somebody/dinov2");
    ok(&[&borrowed(&again)[..], &["--token-file", &token]].concat());
    assert_eq!(shop.bytes("models/dinov2/model.safetensors"), weights());
    let asked = working.asked.lock().expect("nobody panics");
    assert!(asked.iter().all(|asked| asked[2] == "Bearer secret"));
    let parts: Vec<&String> =
        asked.iter().filter(|asked| asked[0].ends_with("model.safetensors")).map(|asked| &asked[1]).collect();
    assert_eq!(parts, [&format!("bytes={there}-299999")]);
}
