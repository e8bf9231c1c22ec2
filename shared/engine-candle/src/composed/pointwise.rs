//! Non-linearities, sums and products.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::{D, DType, Result, Tensor as Value};
use mudi_diffusion::Activation;

use super::{Placement, as_rows, column_sums, record, wide, with_last};
use crate::tape::Tensor;

/// The factor of [`Activation::QuickGelu`].
const QUICK: f64 = 1.702;

/// `1 / (1 + exp(-factor x))`.
fn sigmoid(x: &Value, factor: f64) -> Result<Value> {
    (x.affine(-factor, 0.0)?.exp()? + 1.0)?.recip()
}

fn activate(x: &Value, kind: Activation) -> Result<Value> {
    match kind {
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::QuickGelu => x * sigmoid(x, QUICK)?,
        Activation::Relu => x.relu(),
        Activation::Elu => x.elu(1.0),
    }
}

/// Derivative of `x * sigmoid(factor x)`.
fn gated_slope(x: &Value, factor: f64) -> Result<Value> {
    let s = sigmoid(x, factor)?;
    ((x * s.affine(-factor, factor)?)? + 1.0)? * s
}

/// Derivative of SiLU.
pub(super) fn silu_slope(x: &Value) -> Result<Value> {
    gated_slope(x, 1.0)
}

/// Derivative of GELU: `Phi(x) + x phi(x)`.
fn gelu_slope(x: &Value) -> Result<Value> {
    let below = x.affine(FRAC_1_SQRT_2, 0.0)?.erf()?.affine(0.5, 0.5)?;
    let density = x.sqr()?.affine(-0.5, 0.0)?.exp()?.affine(1.0 / (2.0 * PI).sqrt(), 0.0)?;
    below + (x * density)?
}

fn slope(x: &Value, kind: Activation) -> Result<Value> {
    match kind {
        Activation::Silu => silu_slope(x),
        Activation::Gelu => gelu_slope(x),
        Activation::QuickGelu => gated_slope(x, QUICK),
        Activation::Relu => x.gt(0.0)?.to_dtype(x.dtype()),
        // Of what is positive the exponential is cut off at 1, which is the slope there.
        Activation::Elu => x.minimum(0.0)?.exp(),
    }
}

pub(crate) fn activation(place: &Placement, x: &Tensor, kind: Activation) -> Result<Tensor> {
    let x = place.one(x)?;
    let dtype = x.value().dtype();
    let y = activate(&wide(x.value())?, kind)?.to_dtype(dtype)?;
    let saved = x.value().clone();
    Ok(record(y, &[&x], move |dy| {
        let dx = (wide(dy)? * slope(&wide(&saved)?, kind)?)?;
        Ok(vec![Some(dx.to_dtype(dtype)?)])
    }))
}

pub(crate) fn geglu(place: &Placement, x: &Tensor) -> Result<Tensor> {
    let x = place.one(x)?;
    let (dims, dtype) = (x.value().dims().to_vec(), x.value().dtype());
    let half = x.value().dim(D::Minus1)? / 2;
    let halves = move |x: &Value| {
        let rows = as_rows(x)?;
        Ok::<_, candle_core::Error>([wide(&rows.narrow(1, 0, half)?)?, wide(&rows.narrow(1, half, half)?)?])
    };
    let [a, b] = halves(x.value())?;
    let y = (a * b.gelu_erf()?)?.to_dtype(dtype)?.reshape(with_last(x.value(), half))?;
    let saved = x.value().clone();
    Ok(record(y, &[&x], move |dy| {
        let [a, b] = halves(&saved)?;
        let dy = wide(&as_rows(dy)?)?;
        let da = (&dy * b.gelu_erf()?)?;
        let db = ((dy * a)? * gelu_slope(&b)?)?;
        Ok(vec![Some(Value::cat(&[da, db], 1)?.to_dtype(dtype)?.reshape(dims)?)])
    }))
}

pub(crate) fn add(place: &Placement, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let [a, b] = place.all([a, b])?;
    let y = (a.value() + b.value())?;
    Ok(record(y, &[&a, &b], |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

pub(crate) fn add_per_sample(place: &Placement, x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let [x, v] = place.all([x, v])?;
    let (batch, channels) = v.value().dims2()?;
    let by_sample = move |x: &Value| x.reshape((batch, (), channels));
    let y = by_sample(x.value())?.broadcast_add(&v.value().unsqueeze(1)?)?.reshape(x.value().dims())?;
    let needs_v = v.is_tracked();
    Ok(record(y, &[&x, &v], move |dy| {
        let dv = needs_v.then(|| wide(&by_sample(dy)?)?.sum(1)?.to_dtype(dy.dtype()));
        Ok(vec![Some(dy.clone()), dv.transpose()?])
    }))
}

pub(crate) fn add_positions(place: &Placement, x: &Tensor, table: &Tensor) -> Result<Tensor> {
    let [x, table] = place.all([x, table])?;
    let (_, length, channels) = x.value().dims3()?;
    let rows = table.value().dim(0)?;
    let y = x.value().broadcast_add(&table.value().narrow(0, 0, length)?)?;
    let needs_table = table.is_tracked();
    Ok(record(y, &[&x, &table], move |dy| {
        let dtable = needs_table.then(|| {
            let sums = column_sums(&dy.flatten_from(1)?)?.reshape((length, channels))?;
            sums.pad_with_zeros(0, 0, rows - length)
        });
        Ok(vec![Some(dy.clone()), dtable.transpose()?])
    }))
}

pub(crate) fn scale(place: &Placement, x: &Tensor, factor: f32) -> Result<Tensor> {
    let x = place.one(x)?;
    let y = x.value().affine(f64::from(factor), 0.0)?;
    Ok(record(y, &[&x], move |dy| Ok(vec![Some(dy.affine(f64::from(factor), 0.0)?)])))
}

pub(crate) fn mul(place: &Placement, x: &Tensor, by: &Tensor) -> Result<Tensor> {
    // Factors are multiplied as exactly as they are held, DoRA's around 1 above all: one that bf16 has rounded would be wrong for all rows, and
    // what the magnitudes learn would not be seen.
    let exact = place.in_single();
    let x = if x.value().dtype() == DType::F32 { exact.one(x) } else { place.one(x) }?;
    let by = exact.one(by)?;
    let dtype = x.value().dtype();
    let y = wide(x.value())?.broadcast_mul(by.value())?.to_dtype(dtype)?;
    let (saved_x, saved_by) =
        (by.is_tracked().then(|| x.value().clone()), x.is_tracked().then(|| by.value().clone()));
    let by_dims = by.value().dims().to_vec();
    Ok(record(y, &[&x, &by], move |dy| {
        let dy = wide(dy)?;
        let dx = saved_by.map(|by| dy.broadcast_mul(&by)?.to_dtype(dtype)).transpose()?;
        let count: usize = by_dims.iter().product();
        let dby = saved_x.map(|x| (&dy * wide(&x)?)?.reshape(((), count))?.sum(0)?.reshape(by_dims));
        Ok(vec![dx, dby.transpose()?])
    }))
}
