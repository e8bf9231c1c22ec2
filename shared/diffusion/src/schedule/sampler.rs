//! Samplers: from noise to latents in a few steps.
use super::error::same_length;
use super::spacing::{sigmas, spacing, timesteps};
use super::{FinalSigma, NoiseSchedule, PredictionType, SamplerKind, ScheduleError, TimestepSpacing};

/// One walk from noise to latents.
///
/// The latents' scale is the sampler's own affair: start from unit normal noise times
/// [`Sampler::init_noise_sigma`] (or [`super::mean_shifted_start`]), show the network a copy that went through
/// [`Sampler::scale_model_input`], and give its answer to [`Sampler::step`].
#[derive(Debug, Clone)]
pub struct Sampler {
    kind: SamplerKind,
    prediction: PredictionType,
    timesteps: Vec<f32>,
    /// Noise before each step and after the last.
    levels: Vec<Level>,
    init_noise_sigma: f32,
    first_order_end: bool,
    /// DPM-Solver++: the clean sample predicted one step ago.
    previous: Option<Vec<f32>>,
    next: usize,
}

/// A noise level in both views.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// Share of the signal in the variance, in [0, 1].
    alpha_bar: f64,
    /// Noise-to-signal ratio; infinite only for DDIM with zero terminal SNR.
    sigma: f64,
}

impl Level {
    fn from_sigma(sigma: f64) -> Self {
        Self { alpha_bar: 1.0 / (sigma * sigma + 1.0), sigma }
    }

    fn from_alpha_bar(alpha_bar: f64) -> Self {
        Self { alpha_bar, sigma: ((1.0 - alpha_bar) / alpha_bar).sqrt() }
    }
}

impl Sampler {
    /// Plans `steps` steps, from 1 to the number of training timesteps (one less for DPM-Solver++).
    ///
    /// # Errors
    /// Too few or too many steps, Karras sigmas for a sampler without them, or a config that the sampler cannot
    /// follow: see [`ScheduleError`].
    pub fn new(
        kind: SamplerKind,
        schedule: &NoiseSchedule,
        steps: usize,
        karras: bool,
    ) -> Result<Self, ScheduleError> {
        if karras && !kind.supports_karras() {
            return Err(ScheduleError::KarrasUnsupported(kind));
        }
        let config = schedule.config();
        let mut at = timesteps(kind, schedule, steps)?;
        let levels = match kind {
            SamplerKind::Ddim => ddim_levels(schedule, &at)?,
            _ => sigmas(kind, schedule, karras, &mut at).into_iter().map(Level::from_sigma).collect(),
        };
        let init_noise_sigma = if kind.explodes() {
            let largest = levels.iter().map(|level| level.sigma).fold(0.0, f64::max);
            match spacing(kind, schedule) {
                TimestepSpacing::Leading => largest.hypot(1.0) as f32,
                _ => largest as f32,
            }
        } else {
            1.0
        };
        let first_order_end = config.euler_at_final
            || (config.lower_order_final && steps < 15)
            || config.final_sigmas_type == FinalSigma::Zero;
        Ok(Self {
            kind,
            prediction: config.prediction_type,
            timesteps: at.into_iter().map(|t| t as f32).collect(),
            levels,
            init_noise_sigma,
            first_order_end,
            previous: None,
            next: 0,
        })
    }

    /// Which sampler it is.
    #[must_use]
    pub fn kind(&self) -> SamplerKind {
        self.kind
    }

    /// What to tell the network at each step, falling; with Karras or linspace spacing not whole numbers.
    #[must_use]
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The standard deviation of the first latents: unit normal noise is multiplied by it.
    #[must_use]
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// The coefficient with which a clean latent stands in this sampler's first latents: 1 where they are
    /// `x_0 + sigma noise` (Euler), `sqrt(ab)` of the first timestep where they have unit variance.
    #[must_use]
    pub fn init_signal(&self) -> f32 {
        if self.kind.explodes() { 1.0 } else { self.levels[0].alpha_bar.sqrt() as f32 }
    }

