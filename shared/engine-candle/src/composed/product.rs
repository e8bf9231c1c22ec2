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
    let kernel = Kernel { weight: weight.value().clone(), turned: false };
    let y = convolve(place, x.value(), &kernel, [[before, after]; 2], stride)?;
    let y = with_bias(y, bias.as_ref())?;
    let (saved_x, saved_w) = saved(&x, &weight);
    let (_, height, width, _) = x.value().dims4()?;
    let mut inputs = vec![&x, &weight];
    inputs.extend(&bias);
    let needs_bias = bias.as_ref().is_some_and(Tensor::is_tracked);
    let here = place.clone();
    Ok(record(y, &inputs, move |dy| {
        let dx = saved_w.map(|w| input_gradient(&here, dy, w, [height, width], geometry)).transpose()?;
        let dw = saved_x.map(|x| weight_gradient(&here, dy, &x, [kh, kw], geometry)).transpose()?;
        let db = needs_bias.then(|| column_sums(dy)).transpose()?;
        Ok(vec![dx, dw, db])
    }))
}

/// A convolution's weight `[O, kh, kw, I]`, or the one that takes gradients of its results to those of its input: turned around, and with
/// inputs and outputs changed.
struct Kernel {
    weight: Value,
    turned: bool,
}

impl Kernel {
    /// `[kh, kw]`.
    fn size(&self) -> [usize; 2] {
        let dims = self.weight.dims();
        [dims[1], dims[2]]
    }

    fn outputs(&self) -> usize {
        let dims = self.weight.dims();
        if self.turned { dims[3] } else { dims[0] }
    }

    /// The places along an axis, in the order in which [`matrix`](Self::matrix) has them.
    fn places(&self, axis: usize) -> impl Iterator<Item = usize> + use<> {
        let (length, turned) = (self.size()[axis], self.turned);
        (0..length).map(move |place| if turned { length - 1 - place } else { place })
    }

    /// What patches are multiplied with: `[kh * kw * I, O]`.
    fn matrix(&self) -> Result<Value> {
        let (outputs, kh, kw, inputs) = self.weight.dims4()?;
        if self.turned {
            self.weight.permute((1, 2, 0, 3))?.contiguous()?.reshape((kh * kw * outputs, inputs))
        } else {
            self.weight.reshape((outputs, kh * kw * inputs))?.t()
        }
    }

    /// As candle has it: `[O, I, kh, kw]`.
    fn channels_first(&self) -> Result<Value> {
        if self.turned {
            self.weight.flip(&[1, 2])?.permute((3, 0, 1, 2))?.contiguous()
        } else {
            self.weight.permute((0, 3, 1, 2))?.contiguous()
        }
    }

    /// The patches that `rows` by `columns` results see of `x [B, H, W, I]`, `[B * rows * columns, kh * kw * I]`. First those of a row side by
    /// side, then rows: so most copies are of values that lie together.
    fn patches(
        &self,
        place: &Placement,
        x: &Value,
        [rows, columns]: [usize; 2],
        stride: usize,
    ) -> Result<Value> {
        let seen = |x: &Value, axis: usize, length: usize, first: usize| match stride {
            1 => x.narrow(axis, first, length)?.contiguous(),
            _ => x.index_select(&place.ids((0..length).map(|at| at * stride + first))?, axis),
        };
        let across: Result<Vec<_>> = self.places(1).map(|first| seen(x, 2, columns, first)).collect();
        let lines = Value::cat(&across?, 3)?;
        let down: Result<Vec<_>> = self.places(0).map(|first| seen(&lines, 1, rows, first)).collect();
        as_rows(&Value::cat(&down?, 3)?)
    }
}

/// Rows `start..end` of `x [B, H, W, C]`, counted as if it had `top` rows of zeros before it and as many as are asked for after it, with zeros
/// before and after the columns. None where that is all zeros.
fn rows_of(
    x: &Value,
    [start, end]: [usize; 2],
    top: usize,
    [left, right]: [usize; 2],
) -> Result<Option<Value>> {
    let height = x.dim(1)?;
    let (first, last) = (start.saturating_sub(top), end.saturating_sub(top).min(height));
    if first >= last {
        return Ok(None);
    }
    let [above, below] = [top.saturating_sub(start), end.saturating_sub(top + height)];
    let rows = x.narrow(1, first, last - first)?.contiguous()?;
    rows.pad_with_zeros(1, above, below)?.pad_with_zeros(2, left, right).map(Some)
}

/// Convolution of `x [B, H, W, I]`, padded: `[B, H', W', O]`.
///
/// cuDNN does it where it is built in. Elsewhere every patch of the input is written out, `kh * kw` times the input's size, and multiplied; so this
/// takes as many rows of the result at a time as keep that below the working set. (Candle's own way writes them out, too, turns weight and
/// result to channels first and back, and has no bf16 on the CPU.) Zeros are put around those rows that a tile sees: padded whole, a large
/// picture would be there three times.
fn convolve(
    place: &Placement,
    x: &Value,
    kernel: &Kernel,
    padding: [[usize; 2]; 2],
    stride: usize,
) -> Result<Value> {
    let [[top, bottom], [left, right]] = padding;
    let (batch, height, width, channels) = x.dims4()?;
    let ([kh, kw], outputs) = (kernel.size(), kernel.outputs());
    let geometry = ConvGeometry { stride, before: 0, after: 0 };
    let rows = geometry.output(top + height + bottom, kh);
    let columns = geometry.output(left + width + right, kw);
    let step = (place.working_set() / (batch * columns * channels * kh * kw)).clamp(1, rows);
    let by_cudnn = cfg!(feature = "cudnn") && x.device().is_cuda();
    let weight = if by_cudnn { kernel.channels_first() } else { kernel.matrix() }?;
    let mut tiles = Vec::with_capacity(rows.div_ceil(step));
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let start = first * stride;
        tiles.push(match rows_of(x, [start, start + (count - 1) * stride + kh], top, [left, right])? {
            Some(seen) if by_cudnn => {
                let y = seen.permute((0, 3, 1, 2))?.conv2d(&weight, 0, stride, 1, 1)?;
                y.permute((0, 2, 3, 1))?.contiguous()?
            }
            Some(seen) => {
                let patches = kernel.patches(place, &seen, [count, columns], stride)?;
                patches.matmul(&weight)?.reshape((batch, count, columns, outputs))?
            }
            None => Value::zeros((batch, count, columns, outputs), x.dtype(), x.device())?,
        });
    }
    Value::cat(&tiles, 1)
}

