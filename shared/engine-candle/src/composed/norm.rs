//! Group and layer normalization.

use candle_core::{Result, Tensor as Value};

use super::pointwise::silu_slope;
use super::{Placement, column_sums, record, wide};
use crate::tape::Tensor;

pub(crate) fn group_norm(
    place: &Placement,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Result<Tensor> {
    let dims = x.value().dims();
    let (batch, channels) = (dims[0], dims[dims.len() - 1]);
    let positions = dims[1..dims.len() - 1].iter().product();
    normalize(place, x, weight, bias, [batch, positions, groups, channels / groups], eps, silu)
}

pub(crate) fn layer_norm(
    place: &Placement,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Result<Tensor> {
    let channels = weight.value().elem_count();
    let rows = x.value().elem_count() / channels;
    normalize(place, x, weight, bias, [rows, 1, 1, channels], eps, false)
}

/// Normalizes `x`, seen as `[B, positions, groups, width]`, over positions and width; then scale, shift and perhaps SiLU.
fn normalize(
    place: &Placement,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    view: [usize; 4],
    eps: f32,
    silu: bool,
) -> Result<Tensor> {
    let x = place.one(x)?;
    // As exact as they are held: there are few of them.
    let [weight, bias] = place.in_single().all([weight, bias])?;
    let (dims, dtype) = (x.value().dims().to_vec(), x.value().dtype());
    let values = wide(x.value())?.reshape(&view)?;
    let mean = average(&values)?;
    let centered = values.broadcast_sub(&mean)?;
    // Of a large picture each of these is a gibibyte: it is let go as soon as it has been used.
    drop(values);
    let rstd = (average(&centered.sqr()?)? + f64::from(eps))?.sqrt()?.recip()?;
    let [_, _, groups, width] = view;
    let spread = move |v: &Value| v.reshape((1, 1, groups, width));
    let scaled = centered.broadcast_mul(&rstd.broadcast_mul(&spread(weight.value())?)?)?;
    drop(centered);
    let h = scaled.broadcast_add(&spread(bias.value())?)?;
    drop(scaled);
    let activated = if silu { Some(h.silu()?) } else { None };
    let y = activated.unwrap_or(h).to_dtype(dtype)?.reshape(&*dims)?;
    let needs = [&x, &weight, &bias].map(Tensor::is_tracked);
    let [x_value, w_value, b_value] = [&x, &weight, &bias].map(|t| t.value().clone());
    Ok(record(y, &[&x, &weight, &bias], move |dy| {
        let normal = wide(&x_value)?.reshape(&view)?.broadcast_sub(&mean)?.broadcast_mul(&rstd)?;
        let w = spread(&w_value)?;
        let mut dh = wide(dy)?.reshape(&view)?;
        if silu {
            let h = normal.broadcast_mul(&w)?.broadcast_add(&spread(&b_value)?)?;
            dh = (dh * silu_slope(&h)?)?;
        }
        let learned = |sums: Value| column_sums(&sums.flatten_from(2)?);
        let db = needs[2].then(|| learned(dh.clone())).transpose()?;
        let dw = needs[1].then(|| learned((&dh * &normal)?)).transpose()?;
        let dx = needs[0].then(|| {
            let g = dh.broadcast_mul(&w)?;
            let along = normal.broadcast_mul(&average(&(&g * &normal)?)?)?;
            let dx = (g.broadcast_sub(&average(&g)?)? - along)?.broadcast_mul(&rstd)?;
            dx.to_dtype(dtype)?.reshape(dims)
        });
        Ok(vec![dx.transpose()?, dw, db])
    }))
}

/// The mean over positions and width: `[B, 1, groups, 1]`. In two steps, since long sums lose digits.
fn average(x: &Value) -> Result<Value> {
    let mean = x.mean_keepdim(3)?;
    // A row of a layer norm is one position.
    if x.dim(1)? == 1 { Ok(mean) } else { mean.mean_keepdim(1) }
}
