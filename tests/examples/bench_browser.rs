//! The page's engines beside ONNX Runtime in one Chromium: `cargo xtask bench-browser` calls it with the folder that holds
//! `index.html` and all that it loads, and with the Python that serves it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mudi_tests::browser::Browser;
use serde::Deserialize;

/// Steps of each engine.
const ROUNDS: usize = 7;
/// How long all of them may take on an emulated GPU.
const PATIENCE: Duration = Duration::from_secs(1800);
/// GPUs whose roofs are told: name, operations on 32-bit numbers and bytes in a second, as their makers publish them.
const GPUS: [(&str, f64, f64); 3] = [
    ("integrated (Intel Iris Xe, 96 units)", 2.2e12, 68e9),
    ("integrated (Apple M1, 8 cores)", 2.6e12, 68e9),
    ("discrete (NVIDIA RTX 3060)", 12.7e12, 360e9),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    gpu: Compared,
    gpu_as_real: Compared,
    processor: Compared,
}

/// Two implementations of one network on one kind of device; times in milliseconds.
#[derive(Deserialize)]
struct Compared {
    about: String,
    /// How far their results are apart, as a share of the range.
    error: f64,
    first: Pair<f64>,
    times: Pair<Vec<f64>>,
    work: Option<Work>,
}

#[derive(Deserialize)]
struct Pair<T> {
    ours: T,
    reference: T,
}

/// What one step asks of a GPU.
#[derive(Deserialize)]
struct Work {
    dispatches: u64,
    submissions: u64,
    bytes: f64,
    flops: f64,
    memory: f64,
}

/// A line of the table, in milliseconds.
struct Row {
    name: String,
    ours: f64,
    reference: f64,
}

/// A server of files that ends with the bench.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves `folder`; the server, and its address.
fn serve(python: &str, folder: &Path) -> (Served, String) {
    let mut command = Command::new(python);
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
    let mut server =
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Python's server of files");
    let mut first = String::new();
    let said = BufReader::new(server.stdout.take().expect("standard output")).read_line(&mut first);
    let port = first.split_once(" port ").and_then(|(_, rest)| rest.split_whitespace().next());
    let port = port.unwrap_or_else(|| panic!("the server's port: {said:?} {first}"));
    (Served(server), format!("127.0.0.1:{port}"))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    (sorted[low] + sorted[high]) / 2.0
}

fn rows(name: &str, compared: &Compared) -> [Row; 2] {
    let row =
        |what: &str, ours: f64, reference: f64| Row { name: format!("{name}: {what}"), ours, reference };
    let Compared { first, times, .. } = compared;
    [
        row("a step", median(&times.ours), median(&times.reference)),
        row("the first step, for which kernels are compiled", first.ours, first.reference),
    ]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, python] = words.as_slice() else { panic!("FOLDER PYTHON") };
    let (_server, address) = serve(python, Path::new(folder));
    let browser = Browser::open_with_gpu(&address);
    browser.go(&format!("/index.html?rounds={ROUNDS}"));
    let begun = Instant::now();
    let mut told = String::new();
    let found = loop {
        let found = browser.run("return window.found ?? null");
        if !found.is_null() {
            break found;
        }
        let state = browser.run("return [window.failure ?? null, window.progress ?? '']");
        if let Some(failure) = state[0].as_str() {
            panic!("{failure}\n{}", browser.complaints().join("\n"));
        }
        let progress = state[1].as_str().unwrap_or_default();
        if progress != told {
            told = progress.to_owned();
            eprintln!("{told}");
        }
        assert!(begun.elapsed() < PATIENCE, "the bench does not come to an end");
        std::thread::sleep(Duration::from_millis(300));
    };
    let Found { gpu, gpu_as_real, processor } =
        serde_json::from_value(found).expect("what the page has found");
    let all = [
        ("WebGPU", &gpu),
        ("WebGPU, tiles shared as on a real GPU", &gpu_as_real),
        ("WebAssembly, one thread", &processor),
    ];
    for (name, compared) in all {
        assert!(compared.error < 1e-3, "{name}: the engines differ by {:.1e} of the range", compared.error);
    }
    let errors = all.map(|(_, compared)| format!("{:.1e}", compared.error)).join(", ");
    let all: Vec<Row> = all.into_iter().flat_map(|(name, compared)| rows(name, compared)).collect();
    println!("\nGPU: {}. Medians of {ROUNDS} steps of a batch of two, in turns.\n", gpu.about);
    println!("| what | ours | ONNX Runtime | ratio |\n|---|---|---|---|");
    for Row { name, ours, reference } in &all {
        println!("| {name} | {ours:.0} ms | {reference:.0} ms | {:.2} |", reference / ours);
    }
    println!("\nLargest difference of the results, as a share of their range: {errors}.");
    let Some(Work { dispatches, submissions, bytes, flops, memory }) = gpu.work else { return };
    println!(
        "A step on the GPU: {dispatches} dispatches in {submissions} command buffers, {:.2} GFLOP, {:.0} MB read and written, {:.0} MB of memory.\n",
        flops / 1e9,
        bytes / 1e6,
        memory / 1e6
    );
    println!("| GPU | time of arithmetic | time of memory | at least |\n|---|---|---|---|");
    for (name, operations, traffic) in GPUS {
        let (arithmetic, moved) = (flops / operations * 1e3, bytes / traffic * 1e3);
        println!("| {name} | {arithmetic:.1} ms | {moved:.1} ms | {:.1} ms |", arithmetic.max(moved));
    }
}
