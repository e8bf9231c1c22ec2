//! DoRA's magnitudes as files hold them.

use candle_core::{D, DType, Tensor as Value};
use mudi_diffusion::lora::names::Part;

use super::Module;
use super::delta::{Fault, fault};

/// The lengths that an adapted weight is to have.
pub(super) enum Magnitudes {
    /// Of what leads to each output, `[O]`: PEFT's, and LyCORIS' with `wd_on_output`.
    OfOutputs(Value),
    /// Of what comes from each input, `[I]`: LyCORIS' without.
    OfInputs(Value),
}

impl Module {
    /// DoRA's magnitudes for a weight of `shape` (in files' layout); none of an adaptation that has none.
    ///
    /// # Errors
    /// As many as the weight has neither outputs nor inputs; as text.
    pub(super) fn magnitudes(&self, shape: &[usize]) -> Result<Option<Magnitudes>, Fault> {
        let (found, by_peft) = match (self.part(Part::Magnitude), self.part(Part::DoraScale)) {
            (Some(found), _) => (found, true),
            (None, Some(found)) => (found, false),
            (None, None) => return Ok(None),
        };
        let [outputs, inputs] = shape[..2.min(shape.len())] else {
            return Err(format!("it adapts a layer of {shape:?}"));
        };
        // A column is of outputs and a row of inputs, also where there are as many of both, as LyCORIS and ComfyUI have it.
        let count = found.elem_count();
        let of_outputs = by_peft || found.dims().first() == Some(&outputs) || count != inputs;
        if count != if of_outputs { outputs } else { inputs } {
            return Err(format!("its magnitudes have shape {:?}, and the layer {shape:?}", found.dims()));
        }
        let flat = found.to_dtype(DType::F32).and_then(|found| found.flatten_all()).map_err(fault)?;
        Ok(Some(if of_outputs { Magnitudes::OfOutputs(flat) } else { Magnitudes::OfInputs(flat) }))
    }
}

impl Magnitudes {
    /// A weight with these lengths and its own directions.
    pub(super) fn given_to(&self, weight: &Value) -> Result<Value, Fault> {
        let made = || match self {
            Self::OfOutputs(lengths) => with_lengths(weight, lengths),
            Self::OfInputs(lengths) => {
                with_lengths(&weight.transpose(0, 1)?.contiguous()?, lengths)?.transpose(0, 1)?.contiguous()
            }
        };
        made().map_err(fault)
    }
}

/// Rows of these lengths.
fn with_lengths(rows: &Value, lengths: &Value) -> candle_core::Result<Value> {
    let matrix = rows.flatten_from(1)?;
    let norms = matrix.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    // A weight of zeros stays one.
    let factors = (lengths.reshape(norms.dims())? / (norms + f64::from(f32::MIN_POSITIVE))?)?;
    matrix.broadcast_mul(&factors)?.reshape(rows.dims())
}
