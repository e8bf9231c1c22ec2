//! Starts the page.

#[cfg(target_arch = "wasm32")]
fn main() {
    mudi_frontend::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!(
        "this is the page of MuDI Studio, which runs in a browser; `cargo xtask serve` builds and serves it"
    );
}
