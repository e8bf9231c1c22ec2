//! The engine on candle: values and devices are candle's; gradients and the CPU's operations are ours.

#[cfg(not(target_arch = "wasm32"))]
mod cards;
pub mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
mod composed;
mod cpu;
mod engine;
mod kernels;
pub mod lora;
pub mod nchw;
mod optimizer;
mod placement;
mod pool;
mod pth;
pub mod shapes;
mod slices;
mod tape;
pub mod weights;

pub use engine::CandleEngine;
pub use optimizer::{
    AdamW, AdamW8, AdamWConfig, Kept, Moments, Muon, MuonConfig, Optimizer, Prodigy, follow, gradient_norm,
};
pub use pool::{on_pool, part_of};
pub use tape::{Gradients, LeafId, Tensor, backward};
