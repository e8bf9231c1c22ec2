//! Weights: from files, from an initializer, and back to files.

mod error;
mod from_file;
mod opened;
mod safetensors_file;
mod trainable;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor as Value};
pub use error::{OtherFormat, WeightsError};
pub use from_file::FileWeights;
use mudi_diffusion::{Error as NetworkError, ParameterKind};
use safetensors_file::SafetensorsFile;
pub use trainable::{Trainable, TrainableWeights, named_for_file, values_from_file};
pub use writer::{SafetensorsWriter, TensorHeader};

/// Tensors by name, as a file holds them.
pub type NamedTensors = BTreeMap<String, Value>;

/// Reads a safetensors file onto the CPU.
///
/// # Errors
/// [`WeightsError::Read`], [`WeightsError::NotSafetensors`] and [`WeightsError::Format`].
pub fn read_safetensors(path: &Path) -> Result<NamedTensors, WeightsError> {
    SafetensorsFile::open(path)?.read_all()
}

/// Reads the metadata of a safetensors file.
///
/// # Errors
/// [`WeightsError::Read`], [`WeightsError::NotSafetensors`] and [`WeightsError::Format`].
pub fn read_safetensors_metadata(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    Ok(SafetensorsFile::open(path)?.into_metadata())
}

/// The bytes of a safetensors file, sorted by name, with the given metadata.
///
/// # Errors
/// Tensors that are not on the CPU or of a type that the format has no name for; as text.
pub fn to_safetensors(
    tensors: &NamedTensors,
    metadata: Option<&BTreeMap<String, String>>,
) -> Result<Vec<u8>, String> {
    let metadata = metadata.map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    safetensors::serialize(tensors.iter(), metadata).map_err(|error| error.to_string())
}

/// Whether all values are numbers, and none is infinite.
///
/// # Errors
/// Engine errors.
pub fn all_finite(value: &Value) -> Result<bool, NetworkError> {
    if value.elem_count() == 0 {
        return Ok(true);
    }
    // Nought times anything else is not nought; the largest of values would pass over what is no number.
    let sum =
        value.to_dtype(DType::F32).and_then(|value| value.affine(0.0, 0.0)?.sum_all()?.to_scalar::<f32>());
    Ok(sum.map_err(NetworkError::engine)? == 0.0)
}

/// How the weights of linear layers and convolutions are held; everything else is `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As `f32`.
    #[default]
    Single,
    /// In two bytes: those of a file in half precision as they are, others rounded to bf16.
    Half,
    /// In two bytes, all rounded to bf16.
    ///
    /// With such weights, of a file or rounded, a processor that has instructions for it (AVX-512 BF16) multiplies bf16 values, so what goes into
    /// a product is rounded, too; sums are `f32`. Others, and products with weights in f16, are computed in `f32`.
    Bf16,
}

impl Precision {
    /// Bytes of one value of a weight of that kind.
    #[must_use]
    pub fn bytes_of(self, kind: ParameterKind) -> usize {
        match (self, kind) {
            (Self::Half | Self::Bf16, kind) if held_in_half(kind) => 2,
            _ => 4,
        }
    }
}

/// Whether a weight of that kind is read in the precision that it is held in.
fn held_in_half(kind: ParameterKind) -> bool {
    use ParameterKind::{Convolution, Linear, TransposedConvolution};
    matches!(kind, Linear | Convolution | TransposedConvolution)
}

/// From the layout of files to that of the engine.
fn from_file_layout(value: &Value, kind: ParameterKind) -> candle_core::Result<Value> {
    match (kind, value.rank()) {
        (ParameterKind::Convolution, 4) => value.permute((0, 2, 3, 1)),
        (ParameterKind::TransposedConvolution, 4) => value.permute((2, 3, 1, 0)),
        (ParameterKind::Linear, 4) if value.dims()[2..] == [1, 1] => value.flatten_from(1),
        _ => Ok(value.clone()),
    }
}

/// From the layout of the engine to that of files.
fn to_file_layout(value: &Value, kind: ParameterKind) -> candle_core::Result<Value> {
    match kind {
        ParameterKind::Convolution => value.permute((0, 3, 1, 2))?.contiguous(),
        ParameterKind::TransposedConvolution => value.permute((3, 2, 0, 1))?.contiguous(),
        _ => value.contiguous(),
    }
}
