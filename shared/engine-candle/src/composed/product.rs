//! Linear layers and convolutions.

use candle_core::{Result, Tensor as Value};
use mudi_diffusion::ConvGeometry;

use super::{Placement, as_rows, column_sums, record, with_last};
use crate::tape::Tensor;

pub(crate) fn linear(
    place: &Placement,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let [x, weight] = place.all([x, weight])?;
    let bias = bias.map(|bias| place.one(bias)).transpose()?;
    let outputs = weight.value().dim(0)?;
    let y = as_rows(x.value())?.matmul(&weight.value().t()?)?;
    let y = with_bias(y, bias.as_ref())?.reshape(with_last(x.value(), outputs))?;
    let (saved_x, saved_w) = saved(&x, &weight);
    let dims = x.value().dims().to_vec();
    let mut inputs = vec![&x, &weight];
    inputs.extend(&bias);
    let needs_bias = bias.as_ref().is_some_and(Tensor::is_tracked);
    Ok(record(y, &inputs, move |dy| {
        let dy = as_rows(dy)?;
        let dx = saved_w.map(|w| dy.matmul(&w)?.reshape(dims)).transpose()?;
        let dw = saved_x.map(|x| dy.t()?.matmul(&as_rows(&x)?)).transpose()?;
        let db = needs_bias.then(|| column_sums(&dy)).transpose()?;
        Ok(vec![dx, dw, db])
    }))
}

/// What the gradients need: the input for the weight's, the weight for the input's.
fn saved(x: &Tensor, weight: &Tensor) -> (Option<Value>, Option<Value>) {
    (weight.is_tracked().then(|| x.value().clone()), x.is_tracked().then(|| weight.value().clone()))
}

fn with_bias(y: Value, bias: Option<&Tensor>) -> Result<Value> {
    match bias {
        Some(bias) => y.broadcast_add(bias.value()),
        None => Ok(y),
    }
}

pub(crate) fn conv2d(
    place: &Placement,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: ConvGeometry,
) -> Result<Tensor> {
    let [x, weight] = place.all([x, weight])?;
    let (outputs, kh, kw, channels) = weight.value().dims4()?;
    if (kh, kw, geometry.stride) == (1, 1, 1) {
        let matrix = weight.value().reshape((outputs, channels))?;
        let matrix =
            record(matrix, &[&weight], move |dw| Ok(vec![Some(dw.reshape((outputs, kh, kw, channels))?)]));
        return linear(place, &x, &matrix, bias);
    }
    let bias = bias.map(|bias| place.one(bias)).transpose()?;
    let ConvGeometry { stride, before, after } = geometry;
    let limit = place.working_set();
    let kernel = weight.value().permute((0, 3, 1, 2))?.contiguous()?;
    let y = convolve(x.value(), &kernel, [[before, after]; 2], stride, limit)?;
    let y = with_bias(y, bias.as_ref())?;
    let (saved_x, saved_w) = saved(&x, &weight);
    let (_, height, width, _) = x.value().dims4()?;
    let mut inputs = vec![&x, &weight];
    inputs.extend(&bias);
    let needs_bias = bias.as_ref().is_some_and(Tensor::is_tracked);
    Ok(record(y, &inputs, move |dy| {
        let dx = saved_w.map(|w| input_gradient(dy, &w, [height, width], geometry, limit)).transpose()?;
        let dw = saved_x.map(|x| weight_gradient(dy, &x, [kh, kw], geometry)).transpose()?;
        let db = needs_bias.then(|| column_sums(dy)).transpose()?;
        Ok(vec![dx, dw, db])
    }))
}

/// `x [B, H, W, C]` with zeros before and after its rows and columns.
fn padded(x: &Value, [[top, bottom], [left, right]]: [[usize; 2]; 2]) -> Result<Value> {
    x.pad_with_zeros(1, top, bottom)?.pad_with_zeros(2, left, right)
}

