//! A LoRA with the names that other programs read.

use std::path::Path;

use candle_core::DType;
use mudi_diffusion::Component;
use mudi_engine_candle::lora::{Dialect, LoraFile, Target, translate};
use mudi_engine_candle::weights::{SafetensorsWriter, TensorHeader};

use super::ExportError;
use crate::base::Source;

/// Writes the LoRA in `file`, which is for the base `source`, to `out`; returns how many layers it adapts.
///
/// # Errors
/// [`ExportError`]; nothing half-written is left.
pub fn write_lora(file: &Path, source: &Source, dialect: Dialect, out: &Path) -> Result<usize, ExportError> {
    if out.exists() {
        return Err(ExportError::Exists { path: out.to_owned() });
    }
    let lora = LoraFile::read(file)?;
    let count = lora.len();
    let unet = source.unet_config()?;
    // A checkpoint file may come without an autoencoder, of which this is all that is asked.
    let reduction = if source.has(Component::Vae) { source.vae_config()?.reduction() } else { 8 };
    let resolution = unet.sample_size.unwrap_or(64) * reduction;
    let target = Target {
        layers: &source.layers()?,
        unet: &unet,
        prediction: source.schedule()?.prediction_type(),
        resolution,
    };
    let title = out.file_stem().unwrap_or_default().to_string_lossy();
    let (tensors, metadata) = translate(lora, dialect, target, &title)?;
    let headers = tensors.iter().map(|(name, value)| TensorHeader {
        name: name.clone(),
        shape: value.dims().to_vec(),
        dtype: match value.dtype() {
            half @ (DType::F16 | DType::BF16) => half,
            _ => DType::F32,
        },
    });
    let mut writer = SafetensorsWriter::create(out, headers.collect(), &metadata)?;
    for value in tensors.values() {
        writer.write(value)?;
    }
    writer.finish()?;
    Ok(count)
}
