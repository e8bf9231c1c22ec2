//! Weights from the bytes of a safetensors file.

use half::{bf16, f16};
use mudi_diffusion::{Engine, Error, ParameterKind, Parameters, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::PreviewError;

/// Weights of one file, put on an engine as they are asked for.
pub struct SafetensorsWeights<'a, E: Engine> {
    engine: &'a E,
    tensors: SafeTensors<'a>,
}

impl<'a, E: Engine> SafetensorsWeights<'a, E> {
    /// Reads the header of `bytes`, the file called `name`.
    ///
    /// # Errors
    /// [`PreviewError::File`].
    pub fn new(engine: &'a E, name: &str, bytes: &'a [u8]) -> std::result::Result<Self, PreviewError> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| PreviewError::File { name: name.to_owned(), reason: error.to_string() })?;
        Ok(Self { engine, tensors })
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names().into_iter()
    }

    /// The shape and the values of a tensor as the file holds them; none where there is none of that name.
    ///
    /// # Errors
    /// Tensors that hold no real numbers.
    pub fn read(&self, name: &str) -> Result<Option<(Vec<usize>, Vec<f32>)>> {
        let Ok(view) = self.tensors.tensor(name) else { return Ok(None) };
        Ok(Some((view.shape().to_vec(), floats(name, &view)?)))
    }
}

/// The values of a tensor.
fn floats(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>> {
    let bytes = view.data();
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match view.dtype() {
        Dtype::F32 => {
            Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Dtype::F16 => Ok(pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect()),
        Dtype::BF16 => Ok(pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect()),
        other => {
            Err(Error::Config(format!("tensor `{name}` is of type {other:?}; F32, F16 and BF16 are read")))
        }
    }
}

/// Axes of the file, in the order of the engine's layout; none where both are the same.
fn order(kind: ParameterKind, rank: usize) -> Option<[usize; 4]> {
    match (kind, rank) {
        (ParameterKind::Convolution, 4) => Some([0, 2, 3, 1]),
        (ParameterKind::TransposedConvolution, 4) => Some([2, 3, 1, 0]),
        _ => None,
    }
}

/// The values of a tensor of `shape` with its axes in another `order`.
fn permuted(values: &[f32], shape: &[usize], order: [usize; 4]) -> Vec<f32> {
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let [a, b, c, d] = order.map(|axis| (shape[axis], stride(axis)));
    let mut moved = Vec::with_capacity(values.len());
    for i in 0..a.0 {
        for j in 0..b.0 {
            for k in 0..c.0 {
                let first = i * a.1 + j * b.1 + k * c.1;
                moved.extend((0..d.0).map(|l| values[first + l * d.1]));
            }
        }
    }
    moved
}

impl<E: Engine> Parameters<E> for SafetensorsWeights<'_, E> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor> {
        let values = self.values(self.engine, name, shape, kind)?;
        self.engine.from_slice(&values, shape)
    }

    fn values(&mut self, _engine: &E, name: &str, shape: &[usize], kind: ParameterKind) -> Result<Vec<f32>> {
        let (mut found, mut values) = self
            .read(name)?
            .ok_or_else(|| Error::MissingTensor { name: name.to_owned(), expected: shape.to_vec() })?;
        if let Some(order) = order(kind, found.len()) {
            values = permuted(&values, &found, order);
            found = order.iter().map(|&axis| found[axis]).collect();
        }
        if kind == ParameterKind::Linear && found.len() == 4 && found[2..] == [1, 1] {
            found.truncate(2);
        }
        if found != shape {
            return Err(Error::TensorShape { name: name.to_owned(), expected: shape.to_vec(), found });
        }
        Ok(values)
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::permuted;

    #[test]
    fn axes_move_as_they_are_told() {
        let values: Vec<f32> = (0..24u8).map(f32::from).collect();
        let moved = permuted(&values, &[2, 3, 2, 2], [0, 2, 3, 1]);
        // [O, I, kh, kw] to [O, kh, kw, I]: the channels of the first pixel come first.
        assert_eq!(moved[..4], [0.0, 4.0, 8.0, 1.0]);
        assert_eq!(moved[12..15], [12.0, 16.0, 20.0]);
        assert_eq!(permuted(&moved, &[2, 2, 2, 3], [0, 3, 1, 2]), values);
    }
}
