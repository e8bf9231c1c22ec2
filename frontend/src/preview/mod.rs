//! Pictures of a layout while it is arranged, made in this browser by a worker.

mod protocol;
mod weights;
mod worker;

pub(crate) use protocol::{Ask, Canvas, Device, Tell, Wish};
pub(crate) use worker::PreviewWorker;

/// Starts the worker.
pub fn start_preview() {
    console_error_panic_hook::set_once();
    worker::register();
}
