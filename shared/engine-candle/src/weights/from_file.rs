//! Weights that are read from files when a network asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::ldm::{Part, Stored};
use mudi_diffusion::{Component, Error as NetworkError, ParameterKind, Parameters};

use super::opened::Opened;
use super::{Precision, WeightsError, from_file_layout, held_in_half};
use crate::engine::CandleEngine;
use crate::lora::Stack;
use crate::slices::WeightSlice;
use crate::tape::Tensor;

/// Where a file has the weight of a name.
type Names = Box<dyn Fn(&str) -> Option<Stored>>;

/// Weights read from one file, or from the shards of one index, for one or more networks. Each is read when it is asked for.
/// The file is a safetensors file, or one of PyTorch's `torch.save`, whose pickle is interpreted and never executed.
pub struct FileWeights {
    path: PathBuf,
    file: Opened,
    used: BTreeSet<String>,
    device: Device,
    precision: Precision,
    /// The type of all weights in two bytes, where the engine has one of its own.
    two_bytes: Option<DType>,
    names: Option<Names>,
    /// What names in the file start with that are all of the network.
    own: Option<&'static str>,
    loras: Option<(Component, Arc<Stack>)>,
    /// What went wrong in reading, which the networks' errors cannot tell.
    failed: Option<WeightsError>,
}

/// The end of the names of buffers that old versions of transformers saved, and that no network needs.
const NOT_WEIGHTS: &str = "embeddings.position_ids";

/// What ComfyUI calls the one number that a layer's weight in fp8 is to be multiplied by: in files with the mark `scaled_fp8`, and in those
/// of today.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];

/// The ends of names of what it keeps beside weights in fp8.
const BESIDE: [&str; 6] =
    [".scale_weight", ".weight_scale", ".scale_input", ".input_scale", ".comfy_quant", ".scaled_fp8"];

impl FileWeights {
    /// Opens `path`; weights become `f32`.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::NotSafetensors`], [`WeightsError::Format`], [`WeightsError::Index`] and [`WeightsError::Pth`].
    pub fn open(engine: &CandleEngine, path: &Path) -> Result<Self, WeightsError> {
        Self::open_as(engine, path, Precision::Single)
    }

    /// Opens `path`.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::NotSafetensors`], [`WeightsError::Format`], [`WeightsError::Index`] and [`WeightsError::Pth`].
    pub fn open_as(engine: &CandleEngine, path: &Path, precision: Precision) -> Result<Self, WeightsError> {
        Ok(Self {
            path: path.to_owned(),
            file: Opened::open(path)?,
            used: BTreeSet::new(),
            device: engine.device().clone(),
            precision,
            two_bytes: engine.two_bytes(),
            names: None,
            own: None,
            loras: None,
            failed: None,
        })
    }

    /// Reads the weight of a name from where `names` says; it has none where that says so. Such a file may hold more than
    /// is asked for.
    #[must_use]
    pub fn named(mut self, names: impl Fn(&str) -> Option<Stored> + 'static) -> Self {
        self.names = Some(Box::new(names));
        self
    }

    /// Of the names in a file that holds more than is asked for, those that start with `own` are of the network alone.
    #[must_use]
    pub fn all_below(mut self, own: Option<&'static str>) -> Self {
        self.own = own;
        self
    }

    /// Adds LoRAs to the weights, which are those of `component`.
    #[must_use]
    pub fn adapted(mut self, component: Component, loras: &Arc<Stack>) -> Self {
        self.loras = (!loras.is_empty()).then(|| (component, loras.clone()));
        self
    }

    /// Builds a network from these weights.
    ///
    /// # Errors
    /// [`WeightsError::Network`], [`WeightsError::NotNumbers`], [`WeightsError::Lora`].
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

