//! Weights: from safetensors files, from an initializer, and back to files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Error as NetworkError, ParameterKind, Parameters};

use crate::engine::CandleEngine;
use crate::safetensors_file::SafetensorsFile;
use crate::tape::Tensor;
use crate::weights_file::WeightsFile;

/// What is wrong with a weights file. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}; check that the file exists and is readable", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a safetensors file, or is cut short.
    #[error("{}: not a whole safetensors file ({reason}); download or copy it again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The file is not one of `torch.save`, or one that is damaged or made to do harm.
    #[error(
        "{}: not a PyTorch file that can be read ({reason}); download or copy it again, or save it again as safetensors",
        path.display()
    )]
    Pth {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing or misshapen, or the configuration is impossible.
    #[error("{}: {source}; the weights and config.json beside them must belong together", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        #[source]
        source: NetworkError,
    },
    /// Tensors that the network has no use for.
    #[error(
        "{}: {} that this network does not have, such as `{}`; the weights and config.json beside them must belong together",
        path.display(), count_of(names), names.first().map_or("", String::as_str)
    )]
    Extra {
        /// The file.
        path: PathBuf,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
}

fn count_of(names: &[String]) -> String {
    if names.len() == 1 { "holds a tensor".to_owned() } else { format!("holds {} tensors", names.len()) }
}

/// Tensors by name, as a file holds them.
pub type NamedTensors = BTreeMap<String, Value>;

/// Reads a safetensors file onto the CPU.
///
/// # Errors
/// [`WeightsError::Read`] and [`WeightsError::Format`].
pub fn read_safetensors(path: &Path) -> Result<NamedTensors, WeightsError> {
    SafetensorsFile::open(path)?.read_all()
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

/// How the weights of linear layers and convolutions are held; everything else is `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As `f32`.
    #[default]
    Single,
    /// In two bytes: those of a file in half precision as they are, others rounded to bf16. Products are computed in `f32`.
    Half,
}

impl Precision {
    /// Bytes of one value of a weight of that kind.
    #[must_use]
    pub fn bytes_of(self, kind: ParameterKind) -> usize {
        match (self, kind) {
            (Self::Half, kind) if held_in_half(kind) => 2,
            _ => 4,
        }
    }
}

/// Whether a weight of that kind is read in the precision that it is held in.
fn held_in_half(kind: ParameterKind) -> bool {
    use ParameterKind::{Convolution, Linear, TransposedConvolution};
    matches!(kind, Linear | Convolution | TransposedConvolution)
}

/// Weights read from one file, for one or more networks. Each is read when it is asked for. The file is a safetensors
/// file, or one of PyTorch's `torch.save`, whose pickle is interpreted and never executed.
pub struct FileWeights {
    path: PathBuf,
    file: WeightsFile,
    used: BTreeSet<String>,
    device: Device,
    precision: Precision,
    /// What went wrong in reading, which the networks' errors cannot tell.
    failed: Option<WeightsError>,
}

/// The end of the names of buffers that old versions of transformers saved, and that no network needs.
const NOT_WEIGHTS: &str = "embeddings.position_ids";

impl FileWeights {
    /// Opens `path`; weights become `f32`.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::Format`] and [`WeightsError::Pth`].
    pub fn open(engine: &CandleEngine, path: &Path) -> Result<Self, WeightsError> {
        Self::open_as(engine, path, Precision::Single)
    }

    /// Opens `path`.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::Format`] and [`WeightsError::Pth`].
    pub fn open_as(engine: &CandleEngine, path: &Path, precision: Precision) -> Result<Self, WeightsError> {
        Ok(Self {
            path: path.to_owned(),
            file: WeightsFile::open(path)?,
            used: BTreeSet::new(),
            device: engine.device().clone(),
            precision,
            failed: None,
        })
    }

    /// Builds a network from these weights.
    ///
    /// # Errors
    /// [`WeightsError::Network`].
    pub fn build<N>(
        &mut self,
        new: impl FnOnce(&mut dyn Parameters<CandleEngine>) -> Result<N, NetworkError>,
    ) -> Result<N, WeightsError> {
        let built = new(self);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        built.map_err(|source| WeightsError::Network { path: self.path.clone(), source })
    }

