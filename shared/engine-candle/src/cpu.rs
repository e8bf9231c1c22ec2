//! The operations on the CPU: kernels for the values, and what each records for the gradients.
//!
//! Shapes have been checked by the engine. A gradient is computed only where the input that it belongs to is tracked.

mod attention;
mod depthwise;
mod layout;

use candle_core::Tensor as Value;
use mudi_diffusion::{Activation, ConvGeometry, Error, Result};

use crate::kernels::conv::{self, ConvShape};
use crate::kernels::norm::{self, GroupShape};
use crate::kernels::pointwise::{self, Enlargement};
use crate::kernels::{activation as act, linear as lin, sum_rows};
use crate::slices::{Slice, WeightSlice, value};
use crate::tape::Tensor;

pub(crate) use attention::{attention, biased_attention};
pub(crate) use depthwise::depthwise_conv2d;
pub(crate) use layout::{concat, permute, slice};

/// The gradient's values, contiguous.
fn contiguous(dy: &Value) -> Result<Value> {
    dy.contiguous().map_err(Error::engine)
}

fn last(value: &Value) -> usize {
    value.dims().last().copied().unwrap_or(1)
}

/// The shape of `value` with another last axis.
fn with_last(value: &Value, width: usize) -> Vec<usize> {
    let mut dims = value.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    dims
}

pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (inputs, outputs) = (last(x.value()), weight.value().dims()[0]);
    let b = bias.map(|bias| Slice::of(bias.value())).transpose()?;
    let y = lin::forward(
        &Slice::of(x.value())?,
        WeightSlice::of(weight.value())?.values(),
        b.as_deref(),
        inputs,
        outputs,
    );
    let y = value(y, with_last(x.value(), outputs))?;
    let needs = [x.is_tracked(), weight.is_tracked(), bias.is_some_and(Tensor::is_tracked)];
    // A frozen weight does not need its input again, so the input is not kept.
    let (saved_x, saved_w) = (needs[1].then(|| x.value().clone()), needs[0].then(|| weight.value().clone()));
    let (x_dims, w_dims) = (x.value().dims().to_vec(), weight.value().dims().to_vec());
    let nothing = Tensor::constant(y.clone());
    Ok(Tensor::recorded(y, &[x, weight, bias.unwrap_or(&nothing)], move |dy| {
        let dy = contiguous(dy)?;
        let dy = Slice::of(&dy)?;
        let dx = match saved_w {
            Some(w) => {
                Some(value(lin::input_gradient(&dy, WeightSlice::of(&w)?.values(), inputs, outputs), x_dims)?)
            }
            None => None,
        };
        let dw = match saved_x {
            Some(x) => Some(value(lin::weight_gradient(&dy, &Slice::of(&x)?, inputs, outputs), w_dims)?),
            None => None,
        };
        let db = if needs[2] { Some(value(sum_rows(&dy, outputs), outputs)?) } else { None };
        Ok(vec![dx, dw, db])
    }))
}

/// Sizes of a convolution of `x [B, H, W, I]` with `w [O, kh, kw, _]`.
fn conv_shape(x: &[usize], w: &[usize], geometry: ConvGeometry) -> ConvShape {
    ConvShape {
        batch: x[0],
        input: [x[1], x[2]],
        output: [geometry.output(x[1], w[1]), geometry.output(x[2], w[2])],
        inputs: x[3],
        outputs: w[0],
        kernel: [w[1], w[2]],
        geometry,
    }
}

pub(crate) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: ConvGeometry,
) -> Result<Tensor> {
    let (xd, wd) = (x.value().dims().to_vec(), weight.value().dims().to_vec());
    let shape = conv_shape(&xd, &wd, geometry);
    let b = bias.map(|bias| Slice::of(bias.value())).transpose()?;
    let y = conv::forward(
        &Slice::of(x.value())?,
        WeightSlice::of(weight.value())?.values(),
        b.as_deref(),
        &shape,
    );
    let y = value(y, vec![shape.batch, shape.output[0], shape.output[1], shape.outputs])?;
    let needs = [x.is_tracked(), weight.is_tracked(), bias.is_some_and(Tensor::is_tracked)];
    let (saved_x, saved_w) = (needs[1].then(|| x.value().clone()), needs[0].then(|| weight.value().clone()));
    let nothing = Tensor::constant(y.clone());
    Ok(Tensor::recorded(y, &[x, weight, bias.unwrap_or(&nothing)], move |dy| {
        let dy = contiguous(dy)?;
        let dy = Slice::of(&dy)?;
        let dx = match saved_w {
            Some(w) => Some(value(conv::input_gradient(&dy, WeightSlice::of(&w)?.values(), &shape), xd)?),
            None => None,
        };
        let dw = match saved_x {
            Some(x) => Some(value(conv::weight_gradient(&dy, &Slice::of(&x)?, &shape), wd)?),
            None => None,
        };
        let db = if needs[2] { Some(value(sum_rows(&dy, shape.outputs), shape.outputs)?) } else { None };
        Ok(vec![dx, dw, db])
    }))
}

