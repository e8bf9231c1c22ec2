//! The forward process.
use std::f64::consts::FRAC_PI_2;

use super::error::same_length;
use super::{BetaSchedule, PredictionType, SamplerKind, ScheduleError, SchedulerConfig};

/// The cumulative product that stands for 0 where a finite sigma is needed: float16's smallest subnormal, as in
/// diffusers.
const ALMOST_NO_SIGNAL: f64 = 1.0 / (1 << 24) as f64;

/// How much signal is left at every training timestep of a variance-preserving diffusion process:
/// `x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise`, where `ab_t` is the product of `1 - beta` up to t.
///
/// The products carry the rounding to `f32` of diffusers' schedulers, with which the checkpoints were trained.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    config: SchedulerConfig,
    alphas_cumprod: Vec<f64>,
}

impl NoiseSchedule {
    /// Builds the schedule that a config describes.
    ///
    /// # Errors
    /// [`ScheduleError::Unsupported`] for options that are not known here, [`ScheduleError::InvalidSchedule`] if
    /// there are no timesteps or a beta is outside (0, 1).
    pub fn new(config: SchedulerConfig) -> Result<Self, ScheduleError> {
        config.check_supported()?;
        let betas = betas(&config);
        if betas.is_empty() {
            return Err(ScheduleError::InvalidSchedule("it has no timesteps".into()));
        }
        if let Some(beta) = betas.iter().find(|beta| !(**beta > 0.0 && **beta < 1.0)) {
            return Err(ScheduleError::InvalidSchedule(format!("beta {beta} is not between 0 and 1")));
        }
        let mut alphas_cumprod = cumulative_product(&betas);
        if config.rescale_betas_zero_snr {
            rescale_to_zero_snr(&mut alphas_cumprod)?;
        }
        Ok(Self { config, alphas_cumprod })
    }

    /// Reads the text of a `scheduler_config.json`.
    ///
    /// # Errors
    /// As [`SchedulerConfig::from_json`] and [`NoiseSchedule::new`].
    pub fn from_json(text: &str) -> Result<Self, ScheduleError> {
        Self::new(SchedulerConfig::from_json(text)?)
    }

    /// The schedule of SD 1.5 and SDXL ([`SchedulerConfig::stable_diffusion`]).
    #[must_use]
    pub fn stable_diffusion() -> Self {
        let config = SchedulerConfig::stable_diffusion();
        let alphas_cumprod = cumulative_product(&betas(&config));
        Self { config, alphas_cumprod }
    }

    /// The config that it was built from.
    #[must_use]
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// What the network predicts.
    #[must_use]
    pub fn prediction_type(&self) -> PredictionType {
        self.config.prediction_type
    }

    /// Whether a sampler spaces its noise levels as Karras et al. do: as it is `asked`, or, where nobody says anything, as the config has it
    /// (`use_karras_sigmas`) for the samplers that can, as in diffusers.
    #[must_use]
    pub fn karras(&self, kind: SamplerKind, asked: Option<bool>) -> bool {
        asked.unwrap_or(self.config.use_karras_sigmas && kind.supports_karras())
    }

    /// Length of the forward process; timesteps are `0..num_train_timesteps()`.
    #[must_use]
    pub fn num_train_timesteps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// The share of the signal in the variance at every timestep, falling, in [0, 1). It is 0 at the last timestep
    /// only with zero terminal SNR.
    #[must_use]
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// The noise-to-signal ratio `sqrt((1 - ab) / ab)` of every timestep, rising. With zero terminal SNR the last
    /// one is 4096, not infinite.
    #[must_use]
    pub fn sigmas(&self) -> Vec<f64> {
        self.alphas_cumprod
            .iter()
            .map(|ab| {
                let ab = if *ab > 0.0 { *ab } else { ALMOST_NO_SIGNAL };
                ((1.0 - ab) / ab).sqrt()
            })
            .collect()
    }

    /// The noise-to-signal ratio at a timestep that may lie between two training timesteps (interpolated linearly)
    /// or beyond the ends (held).
    #[must_use]
    pub fn sigma(&self, timestep: f64) -> f64 {
        interpolate(&self.sigmas(), timestep)
    }

    /// `sqrt(ab_t) x_0 + sqrt(1 - ab_t) noise`: what the forward process leaves at timestep `t`.
    ///
    /// # Errors
    /// [`ScheduleError::TimestepOutOfRange`], [`ScheduleError::Length`].
    pub fn add_noise(&self, x0: &[f32], noise: &[f32], t: usize) -> Result<Vec<f32>, ScheduleError> {
        let (signal, deviation) = self.coefficients(t)?;
        combine(x0, noise, signal, deviation)
    }

    /// `sqrt(ab_t) noise - sqrt(1 - ab_t) x_0`: what a v-prediction network learns.
    ///
    /// # Errors
    /// [`ScheduleError::TimestepOutOfRange`], [`ScheduleError::Length`].
    pub fn velocity(&self, x0: &[f32], noise: &[f32], t: usize) -> Result<Vec<f32>, ScheduleError> {
        let (signal, deviation) = self.coefficients(t)?;
        combine(x0, noise, -deviation, signal)
    }

