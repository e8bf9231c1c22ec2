//! Pulling models from a hub that answers well, badly, or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor as Value};
use mudi::vision::Embedder;
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors};
use mudi_tests::golden::fixture;
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

/// A hub on this machine with one repository, and with one archive of other hosts'; stops with the test's process.
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
    hub_with(mood, Vec::new())
}

fn hub_with(mood: Mood, archive: Vec<u8>) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked: Arc<Mutex<Vec<[String; 3]>>> = Arc::default();
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up is its own business.
            let _ = answer(stream, mood, &archive, &log);
        }
    });
    Hub { address, asked }
}

fn answer(
    mut stream: TcpStream,
    mood: Mood,
    archive: &[u8],
    log: &Mutex<Vec<[String; 3]>>,
) -> std::io::Result<()> {
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
    let all = if path.ends_with(".zip") { archive.to_vec() } else { weights() };
    // As a mirror that passes on what the hub says.
    let more = r#"<https://hub.invalid/api/models/some/paged/tree/main?recursive=true&cursor=2>; rel="next""#;
    let is_first = path.contains("paged") && path.ends_with("recursive=true");
    let link = if is_first { format!("link: {more}\r\n") } else { String::new() };
    let mut send = |status: u16, body: &[u8], length: usize| {
        let total = all.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\ncontent-range: bytes 0-0/{total}\r\n{link}connection: close\r\n\r\n"
        );
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
        // A base whose denoiser is a transformer.
        let other = serde_json::json!([
            {"type": "file", "path": "model_index.json", "size": 2},
            {"type": "file", "path": "transformer/model.safetensors", "size": 130},
            {"type": "file", "path": "vae/model.safetensors", "size": 130},
        ]);
        let list = match &path {
            path if path.contains("flux") => other,
            path if path.contains("paged") && is_first => serde_json::json!([list[1]]),
            path if path.contains("paged") => serde_json::json!([list[3]]),
            _ => list,
        };
        let list = list.to_string();
        return send(200, list.as_bytes(), list.len());
    }
    if path.ends_with("config.json") {
        return send(206, b"{}", 2);
    }
    let asked = range.trim_start_matches("bytes=").split_once('-');
    let (from, to) = asked.map_or((0, all.len() - 1), |(from, to)| {
        (from.parse().unwrap_or(0), to.parse().unwrap_or(all.len() - 1))
    });
    let part = &all[from.min(all.len())..(to + 1).min(all.len())];
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

/// Long lists of files come in pages.
#[test]
fn a_list_of_files_is_read_to_its_end() {
    let shop = Workshop::new();
    ok(&borrowed(&pull(&shop, &hub(Mood::Well).address, "some/paged")));
    assert_eq!(shop.bytes("models/paged/config.json"), b"{}");
    assert_eq!(shop.bytes("models/paged/model.safetensors"), weights());
}

#[test]
fn a_hub_that_does_not_answer_well_leaves_no_model() {
    let refuses = |(mood, words): (Mood, &[&str])| {
        let shop = Workshop::new();
        let hub = hub(mood);
        refused(&borrowed(&pull(&shop, &hub.address, "somebody/dinov2")), words);
        assert!(!Path::new(&shop.path("models/dinov2")).exists());
        let listed = json(&["models", "list", "--models", &shop.path("models")]);
        assert_eq!(listed["models"].as_array().map(Vec::len), Some(0), "half a model is none");
    };
    let cases: [(Mood, &[&str]); 6] = [
        (Mood::Status(401), &["401", "MUDI_HUB_TOKEN", "licence"]),
        (Mood::Status(403), &["403", "MUDI_HUB_TOKEN"]),
        (Mood::Status(404), &["not there", "--mirror"]),
        (Mood::Status(503), &["503", "try again"]),
        (Mood::Half, &["the hub failed", "try again"]),
        (Mood::Wrong, &["model.safetensors", "SHA-256", "pull the model again"]),
    ];
    // Side by side: some are tried again for seconds.
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || refuses(case));
        }
    });
    let shop = Workshop::new();
    let other = pull(&shop, &hub(Mood::Well).address, "somebody/flux");
    refused(&borrowed(&other), &["somebody/flux", "no denoiser", "SDXL"]);
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

