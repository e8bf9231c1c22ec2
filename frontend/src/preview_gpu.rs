//! Starts the worker that paints previews with the GPU.

#[cfg(target_arch = "wasm32")]
fn main() {
    mudi_frontend::start_gpu_preview();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!(
        "this is a part of the page of MuDI Studio, which runs in a browser; `cargo xtask serve` builds and serves it"
    );
}
