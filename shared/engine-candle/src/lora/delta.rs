//! What an adaptation adds to a weight.
//!
//! LoRA (Hu et al., 2021), with a core for convolutions; LoHa and LoKr (Yeh et al., 2023, LyCORIS); DoRA (Liu et al.,
//! 2024).

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::lora::names::Part;

use super::Module;

/// What is wrong with an adaptation, for the message.
pub(super) type Fault = String;

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
pub(super) fn fault(error: candle_core::Error) -> Fault {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A factor as a matrix of `f32`: its first axis, and all others in one.
fn matrix(value: &Value) -> Result<Value, Fault> {
    if value.rank() < 2 {
        return Err(format!("a factor has shape {:?}", value.dims()));
    }
    value.to_dtype(DType::F32).and_then(|value| value.flatten_from(1)?.contiguous()).map_err(fault)
}

/// `sum over i, j of a[i, o] core[i, j, ..] b[j, n]`: `[o, n ..]` as a matrix.
fn with_core(core: &Value, a: &Value, b: &Value) -> Result<Value, Fault> {
    let [first, second] = core.dims()[..2.min(core.rank())] else {
        return Err(format!("a core has shape {:?}", core.dims()));
    };
    let kernel: usize = core.dims()[2..].iter().product();
    let made = || {
        let left = a.t()?.contiguous()?.matmul(&matrix_of(core, first)?)?;
        let outputs = left.dim(0)?;
        let middle = left.reshape((outputs, second, kernel))?.transpose(1, 2)?.contiguous()?;
        let middle = middle.reshape((outputs * kernel, second))?.matmul(b)?;
        let inputs = middle.dim(1)?;
        let middle = middle.reshape((outputs, kernel, inputs))?.transpose(1, 2)?.contiguous()?;
        middle.reshape((outputs, inputs * kernel))
    };
    made().map_err(fault)
}

fn matrix_of(value: &Value, rows: usize) -> candle_core::Result<Value> {
    value.to_dtype(DType::F32)?.contiguous()?.reshape((rows, value.elem_count() / rows.max(1)))
}

/// Kronecker's product of two matrices.
fn kronecker(a: &Value, b: &Value) -> Result<Value, Fault> {
    let made = || {
        let ((rows, columns), (below, beside)) = (a.dims2()?, b.dims2()?);
        let a = a.reshape((rows, 1, columns, 1))?;
        a.broadcast_mul(&b.reshape((1, below, 1, beside))?)?.reshape((rows * below, columns * beside))
    };
    made().map_err(fault)
}

impl Module {
    /// The kind of adaptation, as its tools call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let has = |part| self.part(part).is_some();
        if has(Part::Diff) || has(Part::NormScale) || has(Part::NormShift) {
            "differences of weights"
        } else if has(Part::DiffBias) {
            "LoRA with biases"
        } else {
            self.arithmetic()
        }
    }

    /// How its factors become what is added to a weight.
    fn arithmetic(&self) -> &'static str {
        let has = |part| self.part(part).is_some();
        if has(Part::HadaW1A) {
            "LoHa"
        } else if has(Part::LokrW1) || has(Part::LokrW1A) {
            "LoKr"
        } else if has(Part::Mid) {
            "LoRA with a core"
        } else if has(Part::Magnitude) || has(Part::DoraScale) {
            "DoRA"
        } else {
            "LoRA"
        }
    }

    /// A part that is not looked at, because the others are of another kind of adaptation.
    pub(super) fn stray(&self) -> Option<Part> {
        use Part::{
            Alpha, Diff, DiffBias, DoraScale, Down, HadaT1, HadaT2, HadaW1A, HadaW1B, HadaW2A, HadaW2B,
            LokrT2, LokrW1, LokrW1A, LokrW1B, LokrW2, LokrW2A, LokrW2B, Magnitude, Mid, NormScale, NormShift,
            Up,
        };
        let has = |part| self.part(part).is_some();
        let own: &[Part] = match self.arithmetic() {
            _ if has(Diff) => &[Alpha, Diff],
            _ if has(NormScale) => &[Alpha, NormScale],
            "LoHa" => &[Alpha, HadaW1A, HadaW1B, HadaW2A, HadaW2B, HadaT1, HadaT2],
            "LoKr" => &[Alpha, LokrW1, LokrW1A, LokrW1B, LokrW2, LokrW2A, LokrW2B, LokrT2],
            _ => &[Alpha, Down, Up, Mid],
        };
        let whole = has(Diff) || has(NormScale);
        self.parts().map(|(part, _)| part).find(|part| match part {
            Magnitude => whole,
            // Another name of what is there.
            DoraScale => whole || has(Magnitude),
            NormShift => has(DiffBias),
            DiffBias => false,
            part => !own.contains(part),
        })
    }

    fn need(&self, part: Part) -> Result<&Value, Fault> {
        self.part(part).ok_or_else(|| format!("its part {part:?} is missing"))
    }

    /// Both factors of a plain LoRA as matrices `[r, I..]` and `[O, r]`, and its scale.
    pub(super) fn factors(&self) -> Result<(Value, Value, f32), Fault> {
        let (down, up) = (matrix(self.need(Part::Down)?)?, matrix(self.need(Part::Up)?)?);
        let rank = down.dims()[0];
        if rank == 0 || up.dims()[1] != rank {
            return Err(format!("its factors have shapes {:?} and {:?}", down.dims(), up.dims()));
        }
        let scale = self.scale(rank)?;
        Ok((down, up, scale))
    }

    /// What is added to a weight of `shape` (in files' layout), without DoRA's magnitudes: `f32`, of that shape.
    fn delta(&self, shape: &[usize]) -> Result<Value, Fault> {
        let (delta, scale) = match self.arithmetic() {
            "LoHa" => self.hadamard()?,
            "LoKr" => self.kronecker()?,
            _ => self.low_rank()?,
        };
        let found = delta.dims().to_vec();
        let same = found.first() == shape.first() && delta.elem_count() == shape.iter().product::<usize>();
        if !same {
            return Err(format!("it adapts a layer of {found:?}, and the base's has {shape:?}"));
        }
        let delta = delta.reshape(shape).map_err(fault)?;
        if scale == 1.0 { Ok(delta) } else { (delta * f64::from(scale)).map_err(fault) }
    }

    fn low_rank(&self) -> Result<(Value, f32), Fault> {
        let (down, up, scale) = self.factors()?;
        let delta = match self.part(Part::Mid) {
            Some(core) => with_core(core, &up.t().map_err(fault)?, &down)?,
            None => up.matmul(&down).map_err(fault)?,
        };
        Ok((delta, scale))
    }

    fn hadamard(&self) -> Result<(Value, f32), Fault> {
        let product = |a, b, core| {
            let (a, b) = (matrix(self.need(a)?)?, matrix(self.need(b)?)?);
            match self.part(core) {
                Some(core) => with_core(core, &a, &b),
                None => a.matmul(&b).map_err(fault),
            }
        };
        let first = product(Part::HadaW1A, Part::HadaW1B, Part::HadaT1)?;
        let second = product(Part::HadaW2A, Part::HadaW2B, Part::HadaT2)?;
        let rank = self.need(Part::HadaW1B)?.dims()[0];
        Ok(((first * second).map_err(fault)?, self.scale(rank)?))
    }

    fn kronecker(&self) -> Result<(Value, f32), Fault> {
        let mut rank = None;
        let mut factor = |whole, a, b, core: Option<&Value>| -> Result<Value, Fault> {
            if let Some(whole) = self.part(whole) {
                return matrix(whole);
            }
            let (a, b) = (matrix(self.need(a)?)?, matrix(self.need(b)?)?);
            rank = Some(b.dims()[0]);
            match core {
                Some(core) => with_core(core, &a, &b),
                None => a.matmul(&b).map_err(fault),
            }
        };
        let first = factor(Part::LokrW1, Part::LokrW1A, Part::LokrW1B, None)?;
        let second = factor(Part::LokrW2, Part::LokrW2A, Part::LokrW2B, self.part(Part::LokrT2))?;
        let scale = rank.map_or_else(|| self.scale_of_whole(), |rank| self.scale(rank))?;
        Ok((kronecker(&first, &second)?, scale))
    }

    /// The weight, in files' layout, with `strength` times the adaptation: `f32`.
    ///
    /// # Errors
    /// Parts that are missing, or whose shapes do not fit the weight; as text.
    pub(super) fn applied(&self, weight: &Value, strength: f32) -> Result<Value, Fault> {
        if let Some(difference) = self.part(Part::Diff).or_else(|| self.part(Part::NormScale)) {
            return added(weight, difference, strength);
        }
        // Nothing but the bias is changed. An alpha alone is of factors that are missing.
        let of_bias = |part| matches!(part, Part::DiffBias | Part::NormShift);
        if self.parts().all(|(part, _)| part == Part::Alpha || of_bias(part))
            && self.parts().any(|(part, _)| of_bias(part))
        {
            return Ok(weight.clone());
        }
        let weight = weight.to_dtype(DType::F32).map_err(fault)?;
        let mut delta = self.delta(weight.dims())?;
        if let Some(magnitudes) = self.magnitudes(weight.dims())? {
            let directed = (&weight + &delta).map_err(fault)?;
            delta = (magnitudes.given_to(&directed)? - &weight).map_err(fault)?;
        }
        if strength != 1.0 {
            delta = (delta * f64::from(strength)).map_err(fault)?;
        }
        (weight + delta).map_err(fault)
    }

    /// The bias, or a norm's shift, with `strength` times what is added to it: `f32`, or as it was where that is nothing.
    ///
    /// # Errors
    /// A difference that does not fit; as text.
    pub(super) fn applied_to_bias(&self, bias: &Value, strength: f32) -> Result<Value, Fault> {
        match self.part(Part::DiffBias).or_else(|| self.part(Part::NormShift)) {
            Some(difference) => added(bias, difference, strength),
            None => Ok(bias.clone()),
        }
    }
}

/// `value + strength * difference`.
fn added(value: &Value, difference: &Value, strength: f32) -> Result<Value, Fault> {
    let (shape, found) = (value.dims(), difference.dims());
    if found.first() != shape.first() || difference.elem_count() != value.elem_count() {
        return Err(format!("it is added to {found:?} values, and the base has {shape:?}"));
    }
    let sum = || {
        let difference = difference.to_dtype(DType::F32)?.reshape(shape)?;
        value.to_dtype(DType::F32)? + (difference * f64::from(strength))?
    };
    sum().map_err(fault)
}
