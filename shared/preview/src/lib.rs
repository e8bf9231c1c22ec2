//! Pictures of a layout, step by step, on any engine.
//!
//! A [`Model`] is made of the [files](FILES) of a base in diffusers' layout. A [`Painting`] begins with the
//! noise of a seed, shifted towards a layout (MuDI, section 4.2), and after each step tells what the finished picture
//! will be like. The numbers are those of the server: the same networks, schedule, sampler and noise.

mod coder;
mod decoder;
mod error;
pub mod fit;
mod lora;
mod model;
mod painting;
mod weights;

pub use coder::TINY;
pub use decoder::LatentDecoder;
pub use error::PreviewError;
pub use model::{FILES, Files, Model};
pub use painting::{Canvas, Painter, Painting, Picture, Wish};
pub use weights::SafetensorsWeights;