    /// The share of the signal in the variance before step `i`, in [0, 1); 1 beyond the last step.
    #[must_use]
    pub fn alpha_bar(&self, i: usize) -> f64 {
        let i = if self.kind == SamplerKind::Ddim { 2 * i } else { i };
        if i < self.levels.len() - 1 { self.levels[i].alpha_bar } else { 1.0 }
    }

    /// Whether [`Sampler::step`] needs fresh unit normal noise.
    #[must_use]
    pub fn needs_noise(&self) -> bool {
        self.kind == SamplerKind::EulerAncestral
    }

    /// Brings a copy of the latents to the unit variance that the network knows; nothing to do except for Euler.
    ///
    /// # Errors
    /// [`ScheduleError::StepOrder`] if there is no step `i`.
    pub fn scale_model_input(&self, sample: &mut [f32], i: usize) -> Result<(), ScheduleError> {
        self.check_index(i)?;
        if self.kind.explodes() {
            let divisor = self.levels[i].sigma.hypot(1.0);
            for x in sample {
                *x = (f64::from(*x) / divisor) as f32;
            }
        }
        Ok(())
    }

    /// Takes step `i`: replaces the latents before it by those after it.
    ///
    /// `model_output` is the network's answer (after guidance), `noise` unit normal noise if
    /// [`Sampler::needs_noise`]; all of the latents' length. DPM-Solver++ remembers its last step, so it must be
    /// called in order; step 0 starts afresh.
    ///
    /// # Errors
    /// [`ScheduleError::StepOrder`], [`ScheduleError::NoiseMissing`], [`ScheduleError::Length`]; the latents are
    /// then as they were.
    pub fn step(
        &mut self,
        i: usize,
        model_output: &[f32],
        sample: &mut [f32],
        noise: Option<&[f32]>,
    ) -> Result<(), ScheduleError> {
        self.check_index(i)?;
        same_length("model output", sample.len(), model_output.len())?;
        match self.kind {
            SamplerKind::Ddim => self.ddim(i, model_output, sample),
            SamplerKind::Euler => self.euler(i, model_output, sample),
            SamplerKind::EulerAncestral => {
                let noise = noise.ok_or(ScheduleError::NoiseMissing(self.kind))?;
                same_length("noise", sample.len(), noise.len())?;
                self.euler_ancestral(i, model_output, sample, noise);
            }
            SamplerKind::DpmPp2m => self.dpmpp_2m(i, model_output, sample)?,
        }
        Ok(())
    }

    fn check_index(&self, i: usize) -> Result<(), ScheduleError> {
        let last = self.timesteps.len() - 1;
        if i > last { Err(ScheduleError::StepOrder { expected: last, found: i }) } else { Ok(()) }
    }

    /// The clean sample that the network's answer implies, for latents of unit variance.
    fn clean(&self, level: Level, output: f64, x: f64) -> f64 {
        let (signal, deviation) = (level.alpha_bar.sqrt(), (1.0 - level.alpha_bar).sqrt());
        match self.prediction {
            PredictionType::Epsilon => (x - deviation * output) / signal,
            PredictionType::VPrediction => signal * x - deviation * output,
            PredictionType::Sample => output,
        }
    }

    /// The direction `(x - x_0) / sigma` of the ODE, for latents `x_0 + sigma noise`.
    fn slope(&self, level: Level, output: f64, x: f64) -> f64 {
        let Level { alpha_bar, sigma } = level;
        match self.prediction {
            PredictionType::Epsilon => output,
            PredictionType::VPrediction => alpha_bar.sqrt() * output + sigma * alpha_bar * x,
            PredictionType::Sample => (x - output) / sigma,
        }
    }

    fn ddim(&self, i: usize, outputs: &[f32], sample: &mut [f32]) {
        let (from, to) = (self.levels[2 * i], self.levels[2 * i + 1]);
        let (signal, deviation) = (from.alpha_bar.sqrt(), (1.0 - from.alpha_bar).sqrt());
        let (signal_to, deviation_to) = (to.alpha_bar.sqrt(), (1.0 - to.alpha_bar).sqrt());
        for (x, output) in sample.iter_mut().zip(outputs) {
            let (before, output) = (f64::from(*x), f64::from(*output));
            let clean = self.clean(from, output, before);
            let noise = match self.prediction {
                PredictionType::Epsilon => output,
                PredictionType::VPrediction => signal * output + deviation * before,
                PredictionType::Sample => (before - signal * clean) / deviation,
            };
            *x = (signal_to * clean + deviation_to * noise) as f32;
        }
    }

