//! The part of a SAM that a browser runs, as files of its own.

use std::path::Path;

use candle_core::{DType, Tensor as Value};
use half::f16;
use mudi_diffusion::{ParameterKind, Parameters};
use mudi_engine_candle::weights::{Trainable, named_for_file, to_safetensors};
use mudi_engine_candle::{CandleEngine, Tensor};
use mudi_vision::sam::SamDecoder;

use super::{SegmentError, build, open};

/// Prompt encoder and mask decoder, without the image encoder.
pub struct DecoderFiles {
    /// The whole model's `config.json`, as transformers writes it.
    pub config: String,
    /// A safetensors file with the authors' names. In half precision where that changes no value.
    pub weights: Vec<u8>,
    /// Side of the square in which the model sees photos, in pixels.
    pub image_size: usize,
}

/// Takes note of all weights that a network asks for.
struct Noting<'a> {
    source: &'a mut dyn Parameters<CandleEngine>,
    noted: Vec<Trainable>,
}

impl Parameters<CandleEngine> for Noting<'_> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> mudi_diffusion::Result<Tensor> {
        let leaf = self.source.get(name, shape, kind)?;
        self.noted.push(Trainable { name: name.to_owned(), kind, leaf: leaf.clone() });
        Ok(leaf)
    }

    fn contains(&self, name: &str) -> bool {
        self.source.contains(name)
    }
}

/// Whether 16 bits hold every value as it is.
fn is_half(value: &Value) -> candle_core::Result<bool> {
    let values = value.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().all(|&value| f16::from_f32(value).to_f32().to_bits() == value.to_bits()))
}

/// The decoder of the SAM in `folder`.
///
/// # Errors
/// [`SegmentError`], naming the file.
pub fn decoder_files(folder: &Path) -> Result<DecoderFiles, SegmentError> {
    let engine = CandleEngine::cpu();
    let (mut weights, config) = open(&engine, folder)?;
    let failed = |error: String| SegmentError::Decoder(error);
    let text = serde_json::to_string(&config).map_err(|error| failed(error.to_string()))?;
    let image_size = config.image_size();
    let noted = build(&mut weights, config, |config, source| {
        let mut noting = Noting { source, noted: Vec::new() };
        SamDecoder::new(&engine, &config, &mut noting)?;
        Ok(noting.noted)
    })?;
    let mut half = true;
    for weight in &noted {
        half = half && is_half(weight.leaf.value()).map_err(|error| failed(error.to_string()))?;
    }
    let named = named_for_file(&noted, if half { DType::F16 } else { DType::F32 })?;
    Ok(DecoderFiles { config: text, weights: to_safetensors(&named, None).map_err(failed)?, image_size })
}
