//! Weights that learn.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Error as NetworkError, ParameterKind, Parameters};

use super::{NamedTensors, from_file_layout, to_file_layout};
use crate::engine::CandleEngine;
use crate::tape::Tensor;

/// One weight that learns.
pub struct Trainable {
    /// Its name in files.
    pub name: String,
    /// How files lay it out.
    pub kind: ParameterKind,
    /// The leaf whose gradient updates it. Networks hold the same storage, so they see every update.
    pub leaf: Tensor,
}

impl Trainable {
    /// Gives it other values, in the engine's layout, wherever it is held.
    ///
    /// # Errors
    /// Another number of values than it has.
    pub fn set(&self, values: Vec<f32>) -> mudi_diffusion::Result<()> {
        let own = self.leaf.value();
        let set = Value::from_vec(values, own.dims(), &Device::Cpu)
            .and_then(|values| own.slice_set(&values, 0, 0))
            .map_err(NetworkError::engine);
        self.leaf.changed();
        set
    }
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