    /// The shape of the tensor of that name, in the file's layout; none where there is none.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.shape(name)
    }

    /// Counts tensors as taken that a file may hold although the network has no use for them.
    pub fn pass_over_where(&mut self, is_no_weight: impl Fn(&str) -> bool) {
        self.used.extend(self.file.names().filter(|name| is_no_weight(name)).cloned());
    }

    /// Says so where the file holds tensors that no network took.
    ///
    /// # Errors
    /// [`WeightsError::Extra`].
    pub fn finish(self) -> Result<(), WeightsError> {
        let unused = |name: &&String| !self.used.contains(*name) && !name.ends_with(NOT_WEIGHTS);
        let names: Vec<String> = self.file.names().filter(unused).cloned().collect();
        if names.is_empty() { Ok(()) } else { Err(WeightsError::Extra { path: self.path, names }) }
    }
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

impl Parameters<CandleEngine> for FileWeights {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> mudi_diffusion::Result<Tensor> {
        let found = self.file.read(name).map_err(|error| {
            let reason = error.to_string();
            self.failed = Some(error);
            NetworkError::Input { name: "weights", reason }
        })?;
        let found = found
            .ok_or_else(|| NetworkError::MissingTensor { name: name.to_owned(), expected: shape.to_vec() })?;
        let value = from_file_layout(&found, kind).map_err(NetworkError::engine)?;
        if value.dims() != shape {
            return Err(NetworkError::TensorShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: value.dims().to_vec(),
            });
        }
        self.used.insert(name.to_owned());
        let dtype = match (self.precision, kind, value.dtype()) {
            (Precision::Half, kind, own) if held_in_half(kind) => {
                if own == DType::F16 {
                    DType::F16
                } else {
                    DType::BF16
                }
            }
            _ => DType::F32,
        };
        let value = value
            .to_dtype(dtype)
            .and_then(|value| value.contiguous())
            .and_then(|value| value.to_device(&self.device))
            .map_err(NetworkError::engine)?;
        Ok(Tensor::constant(value))
    }

    fn contains(&self, name: &str) -> bool {
        self.file.contains(name)
    }

    fn pass_over(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }
}

/// One weight that learns.
pub struct Trainable {
    /// Its name in files.
    pub name: String,
    /// How files lay it out.
    pub kind: ParameterKind,
    /// The leaf whose gradient updates it. Networks hold the same storage, so they see every update.
    pub leaf: Tensor,
}

/// `(name, shape, kind)` to values in the engine's layout.
type Initializer<'a> = Box<dyn FnMut(&str, &[usize], ParameterKind) -> Vec<f32> + 'a>;

/// Makes weights that learn: initialized by `init`, or taken from an earlier state.
pub struct TrainableWeights<'a> {
    init: Initializer<'a>,
    /// What has been made so far, in the order of making.
    pub made: Vec<Trainable>,
}

impl<'a> TrainableWeights<'a> {
    /// Weights whose values `init` gives.
    pub fn new(init: impl FnMut(&str, &[usize], ParameterKind) -> Vec<f32> + 'a) -> Self {
        Self { init: Box::new(init), made: Vec::new() }
    }
}

impl Parameters<CandleEngine> for TrainableWeights<'_> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> mudi_diffusion::Result<Tensor> {
        let values = (self.init)(name, shape, kind);
        let value = Value::from_vec(values, shape, &Device::Cpu).map_err(NetworkError::engine)?;
        let leaf = Tensor::leaf(value);
        self.made.push(Trainable { name: name.to_owned(), kind, leaf: leaf.clone() });
        Ok(leaf)
    }

    fn contains(&self, name: &str) -> bool {
        // The names that diffusers writes today.
        !name.contains("query.weight")
    }
}

/// The weights as a file holds them, in `dtype`.
///
/// # Errors
/// Engine errors.
pub fn named_for_file<'a>(
    weights: impl IntoIterator<Item = &'a Trainable>,
    dtype: DType,
) -> mudi_diffusion::Result<NamedTensors> {
    weights
        .into_iter()
        .map(|weight| {
            let value = to_file_layout(weight.leaf.value(), weight.kind)
                .and_then(|value| value.to_dtype(dtype))
                .map_err(NetworkError::engine)?;
            Ok((weight.name.clone(), value))
        })
        .collect()
}

/// Values of a file's tensor in the engine's layout.
///
/// # Errors
/// Engine errors.
pub fn values_from_file(value: &Value, kind: ParameterKind) -> mudi_diffusion::Result<Vec<f32>> {
    let value = from_file_layout(value, kind).map_err(NetworkError::engine)?;
    crate::slices::to_vec(&value)
}