/// DINO's weights as they lie in DreamSim's archive: below what DINO's training calls the teacher's, beside its head.
fn after_training(weights: &Path) -> Vec<u8> {
    let mut all = NamedTensors::new();
    for (name, value) in read_safetensors(weights).expect("the fixture") {
        all.insert(format!("backbone.{name}"), value);
    }
    let head = Value::new(&[0.5f32, 0.25], &Device::Cpu).expect("a tensor");
    all.insert("head.mlp.0.bias".to_owned(), head);
    to_safetensors(&all, None).expect("a file")
}

/// DreamSim as its authors pack it, from the fixture.
fn dreamsim_archive(without: &str) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, file) in [
        ("dino_vitb16_pretrain.pth", "dino_vitb16.safetensors"),
        ("clip_vitb16_pretrain.pth.tar", "clip_vitb16.safetensors"),
        ("open_clip_vitb16_pretrain.pth.tar", "open_clip_vitb16.safetensors"),
        ("ensemble_lora/adapter_config.json", "ensemble_lora/adapter_config.json"),
        ("ensemble_lora/adapter_model.bin", "ensemble_lora/adapter_model.safetensors"),
        ("config.json", "config.json"),
        ("readme.txt", "config.json"),
    ] {
        if name != without {
            let path = fixture("vision/dreamsim-tiny").join(file);
            let bytes = match name {
                "dino_vitb16_pretrain.pth" => after_training(&path),
                _ => std::fs::read(path).expect("the fixture"),
            };
            archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
            archive.write_all(&bytes).expect("its bytes");
        }
    }
    archive.finish().expect("an archive").into_inner()
}

#[test]
fn an_archive_is_pulled_and_unpacked() {
    let archive = dreamsim_archive("");
    for mood in [Mood::Well, Mood::HalfOnce, Mood::Whole] {
        let shop = Workshop::new();
        let hub = hub_with(mood, archive.clone());
        let models = shop.path("models");
        let token = shop.path("token");
        std::fs::write(&token, "secret").expect("write");
        let pull = pull(&shop, &hub.address, "dreamsim");
        ok(&[&borrowed(&pull)[..], &["--token-file", &token]].concat());
        assert_eq!(json(&["models", "verify", "dreamsim", "--models", &models])["files"], 6);
        let folder = Path::new(&models).join("dreamsim");
        assert!(
            !folder.join("readme.txt").exists() && !folder.join("dreamsim_ensemble_checkpoint.zip").exists()
        );
        let image = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([6 * x as u8, 8 * y as u8, 90]));
        let [pulled, ours] = [folder.clone(), fixture("vision/dreamsim-tiny")]
            .map(|folder| Embedder::load(&folder).expect("DreamSim").embed(&image).expect("an identity"));
        assert_eq!(pulled, ours);
        ok(&["models", "remove", "dreamsim", "--models", &models]);
        assert!(!folder.exists());
    }
}

#[test]
fn an_archive_that_is_not_whole_leaves_no_model() {
    let mut broken = dreamsim_archive("");
    // Somewhere in the bytes of the first member.
    broken[5000] ^= 1;
    let missing = dreamsim_archive("clip_vitb16_pretrain.pth.tar");
    for (archive, words) in [
        (broken, &["dino_vitb16_pretrain.pth", "pull the model again"][..]),
        (missing, &["clip_vitb16_pretrain.pth.tar", "does not hold"]),
        (b"no archive at all".to_vec(), &["no zip archive"]),
    ] {
        let shop = Workshop::new();
        let hub = hub_with(Mood::Well, archive);
        refused(&borrowed(&pull(&shop, &hub.address, "dreamsim")), words);
        assert!(!Path::new(&shop.path("models/dreamsim")).exists());
        // What was wrong is not taken for the beginning of what is right.
        let working = hub_with(Mood::Well, dreamsim_archive(""));
        ok(&borrowed(&pull(&shop, &working.address, "dreamsim")));
    }
}
