//! What can be wrong with a schedule, a sampler or a call to one.
use thiserror::Error;

use super::SamplerKind;

/// An error of the noise schedules and samplers.
#[derive(Debug, Error)]
pub enum ScheduleError {
    /// `scheduler_config.json` is not JSON, or a field has a value of the wrong kind.
    #[error("the scheduler config cannot be read: {0}")]
    Config(#[from] serde_json::Error),
    /// The config asks for something that latent diffusion models of this family do not use.
    #[error("the scheduler config is not supported: {0}")]
    Unsupported(String),
    /// The betas do not describe a noise schedule.
    #[error("the noise schedule is not valid: {0}")]
    InvalidSchedule(String),
    /// A sampler of no steps.
    #[error("a sampler needs at least one step")]
    NoSteps,
    /// More steps than the sampler can place on the training timesteps.
    #[error("{steps} steps are too many: this sampler allows at most {limit} of {train} training timesteps")]
    TooManySteps {
        /// Steps asked for.
        steps: usize,
        /// The most that this sampler can place.
        limit: usize,
        /// Training timesteps of the schedule.
        train: usize,
    },
    /// A layout where sampling begins with nothing but noise.
    #[error(
        "a layout has no effect here: with this base sampling begins where nothing of a picture is left (zero terminal SNR); \
         leave out the layout (gamma 0), or use another base"
    )]
    NoSignal,
    /// A timestep beyond the schedule.
    #[error("timestep {timestep} is outside the schedule's 0..{train}")]
    TimestepOutOfRange {
        /// The timestep asked for.
        timestep: usize,
        /// Training timesteps of the schedule.
        train: usize,
    },
    /// Karras spacing for a sampler that has none.
    #[error(
        "Karras sigmas are available for euler and dpmpp-2m, not for {0}; leave out --karras, or take one of these"
    )]
    KarrasUnsupported(SamplerKind),
    /// A step index beyond the sampler's steps, or out of order for a sampler with memory.
    #[error("step {found} was called where step {expected} was due")]
    StepOrder {
        /// The index that was due.
        expected: usize,
        /// The index that was passed.
        found: usize,
    },
    /// A sampler that adds noise was called without any.
    #[error("{0} adds noise at every step and was given none")]
    NoiseMissing(SamplerKind),
    /// Two tensors that must have the same number of elements do not.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Elements expected.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// A sampler name that does not exist.
    #[error("there is no sampler `{0}`; samplers: ddim, euler, euler-ancestral, dpmpp-2m")]
    UnknownSampler(String),
}

/// Fails unless `found` is `expected`.
pub(super) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<(), ScheduleError> {
    if expected == found { Ok(()) } else { Err(ScheduleError::Length { what, expected, found }) }
}
