//! What a network is made of, found out without memory for its weights.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Error, ParameterKind, Parameters, Result};

use crate::engine::CandleEngine;
use crate::tape::Tensor;

/// The shape of one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterShape {
    /// Its name in files.
    pub name: String,
    /// Its shape in the engine's layout.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParameterKind,
}

impl ParameterShape {
    /// How many values it has.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its shape in the layout of files.
    #[must_use]
    pub fn in_file(&self) -> Vec<usize> {
        match (self.kind, self.shape.as_slice()) {
            (ParameterKind::Convolution, &[outputs, kh, kw, inputs]) => vec![outputs, inputs, kh, kw],
            (ParameterKind::TransposedConvolution, &[kh, kw, outputs, inputs]) => {
                vec![inputs, outputs, kh, kw]
            }
            _ => self.shape.clone(),
        }
    }
}

/// A source of weights that notes what is asked for. The networks built from it know their structure; their weights are
/// one zero each, so they compute nothing.
#[derive(Debug, Default)]
pub struct Shapes {
    /// What has been asked for so far, in order.
    pub made: Vec<ParameterShape>,
}

impl Shapes {
    /// How many values all of them have.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.made.iter().map(ParameterShape::elements).sum()
    }
}

impl Parameters<CandleEngine> for Shapes {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<Tensor> {
        self.made.push(ParameterShape { name: name.to_owned(), shape: shape.to_vec(), kind });
        // Broadcasting gives the shape without the memory.
        let value = Value::zeros(1, DType::F32, &Device::Cpu)
            .and_then(|zero| zero.broadcast_as(shape))
            .map_err(Error::engine)?;
        Ok(Tensor::constant(value))
    }

    fn contains(&self, name: &str) -> bool {
        // The names that diffusers writes today.
        !name.contains("query.weight")
    }
}
