//! How quick the server stays while it trains. `docs/benchmarks.md` says how to run these.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mudi_tests::served::Server;
use mudi_tests::workshop::models;
use serde_json::json;

use super::studio::{Studio, text};

/// Reads a second, and for how many seconds.
const RATE: u32 = 200;
const SECONDS: u32 = 20;
/// Clients that share the reads.
const CLIENTS: u32 = 16;
/// Listeners to one job's events.
const LISTENERS: usize = 1000;

/// A training server with pocket, which takes all of the machine that it gets.
fn training(folder: &tempfile::TempDir) -> (Server, Studio, String) {
    let server = Server::start(&folder.path().join("data"), &["--models", &models()]);
    let studio = Studio::full(server.client());
    let recipe = json!({ "steps": 100_000, "regularization": "none" });
    let run = studio.post("runs", &json!({ "name": "Load", "base": "pocket", "recipe": recipe }));
    let job = studio.path(&format!("jobs/{}", text(&run["job"])));
    studio.client.until(&job, |job| job["step"].as_u64() > Some(2));
    (server, studio, job)
}

/// 200 reads a second while a training runs: 99 of 100 are answered within 50 ms of the moment at which they were due.
#[test]
#[ignore = "measures"]
fn reads_stay_quick_while_a_training_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, studio, job) = training(&folder);
    let photo = text(&studio.list("photos")[0]["id"]);
    let paths = [
        "/api/projects".to_owned(),
        studio.path("photos"),
        studio.path(&format!("photos/{photo}/thumbnail")),
        studio.path(&format!("photos/{photo}/mask")),
        job.clone(),
    ];
    let step = |job: &str| studio.client.get(job).value()["step"].as_u64().expect("a step");
    let (before, begin) = (step(&job), Instant::now());
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let client = |number: u32| {
            let (paths, client) = (&paths, server.client());
            scope.spawn(move || {
                let mut times = Vec::new();
                for index in (number..RATE * SECONDS).step_by(CLIENTS as usize) {
                    let due = begin + Duration::from_secs(1) * index / RATE;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    client.get(&paths[index as usize % paths.len()]).well();
                    times.push(due.elapsed());
                }
                times
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    let speed = (step(&job) - before) as f64 / begin.elapsed().as_secs_f64();
    times.sort();
    let part = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    let (half, most, longest) = (part(0.5), part(0.99), times[times.len() - 1].as_secs_f64() * 1e3);
    println!(
        "{} reads: p50 {half:.1} ms, p99 {most:.1} ms, longest {longest:.1} ms; {speed:.2} training steps a second",
        times.len()
    );
    assert!(most <= 50.0, "p99 is {most:.1} ms");
}

/// A thousand listeners all hear the events of a training, at a bounded cost of memory.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "measures"]
fn a_thousand_listeners_hear_a_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, studio, job) = training(&folder);
    let memory = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the process's status");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("its memory").to_owned();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
    };
    let before = memory();
    let (heard, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let step = || studio.client.get(&job).value()["step"].as_u64().expect("a step");
    let during = std::thread::scope(|scope| {
        for _ in 0..LISTENERS {
            let listener = std::thread::Builder::new().stack_size(128 << 10);
            listener.spawn_scoped(scope, || listen(&server.address, &job, &heard, &over)).expect("a thread");
        }
        std::thread::sleep(Duration::from_secs(20));
        let (first, begin) = (step(), Instant::now());
        heard.store(0, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(20));
        let speed = (step() - first) as f64 / begin.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (memory(), speed, heard.load(Ordering::Relaxed))
    });
    let (after, speed, events) = during;
    println!(
        "{LISTENERS} listeners: {before:.0} MiB before, {after:.0} MiB with them; {events} events heard in 20 s; \
         {speed:.2} training steps a second"
    );
    let metrics = String::from_utf8(studio.client.get("/metrics").well().bytes).expect("text");
    assert!(metrics.contains("mudi_listeners"));
    assert!(events >= LISTENERS, "each hears at least one event in 20 s");
    assert!(after - before < 200.0, "their memory is bounded");
}

/// A connection on which nobody asks for anything costs a file, of which a server has so many.
#[test]
fn who_asks_for_nothing_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let begin = Instant::now();
    let connect = || TcpStream::connect(&server.address).expect("a connection");
    let mut slow = connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").expect("a line");
    let mut silent = connect();
    let head = "content-type: application/json\r\ncontent-length: 9\r\n\r\n";
    let head = format!("POST /api/session HTTP/1.1\r\nhost: {}\r\n{head}", server.address);
    silent.write_all(head.as_bytes()).expect("a head");
    for mut stream in [connect(), slow.try_clone().expect("the same connection")] {
        stream.set_read_timeout(Some(Duration::from_secs(90))).expect("a timeout");
        // A line more does not make it wait longer.
        let _ = slow.write_all(b"x: y\r\n");
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || begin.elapsed() < Duration::from_secs(80), "{ended:?}");
    }
    assert!(begin.elapsed() > Duration::from_secs(20), "others have time to ask");
    // Nor does a head wait for good for a body that never comes.
    silent.set_read_timeout(Some(Duration::from_secs(90))).expect("a timeout");
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    let _ = server.client().get("/healthz").well();
}

/// Counts events until `over`.
fn listen(address: &str, job: &str, heard: &AtomicUsize, over: &AtomicBool) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {job}/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request is sent");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let mut buffer = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the server has ended the stream"),
            Ok(size) => {
                let events = buffer[..size].windows(6).filter(|window| window == b"\ndata:").count();
                heard.fetch_add(events, Ordering::Relaxed);
            }
            Err(error) => assert!(
                matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
                "{error}"
            ),
        }
    }
}