    /// The file, or the index of its shards.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of the tensor of that name in the file, in the file's layout; none where there is none.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.shape(name)
    }

    /// The names of all tensors in the file.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.file.names()
    }

    /// What the file says about itself.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.file.metadata()
    }

    /// The weight of that name as the file holds it, with its scale and all LoRAs; none where there is none.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::NotSafetensors`], [`WeightsError::Format`], [`WeightsError::Type`], [`WeightsError::Scale`] and [`WeightsError::Lora`].
    pub fn read(&mut self, name: &str) -> Result<Option<Value>, WeightsError> {
        Ok(self.adapted_weight(name)?.map(|(value, _)| value))
    }

    /// The same, and the type that it has without LoRAs, which are added in `f32`.
    fn adapted_weight(&mut self, name: &str) -> Result<Option<(Value, DType)>, WeightsError> {
        let found = match self.stored(name) {
            Some(stored) => {
                let value = self.part(&stored)?;
                if self.own.is_some() {
                    self.used.insert(stored.name);
                }
                value
            }
            None => None,
        };
        let Some(value) = found else { return Ok(None) };
        self.used.insert(name.to_owned());
        let dtype = value.dtype();
        let value = match &self.loras {
            Some((component, loras)) => loras.apply(*component, name, value)?,
            None => value,
        };
        Ok(Some((value, dtype)))
    }

    /// Where the file has the weight of that name.
    fn stored(&self, name: &str) -> Option<Stored> {
        match &self.names {
            Some(names) => names(name),
            None => Some(Stored { name: name.to_owned(), part: Part::Whole }),
        }
    }

    fn part(&mut self, stored: &Stored) -> Result<Option<Value>, WeightsError> {
        let Some(value) = self.file.read(&stored.name)? else { return Ok(None) };
        let value = self.scaled(&stored.name, value)?;
        let part = match stored.part {
            Part::Whole => Ok(value),
            Part::Transposed => value.t().and_then(|value| value.contiguous()),
            Part::Third(index) => value.dim(0).and_then(|rows| {
                let third = rows / 3;
                value.narrow(0, index * third, third)?.contiguous()
            }),
        };
        part.map(Some).map_err(|error| self.fault(&stored.name, &error))
    }

    fn fault(&self, name: &str, error: &candle_core::Error) -> WeightsError {
        let reason = format!("tensor `{name}`: {}", error.to_string().lines().next().unwrap_or_default());
        WeightsError::Format { path: self.path.clone(), reason }
    }

    /// A weight in fp8 times the scale that the file keeps beside it.
    fn scaled(&mut self, name: &str, value: Value) -> Result<Value, WeightsError> {
        // Those in e5m2 have become f16.
        let is_fp8 = matches!(value.dtype(), DType::F8E4M3 | DType::F16);
        let Some(layer) = name.strip_suffix(".weight").filter(|_| is_fp8) else { return Ok(value) };
        for end in SCALES {
            let scale_name = format!("{layer}.{end}");
            let Some(scale) = self.file.read(&scale_name)? else { continue };
            if scale.elem_count() != 1 {
                return Err(WeightsError::Scale {
                    path: self.path.clone(),
                    name: scale_name,
                    shape: scale.dims().to_vec(),
                });
            }
            self.used.insert(scale_name);
            let scale = scale.to_dtype(DType::F32).and_then(|scale| scale.flatten_all()?.get(0));
            let product = scale.and_then(|scale| value.to_dtype(DType::F32)?.broadcast_mul(&scale));
            return product.map_err(|error| self.fault(name, &error));
        }
        Ok(value)
    }

    /// Counts tensors as taken that a file may hold although the network has no use for them.
    pub fn pass_over_where(&mut self, is_no_weight: impl Fn(&str) -> bool) {
        self.used.extend(self.file.names().filter(|name| is_no_weight(name)).cloned());
    }

    /// Says so where the file holds tensors that no network took.
    ///
    /// # Errors
    /// [`WeightsError::Extra`] and [`WeightsError::Parts`].
    pub fn finish(self) -> Result<(), WeightsError> {
        if self.names.is_some() {
            let Some(own) = self.own else { return Ok(()) };
            let of_scales = |name: &str| BESIDE.iter().any(|end| name.ends_with(end));
            let left =
                |name: &&String| name.starts_with(own) && !self.used.contains(*name) && !of_scales(name);
            let names: Vec<String> = self.file.names().filter(left).cloned().collect();
            return if names.is_empty() {
                Ok(())
            } else {
                Err(WeightsError::Parts { path: self.path, names })
            };
        }
        let unused = |name: &&String| !self.used.contains(*name) && !name.ends_with(NOT_WEIGHTS);
        let names: Vec<String> = self.file.names().filter(unused).cloned().collect();
        if names.is_empty() { Ok(()) } else { Err(WeightsError::Extra { path: self.path, names }) }
    }

    /// Keeps what went wrong for [`Self::build`]; networks' errors are about shapes.
    fn fail(&mut self, error: WeightsError) -> NetworkError {
        let reason = error.to_string();
        self.failed = Some(error);
        NetworkError::Input { name: "weights", reason }
    }
}

impl Parameters<CandleEngine> for FileWeights {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> mudi_diffusion::Result<Tensor> {
        let found = self.adapted_weight(name).map_err(|error| self.fail(error))?;
        let (found, in_file) = found
            .ok_or_else(|| NetworkError::MissingTensor { name: name.to_owned(), expected: shape.to_vec() })?;
        let value = from_file_layout(&found, kind).map_err(NetworkError::engine)?;
        if value.dims() != shape {
            return Err(NetworkError::TensorShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: value.dims().to_vec(),
            });
        }
        let dtype = match (self.precision, self.two_bytes, in_file) {
            (Precision::Single, ..) => DType::F32,
            _ if !held_in_half(kind) => DType::F32,
            (_, Some(own), _) => own,
            (Precision::Half, None, DType::F16) => DType::F16,
            _ => DType::BF16,
        };
        let cast =
            |dtype| value.to_dtype(dtype).and_then(|value| value.contiguous()).map_err(NetworkError::engine);
        let finite = |value: &Value| -> mudi_diffusion::Result<bool> {
            Ok(WeightSlice::of(value)?.values().all_finite())
        };
        let mut held = cast(dtype)?;
        if dtype == DType::F16 && value.dtype() != dtype && !finite(&held)? {
            // It is too large for f16: a LoRA made it so, or its file has another type. A card that holds f16 has no bf16.
            held = cast(if self.two_bytes.is_some() { DType::F32 } else { DType::BF16 })?;
        }
        let value = held;
        if !finite(&value)? {
            let error = WeightsError::NotNumbers { path: self.path.clone(), name: name.to_owned() };
            return Err(self.fail(error));
        }
        let value = value.to_device(&self.device).map_err(NetworkError::engine)?;
        Ok(Tensor::constant(value))
    }

    fn contains(&self, name: &str) -> bool {
        self.stored(name).is_some_and(|stored| self.file.shape(&stored.name).is_some())
    }

    fn pass_over(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }
}
