//! The [`Engine`](mudi_diffusion::Engine) on wgpu: in browsers by WebGPU, natively by Vulkan or Metal.
//!
//! Operations are recorded as dispatches of WGSL kernels and sent to the GPU together, when they are many or a
//! value is [read](mudi_diffusion::Readable::read). Kernels are assembled from text for the shapes at hand, compiled once and kept;
//! buffers are taken from a pool. Sums are made in `f32`, whatever values are stored as.

mod engine;
mod error;
mod gpu;
mod kernel;
mod ops;
mod pool;
mod read;
mod recorder;
mod settings;
mod tensor;

pub use engine::WgpuEngine;
pub use error::GpuError;
pub use gpu::{Adapter, Gpu, Storage};
pub use recorder::Work;
pub use settings::{Settings, Sharing};
pub use tensor::Tensor;
