//! The page of MuDI Studio.
//!
//! What needs no browser (words, numbers, files' bytes) stands in modules that every machine compiles and tests; the rest
//! is compiled for `wasm32` alone.

// The types that `#[component]` makes of a function's arguments are public, whatever the function is; and it hands them over
// by value, whatever the function does with them.
#![cfg_attr(target_arch = "wasm32", allow(unreachable_pub, clippy::needless_pass_by_value))]

pub mod answers;
pub mod identifiers;
pub mod plot;
pub mod png;
pub mod recipes;
pub mod runs;
pub mod text;

#[cfg(target_arch = "wasm32")]
mod api;
#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod clock;
#[cfg(target_arch = "wasm32")]
mod frame;
#[cfg(target_arch = "wasm32")]
mod generate;
#[cfg(target_arch = "wasm32")]
mod grabcut;
#[cfg(target_arch = "wasm32")]
mod layouts;
#[cfg(target_arch = "wasm32")]
mod masks;
#[cfg(target_arch = "wasm32")]
mod photos;
#[cfg(target_arch = "wasm32")]
mod preview;
#[cfg(target_arch = "wasm32")]
mod projects;
#[cfg(target_arch = "wasm32")]
mod saves;
#[cfg(target_arch = "wasm32")]
mod session;
#[cfg(target_arch = "wasm32")]
mod share;
#[cfg(target_arch = "wasm32")]
mod training;
#[cfg(target_arch = "wasm32")]
mod widgets;

#[cfg(target_arch = "wasm32")]
pub use app::{start, start_sharing, start_workbench};
#[cfg(target_arch = "wasm32")]
pub use grabcut::start_grabcut;
#[cfg(target_arch = "wasm32")]
pub use preview::{start_cpu_preview, start_gpu_preview};
