//! Starts the worker that cuts out a subject by its colours.

#[cfg(target_arch = "wasm32")]
fn main() {
    mudi_frontend::start_grabcut();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!(
        "this is a part of the page of MuDI Studio, which runs in a browser; `cargo xtask serve` builds and serves it"
    );
}
