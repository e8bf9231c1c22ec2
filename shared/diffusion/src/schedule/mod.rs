//! Noise schedules and samplers: host-side arithmetic on `&[f32]`, the same on every engine.
//!
//! A [`NoiseSchedule`] is the forward process: how much signal and noise a latent holds at every training
//! timestep. A [`Sampler`] walks it backwards in a few steps. Both read diffusers' `scheduler_config.json`
//! ([`SchedulerConfig`]) and agree with diffusers' own classes. [`mean_shifted_start`] is MuDI's way to start
//! from a layout, [`guidance`] is classifier-free guidance.
//!
//! Latents are flat slices: any shape, any batch; a step treats every element alike. Arithmetic is in `f64`,
//! rounded to `f32` once a step.
//!
//! ```
//! use mudi_diffusion::schedule::{NoiseSchedule, Sampler, SamplerKind};
//!
//! let schedule = NoiseSchedule::stable_diffusion();
//! let mut sampler = Sampler::new(SamplerKind::Euler, &schedule, 20, false)?;
//! let mut latents: Vec<f32> = vec![0.3; 4]; // unit normal noise
//! latents.iter_mut().for_each(|x| *x *= sampler.init_noise_sigma());
//! for i in 0..sampler.timesteps().len() {
//!     let mut input = latents.clone();
//!     sampler.scale_model_input(&mut input, i)?;
//!     let predicted = input; // the network's answer to `input` at `sampler.timesteps()[i]`
//!     sampler.step(i, &predicted, &mut latents, None)?;
//! }
//! # Ok::<(), mudi_diffusion::schedule::ScheduleError>(())
//! ```
mod config;
mod error;
mod kind;
mod noise;
mod sampler;
mod spacing;
mod start;
#[cfg(test)]
mod tests;

pub use config::{BetaSchedule, FinalSigma, PredictionType, SchedulerConfig, TimestepSpacing};
pub use error::ScheduleError;
pub use kind::SamplerKind;
pub use noise::NoiseSchedule;
pub use sampler::Sampler;
pub use start::{guidance, mean_shifted_start};
