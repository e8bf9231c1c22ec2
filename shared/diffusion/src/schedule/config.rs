//! diffusers' `scheduler_config.json`.
use serde::{Deserialize, Serialize};

use super::ScheduleError;
use crate::config::nullable;

/// How the variance of the added noise grows over the training timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Betas on a straight line from `beta_start` to `beta_end`.
    Linear,
    /// Square roots of the betas on a straight line: every Stable Diffusion.
    ScaledLinear,
    /// The cosine schedule of Nichol and Dhariwal, betas capped at 0.999; ignores `beta_start` and `beta_end`.
    SquaredcosCapV2,
}

/// What the network predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise (SD 1.5, SDXL).
    #[default]
    Epsilon,
    /// The velocity `sqrt(ab) noise - sqrt(1 - ab) x0` of Salimans and Ho (SD 2.1).
    VPrediction,
    /// The clean latents.
    #[serde(alias = "original_sample")]
    Sample,
}

impl PredictionType {
    /// What the clean sample is made of, by what is known at a step: so much of the noisy sample, which has unit variance, and
    /// so much of the prediction. `alpha_bar` is the share of the signal's variance in the noisy sample.
    #[must_use]
    pub fn clean(self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        match self {
            Self::Epsilon => (1.0 / signal, -noise / signal),
            Self::VPrediction => (signal, -noise),
            Self::Sample => (0.0, 1.0),
        }
    }
}

/// Where the sampler's timesteps lie among the training timesteps (Lin et al. 2023, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Multiples of an integer stride from 0, shifted by `steps_offset`.
    Leading,
    /// Strides counted back from the last training timestep, which is included.
    Trailing,
    /// Evenly from 0 to the last training timestep.
    Linspace,
}

/// Parts of the names of diffusers' schedulers whose noise is not of Stable Diffusion's kind: their files may have the same fields, or none.
const OTHER_PROCESSES: [&str; 8] =
    ["FlowMatch", "EDM", "CosineDPM", "ScoreSde", "KarrasVe", "CMStochastic", "IPNDM", "UnCLIP"];

/// More training timesteps than any model has: all that is counted by them fits in memory.
const MAX_TIMESTEPS: usize = 100_000;

/// The noise level after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigma {
    /// No noise.
    #[default]
    Zero,
    /// That of training timestep 0.
    SigmaMin,
}

/// The fields of diffusers' `scheduler_config.json` that matter here.
///
/// Fields that a file lacks take diffusers' defaults, with one exception: `clip_sample` is `false`, as in every
/// latent diffusion checkpoint. Unknown fields are kept in `other` and written back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// Length of the forward process, 1000 in all public checkpoints.
    pub num_train_timesteps: usize,
    /// First beta, in (0, 1).
    pub beta_start: f64,
    /// Last beta, in (0, 1).
    pub beta_end: f64,
    /// How betas go from first to last.
    pub beta_schedule: BetaSchedule,
    /// The betas themselves, in place of the three fields above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_betas: Option<Vec<f64>>,
    /// What the network predicts.
    #[serde(deserialize_with = "nullable")]
    pub prediction_type: PredictionType,
    /// Placement of the sampler's timesteps; `None` is the default of the sampler's class in diffusers: leading
    /// for DDIM, linspace for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to the timesteps of leading spacing: 1 for Stable Diffusion.
    #[serde(deserialize_with = "nullable")]
    pub steps_offset: usize,
    /// DDIM: the last step ends at no noise; otherwise at the noise of training timestep 0.
    pub set_alpha_to_one: bool,
    /// Shift the schedule so that the last training timestep is pure noise (Lin et al. 2023, algorithm 1).
    #[serde(deserialize_with = "nullable")]
    pub rescale_betas_zero_snr: bool,
    /// The checkpoint's own wish for Karras sigmas, for where nobody says anything ([`NoiseSchedule::karras`](super::NoiseSchedule::karras)).
    #[serde(deserialize_with = "nullable")]
    pub use_karras_sigmas: bool,
    /// With Karras sigmas: the smallest sigma, in place of the last timestep's (Euler) or of the table's (DPM-Solver++).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_min: Option<f64>,
    /// With Karras sigmas: the largest sigma, in place of the first timestep's or of the table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_max: Option<f64>,
    /// The noise level after the last step (Euler and DPM-Solver++).
    #[serde(deserialize_with = "nullable")]
    pub final_sigmas_type: FinalSigma,
    /// DDIM: clamp predicted clean samples. It is for pixels, not latents, so DDIM refuses it.
    #[serde(deserialize_with = "nullable")]
    pub clip_sample: bool,
    /// DPM-Solver++: end with a first-order step when there are fewer than 15.
    pub lower_order_final: bool,
    /// DPM-Solver++: always end with a first-order step.
    #[serde(deserialize_with = "nullable")]
    pub euler_at_final: bool,
    /// Everything else in the file.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            prediction_type: PredictionType::Epsilon,
            timestep_spacing: None,
            steps_offset: 0,
            set_alpha_to_one: true,
            rescale_betas_zero_snr: false,
            use_karras_sigmas: false,
            sigma_min: None,
            sigma_max: None,
            final_sigmas_type: FinalSigma::Zero,
            clip_sample: false,
            lower_order_final: true,
            euler_at_final: false,
            other: serde_json::Map::new(),
        }
    }
}