    fn euler(&self, i: usize, outputs: &[f32], sample: &mut [f32]) {
        let level = self.levels[i];
        let distance = self.levels[i + 1].sigma - level.sigma;
        for (x, output) in sample.iter_mut().zip(outputs) {
            let before = f64::from(*x);
            *x = (before + distance * self.slope(level, f64::from(*output), before)) as f32;
        }
    }

    fn euler_ancestral(&self, i: usize, outputs: &[f32], sample: &mut [f32], noise: &[f32]) {
        let level = self.levels[i];
        let (from, to) = (level.sigma, self.levels[i + 1].sigma);
        // The noise that is put back, and the level below which the step must go to make room for it.
        let up = (to * to * (from * from - to * to) / (from * from)).max(0.0).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        for ((x, output), fresh) in sample.iter_mut().zip(outputs).zip(noise) {
            let before = f64::from(*x);
            let slope = self.slope(level, f64::from(*output), before);
            *x = (before + (down - from) * slope + up * f64::from(*fresh)) as f32;
        }
    }

    fn dpmpp_2m(&mut self, i: usize, outputs: &[f32], sample: &mut [f32]) -> Result<(), ScheduleError> {
        if i == 0 {
            self.previous = None;
        } else if i != self.next || self.previous.as_ref().is_none_or(|old| old.len() != sample.len()) {
            return Err(ScheduleError::StepOrder { expected: self.next, found: i });
        }
        let (from, to) = (self.levels[i], self.levels[i + 1]);
        let clean: Vec<f32> = outputs
            .iter()
            .zip(sample.iter())
            .map(|(output, x)| self.clean(from, f64::from(*output), f64::from(*x)) as f32)
            .collect();
        // With lambda = -ln sigma and h its increase over the step, exp(-h) is the ratio of the sigmas.
        let ratio = to.sigma / from.sigma;
        let keep = ratio * (to.alpha_bar / from.alpha_bar).sqrt();
        let gain = to.alpha_bar.sqrt() * (1.0 - ratio);
        let last = i + 1 == self.timesteps.len();
        let old = self.previous.take().filter(|_| !(last && self.first_order_end));
        // Half the slope of the clean sample over the last step, carried over this one: 1 / (2 r).
        let walked = if i > 0 { (from.sigma / self.levels[i - 1].sigma).ln() } else { 0.0 };
        let carry = if walked < 0.0 { 0.5 * ratio.ln() / walked } else { 0.0 };
        for (k, x) in sample.iter_mut().enumerate() {
            let now = f64::from(clean[k]);
            let bend = old.as_ref().map_or(0.0, |old| carry * (now - f64::from(old[k])));
            *x = (keep * f64::from(*x) + gain * (now + bend)) as f32;
        }
        self.previous = Some(clean);
        self.next = i + 1;
        Ok(())
    }
}

/// DDIM's levels in pairs, before and after each step: a step's end need not be the next one's start.
fn ddim_levels(schedule: &NoiseSchedule, at: &[f64]) -> Result<Vec<Level>, ScheduleError> {
    let config = schedule.config();
    if config.clip_sample {
        let what = "`clip_sample` is set, which is for pixels; set it to false for latents";
        return Err(ScheduleError::Unsupported(what.into()));
    }
    let table = schedule.alphas_cumprod();
    let stride = table.len() / at.len();
    let end = if config.set_alpha_to_one { 1.0 } else { table[0] };
    let mut levels = Vec::with_capacity(2 * at.len());
    for t in at {
        let t = *t as usize;
        let level = Level::from_alpha_bar(table[t]);
        if level.alpha_bar == 0.0 && config.prediction_type == PredictionType::Epsilon {
            let what = "noise prediction says nothing where there is no signal (zero terminal SNR); take the sampler euler";
            return Err(ScheduleError::Unsupported(what.into()));
        }
        levels.push(level);
        levels.push(Level::from_alpha_bar(t.checked_sub(stride).map_or(end, |before| table[before])));
    }
    Ok(levels)
}