/// Gradient of the input: a convolution of `dy`, with zeros between its positions where the stride had left some out, with
/// the kernel turned around. (Candle's transposed convolution is a plain loop, on GPUs too.)
fn input_gradient(
    place: &Placement,
    dy: &Value,
    weight: Value,
    input: [usize; 2],
    geometry: ConvGeometry,
) -> Result<Value> {
    let ConvGeometry { stride, before, .. } = geometry;
    let (_, rows, columns, _) = dy.dims4()?;
    let spread = [(rows - 1) * stride + 1, (columns - 1) * stride + 1];
    let dy = if stride == 1 { dy.clone() } else { spread_out(dy, stride, spread)? };
    let kernel = Kernel { weight, turned: true };
    let pad = |axis: usize| {
        let length = kernel.size()[axis];
        [length - 1 - before, input[axis] + before - spread[axis]]
    };
    convolve(place, &dy, &kernel, [pad(0), pad(1)], 1)
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

/// Gradient of the weight, `[O, kh, kw, I]`: for each place of the kernel a product of `dy` with what of the input is seen there.
///
/// As one convolution it would have a kernel as large as `dy`, which not all of cuDNN's ways know, and write out all patches at once.
fn weight_gradient(
    place: &Placement,
    dy: &Value,
    x: &Value,
    [kh, kw]: [usize; 2],
    ConvGeometry { stride, before, after }: ConvGeometry,
) -> Result<Value> {
    let (_, rows, columns, outputs) = dy.dims4()?;
    let inputs = x.dim(3)?;
    let x = x.pad_with_zeros(1, before, after)?.pad_with_zeros(2, before, after)?;
    let dy = as_rows(dy)?.t()?;
    let mut parts = Vec::with_capacity(kh * kw);
    for (down, across) in (0..kh).flat_map(|down| (0..kw).map(move |across| (down, across))) {
        let seen = if stride == 1 {
            x.narrow(1, down, rows)?.narrow(2, across, columns)?.contiguous()?
        } else {
            let rows = place.ids((0..rows).map(|row| row * stride + down))?;
            let columns = place.ids((0..columns).map(|column| column * stride + across))?;
            x.index_select(&rows, 1)?.index_select(&columns, 2)?
        };
        parts.push(dy.matmul(&as_rows(&seen)?)?);
    }
    Value::stack(&parts, 1)?.reshape((outputs, kh, kw, inputs))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// Against candle's convolution of the whole, padded, input: in tiles, of which some see nothing but zeros.
    #[test]
    fn tiles_see_the_zeros_around_them() {
        let values = |shape: [usize; 4]| {
            let count: usize = shape.iter().product();
            let values = (0..count).map(|i| ((i * 37) % 29) as f32 / 29.0 - 0.4).collect::<Vec<_>>();
            Value::from_vec(values, &shape, &Device::Cpu).unwrap()
        };
        let place = Placement { device: Device::Cpu, dtype: DType::F32 };
        // Rows of results so wide that a tile has few of them, down to one.
        for width in [4, 300, 1500] {
            let x = values([2, 5, width, 3]);
            for (padding, stride, turned) in [
                ([[0, 0], [0, 0]], 1, false),
                ([[1, 0], [0, 1]], 1, true),
                ([[3, 4], [2, 1]], 1, false),
                ([[3, 4], [0, 1]], 1, true),
                ([[2, 3], [1, 0]], 2, false),
            ] {
                let shape = if turned { [3, 3, 2, 2] } else { [2, 3, 2, 3] };
                let kernel = Kernel { weight: values(shape), turned };
                let [[top, bottom], [left, right]] = padding;
                let padded =
                    x.pad_with_zeros(1, top, bottom).unwrap().pad_with_zeros(2, left, right).unwrap();
                let whole = padded
                    .permute((0, 3, 1, 2))
                    .and_then(|x| x.conv2d(&kernel.channels_first()?, 0, stride, 1, 1))
                    .and_then(|y| y.permute((0, 2, 3, 1))?.contiguous())
                    .unwrap();
                let tiled = convolve(&place, &x, &kernel, padding, stride).unwrap();
                assert_eq!(tiled.dims(), whole.dims());
                assert!(tiled.is_contiguous());
                let difference = (&tiled - &whole).unwrap().abs().unwrap().max_all().unwrap();
                let difference: f32 = difference.to_scalar().unwrap();
                assert!(difference < 1e-5, "{width}, {padding:?}, {stride}, {turned}: {difference}");
            }
        }
    }
}