impl SchedulerConfig {
    /// The schedule that SD 1.5 and SDXL share: scaled linear betas from 0.00085 to 0.012, noise prediction.
    #[must_use]
    pub fn stable_diffusion() -> Self {
        Self {
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::ScaledLinear,
            timestep_spacing: Some(TimestepSpacing::Leading),
            steps_offset: 1,
            set_alpha_to_one: false,
            ..Self::default()
        }
    }

    /// Reads the text of a `scheduler_config.json`.
    ///
    /// Python writes infinities as bare words, which JSON does not have; they are read as null.
    ///
    /// # Errors
    /// [`ScheduleError::Config`] if it is not JSON or a field has a value that is not known.
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        let text = [": -Infinity", ": Infinity", ": NaN"]
            .iter()
            .fold(text.to_owned(), |text, word| text.replace(word, ": null"));
        Ok(serde_json::from_str(&text)?)
    }

    /// Fails on options that would change the samples and that no sampler here has.
    pub(super) fn check_supported(&self) -> Result<(), ScheduleError> {
        const CURE: &str = "take a base of SD 1.5, SD 2.1 or SDXL whose schedule does without";
        let unsupported = |what: String| Err(ScheduleError::Unsupported(format!("{what}; {CURE}")));
        // Ways to sample, without which a base is of use, too.
        let avoidable = |what: String, value: &str| {
            let cure = format!("write {value} there, which changes pictures a little, or {CURE}");
            Err(ScheduleError::Unsupported(format!("{what}; {cure}")))
        };
        for (name, value) in
            [("num_train_timesteps", self.num_train_timesteps), ("steps_offset", self.steps_offset)]
        {
            if value > MAX_TIMESTEPS {
                return unsupported(format!("`{name}` is {value}, more than {MAX_TIMESTEPS}"));
            }
        }
        let text = |name: &str| self.other.get(name).and_then(serde_json::Value::as_str);
        let is_set = |flag: &&str| self.other.get(*flag).and_then(serde_json::Value::as_bool) == Some(true);
        let flags = ["thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"];
        if let Some(flag) = flags.into_iter().find(is_set) {
            return avoidable(format!("`{flag}` is set"), "`false`");
        }
        if is_set(&"use_flow_sigmas") {
            return unsupported("`use_flow_sigmas` is set".into());
        }
        if self.other.get("lambda_min_clipped").is_some_and(serde_json::Value::is_number) {
            return avoidable("`lambda_min_clipped` is set".into(), "`-Infinity`");
        }
        if let Some(kind) = text("interpolation_type").filter(|kind| *kind != "linear") {
            return avoidable(format!("`interpolation_type` is `{kind}`"), "`linear`");
        }
        if let Some(kind) = text("timestep_type").filter(|kind| *kind != "discrete") {
            return unsupported(format!("`timestep_type` is `{kind}`, only `discrete` is known"));
        }
        if let Some(class) =
            text("_class_name").filter(|name| OTHER_PROCESSES.iter().any(|kind| name.contains(kind)))
        {
            return unsupported(format!(
                "`{class}` adds noise in another way than Stable Diffusion's schedules"
            ));
        }
        Ok(())
    }
}
