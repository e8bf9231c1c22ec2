//! Starts the page of links, and the one on which whoever has a link plays.

#[cfg(target_arch = "wasm32")]
fn main() {
    mudi_frontend::start_sharing();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!(
        "this is a part of the page of MuDI Studio, which runs in a browser; `cargo xtask serve` builds and serves it"
    );
}
