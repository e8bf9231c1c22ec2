//! DreamSim from a folder.

use std::path::{Path, PathBuf};

use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::FileWeights;
use mudi_vision::dreamsim::{Adapter, DreamSim, DreamSimConfig, TOWERS, Tower};

use super::{VisionError, any_file, file, listed, load_below};
use crate::base::{self, BaseError};

/// The folder of the LoRA, in the authors' archive.
pub(super) const LORA: &str = "ensemble_lora";
/// What a tower's names begin with where its file is what DINO's training left, which has a head beside it: so it is with DINO's file in
/// the authors' archive.
const AFTER_TRAINING: [&str; 2] = ["backbone.", "module.backbone."];

/// Loads DreamSim's ensemble from what the authors' archive holds: `dino_vitb16_pretrain.pth`, `clip_vitb16_pretrain.pth.tar` and
/// `open_clip_vitb16_pretrain.pth.tar` with the weights of the towers, and in `ensemble_lora` the two files that peft saves. All weights may
/// also be safetensors (`dino_vitb16.safetensors` and so on).
///
/// # Errors
/// [`VisionError`], naming the file.
pub fn load(
    engine: &CandleEngine,
    folder: &Path,
    config: &DreamSimConfig,
) -> Result<DreamSim<CandleEngine>, VisionError> {
    const NETWORK: &str = "DreamSim's towers and its LoRA";
    let lora = folder.join(LORA);
    let config_path = file(&lora, "adapter_config.json", NETWORK)?;
    let adapter = Adapter::from_json(&base::read_text(&config_path)?)
        .map_err(|source| VisionError::Config { path: config_path, source })?;
    let path = any_file(&lora, &["adapter_model.safetensors", "adapter_model.bin"], NETWORK)?;
    let mut lora = FileWeights::open(engine, &path).map_err(BaseError::from)?;
    let mut towers = Vec::with_capacity(TOWERS.len());
    for (index, name) in TOWERS.iter().enumerate() {
        let names = [".safetensors", "_pretrain.pth", "_pretrain.pth.tar"].map(|end| format!("{name}{end}"));
        let path = any_file(folder, &names, NETWORK)?;
        towers.push(load_below(engine, &path, &AFTER_TRAINING, "cls_token", |parameters| {
            Tower::new(engine, config, index, parameters, Some((adapter, &mut lora)))
        })?);
    }
    lora.finish().map_err(BaseError::from)?;
    Ok(DreamSim::new(towers))
}

/// The LoRA in a folder that is of another DreamSim than the ensemble: one of the single networks, or of the first release.
pub(super) fn other_lora(folder: &Path) -> Option<PathBuf> {
    listed(folder).find(|path| {
        path.is_dir() && path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_lora"))
    })
}
