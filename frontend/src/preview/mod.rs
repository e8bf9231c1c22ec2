//! What a worker in this browser computes: pictures of a layout while it is arranged, and masks of clicks.

mod clicks;
mod device;
mod latents;
mod protocol;
mod silence;
mod weights;
mod worker;

pub(crate) use device::ByGpu;
use device::ByProcessor;
use gloo_worker::Registrable;
pub(crate) use protocol::{Ask, Canvas, ClickAsk, ClickTell, Held, LatentsAsk, LatentsTell, Tell, Wish};
pub(crate) use silence::Silence;
pub(crate) use worker::PreviewWorker;

/// The scripts that `cargo xtask page` makes to start the workers: with the GPU, and with the processor.
pub(crate) const WORKERS: [&str; 2] = ["/preview-gpu.js", "/preview-cpu.js"];

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