    /// What the network learns to answer, by this schedule's prediction type.
    ///
    /// # Errors
    /// [`ScheduleError::TimestepOutOfRange`], [`ScheduleError::Length`].
    pub fn target(&self, x0: &[f32], noise: &[f32], t: usize) -> Result<Vec<f32>, ScheduleError> {
        match self.prediction_type() {
            PredictionType::VPrediction => self.velocity(x0, noise, t),
            PredictionType::Epsilon => self.coefficients(t).and_then(|_| combine(x0, noise, 0.0, 1.0)),
            PredictionType::Sample => self.coefficients(t).and_then(|_| combine(x0, noise, 1.0, 0.0)),
        }
    }

    /// The weight of timestep `t`'s squared error by min-SNR-gamma (Hang et al. 2023, section 3.4): clean latents weigh
    /// `min(SNR, gamma)`, whatever the network predicts. In 0..=1 for noise and velocity.
    ///
    /// # Errors
    /// [`ScheduleError::TimestepOutOfRange`].
    pub fn min_snr_weight(&self, t: usize, gamma: f64) -> Result<f64, ScheduleError> {
        let (signal, deviation) = self.coefficients(t)?;
        let (signal, noise) = (signal.powi(2), deviation.powi(2));
        // min(SNR, gamma) / SNR and so on, without a division by a signal of 0.
        let clipped = signal.min(gamma * noise);
        Ok(match self.prediction_type() {
            PredictionType::Sample => clipped / noise,
            PredictionType::Epsilon if signal > 0.0 => clipped / signal,
            PredictionType::Epsilon => 1.0,
            PredictionType::VPrediction => clipped,
        })
    }

    /// The weight of timestep `t`'s squared error by debiased estimation (Yu et al. 2024, *Unmasking Bias in Diffusion Model
    /// Training*): clean latents weigh `sqrt(SNR)`, whatever the network predicts; noise weighs `1 / sqrt(SNR)`, at most 32,
    /// since a schedule may end without any signal.
    ///
    /// # Errors
    /// [`ScheduleError::TimestepOutOfRange`].
    pub fn debiased_weight(&self, t: usize) -> Result<f64, ScheduleError> {
        let (signal, deviation) = self.coefficients(t)?;
        let snr = (signal / deviation).powi(2);
        Ok(match self.prediction_type() {
            PredictionType::Sample => snr.sqrt(),
            PredictionType::Epsilon => snr.max(1e-3).sqrt().recip(),
            PredictionType::VPrediction => signal * deviation,
        })
    }

    /// `(sqrt(ab_t), sqrt(1 - ab_t))`.
    ///
    /// # Errors
    /// [`ScheduleError::TimestepOutOfRange`].
    pub fn coefficients(&self, t: usize) -> Result<(f64, f64), ScheduleError> {
        let train = self.num_train_timesteps();
        let ab =
            self.alphas_cumprod.get(t).ok_or(ScheduleError::TimestepOutOfRange { timestep: t, train })?;
        Ok((ab.sqrt(), (1.0 - ab).sqrt()))
    }
}

/// `a * first + b * second`, in f64.
fn combine(first: &[f32], second: &[f32], a: f64, b: f64) -> Result<Vec<f32>, ScheduleError> {
    same_length("noise", first.len(), second.len())?;
    Ok(first.iter().zip(second).map(|(x, y)| (a * f64::from(*x) + b * f64::from(*y)) as f32).collect())
}

/// Linear interpolation in a table indexed 0, 1, ...; held at the ends.
pub(super) fn interpolate(table: &[f64], at: f64) -> f64 {
    let last = table.len() - 1;
    let at = at.clamp(0.0, last as f64);
    let low = (at.floor() as usize).min(last.saturating_sub(1));
    let high = (low + 1).min(last);
    let weight = at - low as f64;
    table[low] + weight * (table[high] - table[low])
}

/// The betas, rounded to f32.
fn betas(config: &SchedulerConfig) -> Vec<f32> {
    if let Some(betas) = &config.trained_betas {
        return betas.iter().map(|beta| *beta as f32).collect();
    }
    let count = config.num_train_timesteps;
    let line = |from: f64, to: f64| {
        (0..count)
            .map(move |i| (from + (to - from) * i as f64 / count.saturating_sub(1).max(1) as f64) as f32)
    };
    match config.beta_schedule {
        BetaSchedule::Linear => line(config.beta_start, config.beta_end).collect(),
        BetaSchedule::ScaledLinear => {
            line(config.beta_start.sqrt(), config.beta_end.sqrt()).map(|root| root * root).collect()
        }
        BetaSchedule::SquaredcosCapV2 => {
            let signal = |i: usize| ((i as f64 / count as f64 + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
            (0..count).map(|i| (1.0 - signal(i + 1) / signal(i)).min(0.999) as f32).collect()
        }
    }
}

/// Running products of `1 - beta`, each rounded to f32.
fn cumulative_product(betas: &[f32]) -> Vec<f64> {
    betas
        .iter()
        .scan(1.0_f64, |product, beta| {
            *product *= f64::from(1.0 - beta);
            Some(f64::from(*product as f32))
        })
        .collect()
}

/// Shifts and scales `sqrt(ab)` so that the last is 0 and the first stays (Lin et al. 2023, algorithm 1).
fn rescale_to_zero_snr(alphas_cumprod: &mut [f64]) -> Result<(), ScheduleError> {
    let (first, last) = match alphas_cumprod {
        [first, .., last] => (first.sqrt(), last.sqrt()),
        _ => return Err(ScheduleError::InvalidSchedule("zero terminal SNR needs two timesteps".into())),
    };
    for ab in alphas_cumprod.iter_mut() {
        *ab = ((ab.sqrt() - last) * first / (first - last)).powi(2);
    }
    Ok(())
}
