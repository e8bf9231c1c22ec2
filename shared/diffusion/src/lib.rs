//! Diffusion networks, noise schedules, samplers and tokenizer, generic over an [`Engine`].
//!
//! Every network is written once, follows the fields of diffusers' `config.json`, and takes its weights under diffusers'
//! names, so that a folder that diffusers loads is a folder that this crate loads.

pub mod clip;
mod component;
mod config;
pub mod emphasis;
pub mod engine;
mod error;
pub mod ldm;
pub mod lora;
pub mod nn;
pub mod schedule;
pub mod shapes;
pub mod taesd;
pub mod texts;
pub mod tokenizer;
pub mod unet;
pub mod vae;

pub use component::Component;
pub use config::{OneOrMany, parse};
pub use engine::{Activation, ConvGeometry, Engine, ParameterKind, Parameters, Readable, ScoreBias};
pub use error::{Error, Result};