/// Convolution of `x [B, H, W, I]`, padded, with `kernel [O, I, kh, kw]`: `[B, H', W', O]`.
///
/// Outside of cuDNN, candle writes out every patch of the input, `kh * kw` times the input's size; so this takes as many
/// rows of the result at a time as keep that below `limit` values.
fn convolve(
    x: &Value,
    kernel: &Value,
    padding: [[usize; 2]; 2],
    stride: usize,
    limit: usize,
) -> Result<Value> {
    let x = padded(x, padding)?;
    let (batch, height, width, channels) = x.dims4()?;
    let (_, _, kh, kw) = kernel.dims4()?;
    let geometry = ConvGeometry { stride, before: 0, after: 0 };
    let (rows, columns) = (geometry.output(height, kh), geometry.output(width, kw));
    let step = (limit / (batch * columns * channels * kh * kw)).clamp(1, rows);
    let mut tiles = Vec::with_capacity(rows.div_ceil(step));
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let seen = x.narrow(1, first * stride, (count - 1) * stride + kh)?;
        let y = seen.permute((0, 3, 1, 2))?.conv2d(kernel, 0, stride, 1, 1)?;
        tiles.push(y.permute((0, 2, 3, 1))?.contiguous()?);
    }
    Value::cat(&tiles, 1)
}

/// Gradient of the input: a convolution of `dy`, with zeros between its positions where the stride had left some out, with
/// the kernel turned around. (Candle's transposed convolution is a plain loop, on GPUs too.)
fn input_gradient(
    dy: &Value,
    weight: &Value,
    input: [usize; 2],
    geometry: ConvGeometry,
    limit: usize,
) -> Result<Value> {
    let ConvGeometry { stride, before, .. } = geometry;
    let (_, kh, kw, _) = weight.dims4()?;
    let (_, rows, columns, _) = dy.dims4()?;
    let spread = [(rows - 1) * stride + 1, (columns - 1) * stride + 1];
    let dy = if stride == 1 { dy.clone() } else { spread_out(dy, stride, spread)? };
    let kernel = weight.flip(&[1, 2])?.permute((3, 0, 1, 2))?.contiguous()?;
    let pad = |axis: usize, k: usize| [k - 1 - before, input[axis] + before - spread[axis]];
    convolve(&dy, &kernel, [pad(0, kh), pad(1, kw)], 1, limit)
}

/// `x [B, h, w, C]` with `stride - 1` zeros between neighbours: `[B, to[0], to[1], C]`.
fn spread_out(x: &Value, stride: usize, to: [usize; 2]) -> Result<Value> {
    let (batch, rows, columns, channels) = x.dims4()?;
    x.reshape((batch, rows, 1, columns, channels))?
        .pad_with_zeros(2, 0, stride - 1)?
        .reshape((batch, rows * stride, columns, 1, channels))?
        .pad_with_zeros(3, 0, stride - 1)?
        .reshape((batch, rows * stride, columns * stride, channels))?
        .narrow(1, 0, to[0])?
        .narrow(2, 0, to[1])?
        .contiguous()
}

/// Gradient of the weight, `[O, kh, kw, I]`: a convolution in which channels are the samples, samples are the channels,
/// `dy` is the kernel, and the stride is the distance between the kernel's positions.
fn weight_gradient(
    dy: &Value,
    x: &Value,
    [kh, kw]: [usize; 2],
    ConvGeometry { stride, before, after }: ConvGeometry,
) -> Result<Value> {
    let (_, rows, columns, _) = dy.dims4()?;
    // Rows and columns that the last step did not reach.
    let x = padded(x, [[before, after]; 2])?.narrow(1, 0, (rows - 1) * stride + kh)?.narrow(
        2,
        0,
        (columns - 1) * stride + kw,
    )?;
    let dy = dy.permute((3, 0, 1, 2))?.contiguous()?;
    x.permute((3, 0, 1, 2))?.conv2d(&dy, 0, 1, stride, 1)?.permute((1, 2, 3, 0))?.contiguous()
}
