//! What a checkpoint file says of a base's noise schedule.

use mudi_diffusion::schedule::{NoiseSchedule, PredictionType, SchedulerConfig, TimestepSpacing};

use super::ExportError;
use crate::base::{BaseError, Source, VELOCITY_FLAG, ZERO_SNR_FLAG, checkpoint_schedule};

/// Signals that differ by more are those of another schedule.
const TOLERANCE: f64 = 1e-5;

/// What programs that read the file will take for the schedule, with what it can say.
pub(super) struct Said {
    /// Its marks are tensors, which name what they say and hold nothing.
    pub(super) marks: Vec<&'static str>,
    /// `modelspec.prediction_type`.
    pub(super) prediction: &'static str,
    /// What is lost.
    pub(super) note: Option<String>,
}

impl Said {
    pub(super) fn of(source: &Source) -> Result<Self, ExportError> {
        let schedule = source.schedule()?;
        let unsaid = |what| ExportError::Unsaid { path: source.path().to_owned(), what };
        let own = schedule.config();
        let velocity = own.prediction_type == PredictionType::VPrediction;
        if own.prediction_type == PredictionType::Sample {
            return Err(unsaid("that a denoiser predicts clean latents"));
        }
        let read = checkpoint_schedule(own.prediction_type, own.rescale_betas_zero_snr);
        let same = NoiseSchedule::new(read.clone())
            .map_err(|fault| BaseError::Schedule { path: source.path().to_owned(), source: fault })?;
        let signals = [&schedule, &same].map(NoiseSchedule::alphas_cumprod);
        let differ = signals[0].iter().zip(signals[1]).any(|(own, read)| (own - read).abs() > TOLERANCE);
        if differ || signals[0].len() != signals[1].len() {
            return Err(unsaid("that a base's betas are not Stable Diffusion's"));
        }
        let pooled = source.unet_config()?.has_text_time();
        // Of SD 1.5 and 2 programs do not look for the mark: the metadata, or the weights, tell.
        let marks = [(velocity && pooled, VELOCITY_FLAG), (own.rescale_betas_zero_snr, ZERO_SNR_FLAG)];
        let notes: Vec<String> = [respaced(own, &read), karras(own)].into_iter().flatten().collect();
        Ok(Self {
            marks: marks.into_iter().filter_map(|(set, mark)| set.then_some(mark)).collect(),
            prediction: if velocity { "v" } else { "epsilon" },
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        })
    }
}

/// Where the base wishes for Karras' spacing.
fn karras(own: &SchedulerConfig) -> Option<String> {
    own.use_karras_sigmas.then(|| {
        "A checkpoint file cannot say that the base's noise levels are spaced as Karras et al. do (`use_karras_sigmas`); ask for it where the file is \
         sampled (`--karras`), or write a folder, which keeps it."
            .to_owned()
    })
}

/// Where the base spaces a sampler's timesteps in another way than its file will.
fn respaced(own: &SchedulerConfig, read: &SchedulerConfig) -> Option<String> {
    let offset = |config: &SchedulerConfig| {
        (config.timestep_spacing == Some(TimestepSpacing::Leading)).then_some(config.steps_offset)
    };
    let same = own.timestep_spacing == read.timestep_spacing && offset(own) == offset(read);
    (!same).then(|| {
        let name = |config: &SchedulerConfig| match config.timestep_spacing {
            None => "left to the sampler",
            Some(TimestepSpacing::Leading) => "leading",
            Some(TimestepSpacing::Trailing) => "trailing",
            Some(TimestepSpacing::Linspace) => "linspace",
        };
        let shift = |config| offset(config).map(|offset| format!(" with offset {offset}")).unwrap_or_default();
        format!(
            "A checkpoint file cannot say how timesteps are spaced: the base's are {}{}, those of the file will be {}{}; a folder keeps them.",
            name(own), shift(own), name(read), shift(read)
        )
    })
}