pub(crate) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let positions = dims[1..dims.len() - 1].iter().product();
    let shape = GroupShape { positions, channels: last(x.value()), groups, eps, silu };
    let (y, statistics) = norm::group_norm(
        &Slice::of(x.value())?,
        &Slice::of(weight.value())?,
        &Slice::of(bias.value())?,
        &shape,
    );
    let y = value(y, dims.clone())?;
    let learns = weight.is_tracked() || bias.is_tracked();
    let [x_value, w_value, b_value] = [x, weight, bias].map(|t| t.value().clone());
    Ok(Tensor::recorded(y, &[x, weight, bias], move |dy| {
        let dy = contiguous(dy)?;
        let [x, w, b] = [Slice::of(&x_value)?, Slice::of(&w_value)?, Slice::of(&b_value)?];
        let (dx, dw, db) = norm::group_norm_gradient(&x, &Slice::of(&dy)?, &w, &b, &statistics, &shape);
        let channels = shape.channels;
        let learned = |v| if learns { value(v, channels).map(Some) } else { Ok(None) };
        Ok(vec![Some(value(dx, dims)?), learned(dw)?, learned(db)?])
    }))
}

pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let y =
        norm::layer_norm(&Slice::of(x.value())?, &Slice::of(weight.value())?, &Slice::of(bias.value())?, eps);
    let y = value(y, dims.clone())?;
    let learns = weight.is_tracked() || bias.is_tracked();
    let [x_value, w_value] = [x, weight].map(|t| t.value().clone());
    Ok(Tensor::recorded(y, &[x, weight, bias], move |dy| {
        let dy = contiguous(dy)?;
        let (dx, dw, db) = norm::layer_norm_gradient(
            &Slice::of(&x_value)?,
            &Slice::of(&dy)?,
            &Slice::of(&w_value)?,
            eps,
            learns,
        );
        let learned = |v: Vec<f32>| if learns { value(v, last(&w_value)).map(Some) } else { Ok(None) };
        Ok(vec![Some(value(dx, dims)?), learned(dw)?, learned(db)?])
    }))
}

pub(crate) fn activation(x: &Tensor, kind: Activation) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let y = value(act::forward(&Slice::of(x.value())?, kind), dims.clone())?;
    let saved = x.value().clone();
    Ok(Tensor::recorded(y, &[x], move |dy| {
        let dx = act::gradient(&Slice::of(&saved)?, &Slice::of(&contiguous(dy)?)?, kind);
        Ok(vec![Some(value(dx, dims)?)])
    }))
}

pub(crate) fn geglu(x: &Tensor) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let half = last(x.value()) / 2;
    let y = value(act::geglu(&Slice::of(x.value())?, half), with_last(x.value(), half))?;
    let saved = x.value().clone();
    Ok(Tensor::recorded(y, &[x], move |dy| {
        let dx = act::geglu_gradient(&Slice::of(&saved)?, &Slice::of(&contiguous(dy)?)?, half);
        Ok(vec![Some(value(dx, dims)?)])
    }))
}

