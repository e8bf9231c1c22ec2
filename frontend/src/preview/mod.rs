//! Pictures of a layout while it is arranged, made in this browser by a worker.

mod device;
mod protocol;
mod weights;
mod worker;

pub(crate) use device::ByGpu;
use device::ByProcessor;
use gloo_worker::Registrable;
pub(crate) use protocol::{Ask, Canvas, Tell, Wish};
pub(crate) use worker::PreviewWorker;

/// Starts the worker that paints with the GPU.
pub fn start_gpu_preview() {
    console_error_panic_hook::set_once();
    PreviewWorker::<ByGpu>::registrar().register();
}

/// Starts the worker that paints with the processor.
pub fn start_cpu_preview() {
    console_error_panic_hook::set_once();
    PreviewWorker::<ByProcessor>::registrar().register();
}
