//! The page's engines beside ONNX Runtime, in one Chromium.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::browser;
use crate::page;
use crate::process::{cargo_for_browsers, example, python, root, step};

/// ONNX Runtime for browsers.
const RUNTIME: browser::Package = ("onnxruntime-web", "1.30.0");
/// What it is made of: for the GPU, and for the processor.
const RUNTIME_FILES: [&str; 6] = [
    "ort.webgpu.min.mjs",
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
];
/// What the Python needs that exports the network.
const NEEDS: &str = "import torch, diffusers, onnx, onnxscript";

/// Exports pocket's denoiser, compiles ours, and opens a page that times both.
pub(crate) fn bench_browser(interpreter: &Path) -> Result<(), Failure> {
    let interpreter = python(interpreter)?;
    step(Command::new(&interpreter).args(["-c", NEEDS])).map_err(|failure| Failure {
        message: format!(
            "{}\nThe packages are in CONTRIBUTING.md; this needs onnx and onnxscript as well.",
            failure.message
        ),
        ..failure
    })?;
    browser::browser(&[RUNTIME])?;
    let runtime = browser::npm_package(RUNTIME)?.join("dist");
    let folder = page::target_folder().join("bench-browser");
    // What an earlier bench has left could be another model's.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    }
    let theirs = folder.join("onnxruntime");
    std::fs::create_dir_all(&theirs).map_err(|error| failed(&theirs, &error))?;
    let copy =
        |from: &Path, to: &Path| std::fs::copy(from, to).map(|_| ()).map_err(|error| failed(from, &error));
    for name in RUNTIME_FILES {
        copy(&runtime.join(name), &theirs.join(name))?;
    }
    let page = root().join("tests").join("bench-browser");
    for name in ["index.html", "bench.js"] {
        copy(&page.join(name), &folder.join(name))?;
    }
    let model = root().join("models").join("pocket");
    copy(&model.join("unet/config.json"), &folder.join("config.json"))?;
    copy(&model.join("unet/diffusion_pytorch_model.safetensors"), &folder.join("denoiser.safetensors"))?;
    step(Command::new(&interpreter).arg(page.join("export.py")).arg(&model).arg(&folder))?;
    ours(&folder.join("ours"))?;
    step(example("bench_browser")?.arg(&folder).arg(&interpreter))
}

/// Compiles our denoiser as the page is compiled.
fn ours(out: &Path) -> Result<(), Failure> {
    let tools = page::tools()?;
    let build = ["build", "--target", page::TARGET, "--profile", "page", "-p", "mudi-frontend"];
    step(cargo_for_browsers(&build).args(["--example", "denoiser"]))?;
    let program = page::target_folder().join(page::TARGET).join("page/examples/denoiser.wasm");
    let mut bind = Command::new(tools.join("wasm-bindgen"));
    step(bind.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(out).arg(program))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::step(format!("{}: {error}", path.display()), 1)
}