pub(crate) fn upsample_nearest(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let (batch, channels) = (dims[0], dims[3]);
    let shape = Enlargement { from: [dims[1], dims[2]], to: [height, width], channels };
    let y = pointwise::upsample(&Slice::of(x.value())?, batch, shape);
    let y = value(y, vec![batch, height, width, channels])?;
    Ok(Tensor::recorded(y, &[x], move |dy| {
        let dx = pointwise::upsample_gradient(&Slice::of(&contiguous(dy)?)?, batch, shape);
        Ok(vec![Some(value(dx, dims)?)])
    }))
}

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let y = pointwise::add(&Slice::of(a.value())?, &Slice::of(b.value())?);
    let y = value(y, a.value().dims())?;
    Ok(Tensor::recorded(y, &[a, b], |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

pub(crate) fn add_per_sample(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let channels = last(x.value());
    let batch = x.value().dims()[0];
    let positions = x.value().elem_count() / channels / batch.max(1);
    let y =
        pointwise::add_rows(&Slice::of(x.value())?, &Slice::of(v.value())?, channels, |row| row / positions);
    let y = value(y, x.value().dims())?;
    let needs_v = v.is_tracked();
    Ok(Tensor::recorded(y, &[x, v], move |dy| {
        let dv = if needs_v {
            let dy = contiguous(dy)?;
            let dy = Slice::of(&dy)?;
            let sums =
                dy.chunks(positions * channels).flat_map(|sample| sum_rows(sample, channels)).collect();
            Some(value(sums, (batch, channels))?)
        } else {
            None
        };
        Ok(vec![Some(dy.clone()), dv])
    }))
}

pub(crate) fn add_positions(x: &Tensor, table: &Tensor) -> Result<Tensor> {
    let dims = x.value().dims();
    let (length, channels) = (dims[1], dims[2]);
    let rows = table.value().dims()[0];
    let y =
        pointwise::add_rows(&Slice::of(x.value())?, &Slice::of(table.value())?, channels, |row| row % length);
    let y = value(y, dims)?;
    let needs_table = table.is_tracked();
    Ok(Tensor::recorded(y, &[x, table], move |dy| {
        let dtable = if needs_table {
            let mut sums = sum_rows(&Slice::of(&contiguous(dy)?)?, length * channels);
            sums.resize(rows * channels, 0.0);
            Some(value(sums, (rows, channels))?)
        } else {
            None
        };
        Ok(vec![Some(dy.clone()), dtable])
    }))
}

pub(crate) fn scale(x: &Tensor, factor: f32) -> Result<Tensor> {
    let scaled = move |x: &Value| value(pointwise::scale(&Slice::of(x)?, factor), x.dims());
    let y = scaled(x.value())?;
    Ok(Tensor::recorded(y, &[x], move |dy| Ok(vec![Some(scaled(&contiguous(dy)?)?)])))
}

pub(crate) fn mul(x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let y = value(pointwise::mul(&Slice::of(x.value())?, &Slice::of(by.value())?), dims.clone())?;
    let (saved_x, saved_by) =
        (by.is_tracked().then(|| x.value().clone()), x.is_tracked().then(|| by.value().clone()));
    let by_dims = by.value().dims().to_vec();
    Ok(Tensor::recorded(y, &[x, by], move |dy| {
        let dy = contiguous(dy)?;
        let dy = Slice::of(&dy)?;
        let dx = match saved_by {
            Some(by) => Some(value(pointwise::mul(&dy, &Slice::of(&by)?), dims)?),
            None => None,
        };
        let dby = match saved_x {
            Some(x) => {
                let products = pointwise::mul(&dy, &Slice::of(&x)?);
                Some(value(sum_rows(&products, by_dims.iter().product()), by_dims)?)
            }
            None => None,
        };
        Ok(vec![dx, dby])
    }))
}

pub(crate) fn embedding(table: &Tensor, ids: &[u32], batch: usize) -> Result<Tensor> {
    let (rows, width) = (table.value().dims()[0], last(table.value()));
    let ids: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
    let y = pointwise::gather(&Slice::of(table.value())?, ids.iter().copied(), width);
    let y = value(y, (batch, ids.len() / batch, width))?;
    Ok(Tensor::recorded(y, &[table], move |dy| {
        let dtable = pointwise::scatter(&Slice::of(&contiguous(dy)?)?, ids.iter().copied(), width, rows);
        Ok(vec![Some(value(dtable, (rows, width))?)])
    }))
}

pub(crate) fn select_positions(x: &Tensor, at: &[usize]) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let (length, width) = (dims[1], dims[2]);
    let rows: Vec<usize> = at.iter().enumerate().map(|(sample, at)| sample * length + at).collect();
    let y = pointwise::gather(&Slice::of(x.value())?, rows.iter().copied(), width);
    let y = value(y, (at.len(), width))?;
    Ok(Tensor::recorded(y, &[x], move |dy| {
        let dy = contiguous(dy)?;
        let dx = pointwise::scatter(&Slice::of(&dy)?, rows.iter().copied(), width, dims[0] * length);
        Ok(vec![Some(value(dx, dims)?)])
    }))
}
