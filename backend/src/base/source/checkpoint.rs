//! A checkpoint in one file, as CivitAI and ComfyUI use them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use mudi_diffusion::ldm::{Checkpoint, UNET};
use mudi_diffusion::schedule::{NoiseSchedule, PredictionType, SchedulerConfig, TimestepSpacing};
use mudi_diffusion::vae::VaeConfig;
use mudi_diffusion::{Component, lora};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{FileWeights, Precision};

use super::vocabulary;
use crate::base::BaseError;

/// A checkpoint file and the sizes of its networks.
pub(super) struct CheckpointFile {
    path: PathBuf,
    pub(super) checkpoint: Arc<Checkpoint>,
    prediction: PredictionType,
    zero_snr: bool,
}

/// Tensors that some trainers of SDXL put into a file to say what it predicts, and that its schedule ends in pure noise.
pub(crate) const VELOCITY_FLAG: &str = "v_pred";
pub(crate) const ZERO_SNR_FLAG: &str = "ztsnr";

/// A norm's shift whose values are wide apart in SD 2's models of velocity, and narrow in those of noise; no other tensor
/// or name tells the two apart in the published files. The bound is the one that ComfyUI decides by.
const TELLING: &str = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
const TELLING_DEVIATION: f64 = 0.09;

impl CheckpointFile {
    pub(super) fn open(path: &Path) -> Result<Self, BaseError> {
        refuse_pickles(path)?;
        let mut file = FileWeights::open(&CandleEngine::cpu(), path)?;
        let mut checkpoint = Checkpoint::detect(&|name: &str| file.shape(name).map(<[usize]>::to_vec))
            .map_err(|source| {
                let is_lora = file.names().any(|name| lora::names::split(name).is_some());
                let lora = "it holds a LoRA, which changes a base and is none itself; take a base (to which the command line adds a LoRA by --lora)";
                let source = if is_lora { mudi_diffusion::Error::Config(lora.to_owned()) } else { source };
                BaseError::Config { path: path.to_owned(), source }
            })?;
        if let Some(text) = checkpoint.text.iter().find(|text| text.config.vocab_size != vocabulary::TOKENS) {
            let reason = format!(
                "its text encoder has {} tokens, and CLIP's vocabulary {}; name a folder in diffusers' layout, which has its own",
                text.config.vocab_size,
                vocabulary::TOKENS
            );
            let source = mudi_diffusion::Error::Config(reason);
            return Err(BaseError::Config { path: path.to_owned(), source });
        }
        let prediction = prediction(&mut file, &checkpoint)?;
        if is_second(&checkpoint) && prediction == PredictionType::Epsilon {
            // SD 2's models of noise were trained on pictures of 512 pixels, those of velocity on larger ones.
            checkpoint.unet.sample_size = Some(64);
        }
        let zero_snr = file.shape(ZERO_SNR_FLAG).is_some();
        Ok(Self { path: path.to_owned(), checkpoint: Arc::new(checkpoint), prediction, zero_snr })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn weights(
        &self,
        engine: &CandleEngine,
        component: Component,
        precision: Precision,
    ) -> Result<FileWeights, BaseError> {
        if component == Component::Vae {
            self.vae_config()?;
        }
        let checkpoint = self.checkpoint.clone();
        let weights = FileWeights::open_as(engine, &self.path, precision)?;
        let within = if component == Component::Unet { Some(UNET) } else { None };
        Ok(weights.named(move |name| checkpoint.stored(component, name)).all_below(within))
    }

    /// The autoencoder's configuration.
    pub(super) fn vae_config(&self) -> Result<VaeConfig, BaseError> {
        if self.checkpoint.holds_vae {
            return Ok(self.checkpoint.vae.clone());
        }
        let source = mudi_diffusion::Error::Config(
            "it holds no autoencoder (tensors that start with `first_stage_model.`); take a whole checkpoint (or on the command line one of its family as --vae)"
                .to_owned(),
        );
        Err(BaseError::Config { path: self.path.clone(), source })
    }

    pub(super) fn schedule(&self) -> Result<NoiseSchedule, BaseError> {
        NoiseSchedule::new(checkpoint_schedule(self.prediction, self.zero_snr))
            .map_err(|source| BaseError::Schedule { path: self.path.clone(), source })
    }
}

/// The schedule of a checkpoint file: Stable Diffusion's, with what the file says.
pub(crate) fn checkpoint_schedule(prediction: PredictionType, zero_snr: bool) -> SchedulerConfig {
    // The last timestep, which is pure noise, is visited with trailing spacing only (Lin et al. 2023, section 3.3).
    let spacing = if zero_snr { TimestepSpacing::Trailing } else { TimestepSpacing::Leading };
    SchedulerConfig {
        prediction_type: prediction,
        rescale_betas_zero_snr: zero_snr,
        timestep_spacing: Some(spacing),
        ..SchedulerConfig::stable_diffusion()
    }
}

/// Pickles can run any code when they are read.
pub(super) fn refuse_pickles(path: &Path) -> Result<(), BaseError> {
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let pickled = ["ckpt", "pt", "pth", "bin", "pkl"];
    if extension.is_some_and(|extension| pickled.iter().any(|known| extension == *known)) {
        return Err(BaseError::Pickle { path: path.to_owned() });
    }
    Ok(())
}

/// Whether it is of SD 2.
fn is_second(checkpoint: &Checkpoint) -> bool {
    !checkpoint.unet.has_text_time() && checkpoint.text.iter().any(|text| text.pads_with_zero)
}

/// What the denoiser predicts: how the file was marked, which nobody does by accident, or what it says
/// (`modelspec.prediction_type`, which tools write into every file), or for SD 2 what its weights look like.
fn prediction(file: &mut FileWeights, checkpoint: &Checkpoint) -> Result<PredictionType, BaseError> {
    if file.shape(VELOCITY_FLAG).is_some() {
        return Ok(PredictionType::VPrediction);
    }
    if let Some(said) = file.metadata().get("modelspec.prediction_type") {
        let velocity = said.starts_with('v');
        return Ok(if velocity { PredictionType::VPrediction } else { PredictionType::Epsilon });
    }
    if !is_second(checkpoint) {
        return Ok(PredictionType::Epsilon);
    }
    let Some(bias) = file.read(TELLING)? else { return Ok(PredictionType::VPrediction) };
    let values = bias
        .to_dtype(DType::F32)
        .and_then(|bias| bias.flatten_all()?.to_vec1::<f32>())
        .map_err(mudi_diffusion::Error::engine)?;
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let velocity = variance.sqrt() > TELLING_DEVIATION;
    Ok(if velocity { PredictionType::VPrediction } else { PredictionType::Epsilon })
}
