//! The samplers' names.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ScheduleError;

/// The ways to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum SamplerKind {
    /// Song et al. 2021 with eta 0; diffusers' `DDIMScheduler`.
    #[serde(rename = "ddim")]
    Ddim,
    /// Euler steps of the probability-flow ODE (Karras et al. 2022); diffusers' `EulerDiscreteScheduler`.
    #[default]
    #[serde(rename = "euler")]
    Euler,
    /// Euler steps a little too far, and fresh noise to make up; diffusers' `EulerAncestralDiscreteScheduler`.
    #[serde(rename = "euler-ancestral")]
    EulerAncestral,
    /// DPM-Solver++ of second order, multistep, midpoint (Lu et al. 2022); diffusers'
    /// `DPMSolverMultistepScheduler`.
    #[serde(rename = "dpmpp-2m")]
    DpmPp2m,
}

impl SamplerKind {
    /// Every sampler, in the order that a menu shows them.
    pub const ALL: [Self; 4] = [Self::Euler, Self::EulerAncestral, Self::DpmPp2m, Self::Ddim];

    /// The name in recipes, flags and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-ancestral",
            Self::DpmPp2m => "dpmpp-2m",
        }
    }

    /// Whether the sampler can space its noise levels as Karras et al. do.
    #[must_use]
    pub fn supports_karras(self) -> bool {
        matches!(self, Self::Euler | Self::DpmPp2m)
    }

    /// Whether latents are kept at `x_0 + sigma noise` rather than at unit variance.
    pub(super) fn explodes(self) -> bool {
        matches!(self, Self::Euler | Self::EulerAncestral)
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| ScheduleError::UnknownSampler(name.to_owned()))
    }
}
