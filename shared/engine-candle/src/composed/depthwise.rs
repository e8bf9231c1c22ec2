//! Convolution of each channel by itself: one product for each tap of the kernel.

use candle_core::{Result, Tensor as Value};
use mudi_diffusion::ConvGeometry;

use super::rows::add_up;
use super::{Placement, column_sums, record, wide};
use crate::tape::Tensor;

/// The input's rows and columns that one tap shows.
struct Tap {
    rows: Value,
    columns: Value,
}

impl Tap {
    fn of(&self, x: &Value) -> Result<Value> {
        x.index_select(&self.rows, 1)?.index_select(&self.columns, 2)
    }
}

pub(crate) fn depthwise_conv2d(
    place: &Placement,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: ConvGeometry,
) -> Result<Tensor> {
    let [x, weight] = place.all([x, weight])?;
    let bias = bias.map(|bias| place.one(bias)).transpose()?;
    let (channels, kh, kw, _) = weight.value().dims4()?;
    let (_, height, width, _) = x.value().dims4()?;
    let ConvGeometry { stride, before, after } = geometry;
    let padded = move |x: &Value| x.pad_with_zeros(1, before, after)?.pad_with_zeros(2, before, after);
    let shown = |length: usize, kernel: usize, tap: usize| {
        place.ids((0..geometry.output(length, kernel)).map(|at| at * stride + tap))
    };
    let taps = (0..kh * kw)
        .map(|tap| Ok(Tap { rows: shown(height, kh, tap / kw)?, columns: shown(width, kw, tap % kw)? }))
        .collect::<Result<Vec<_>>>()?;
    // `[taps, C]`, in `f32`.
    let by_tap = wide(&weight.value().reshape((channels, kh * kw))?.t()?.contiguous()?)?;
    let input = padded(x.value())?;
    let mut sum = match &bias {
        Some(bias) => wide(bias.value())?,
        None => Value::zeros(channels, candle_core::DType::F32, &place.device)?,
    };
    for (index, tap) in taps.iter().enumerate() {
        sum = wide(&tap.of(&input)?)?.broadcast_mul(&by_tap.get(index)?)?.broadcast_add(&sum)?;
    }
    let y = sum.to_dtype(place.dtype)?;
    let saved_x = weight.is_tracked().then_some(input);
    let saved_w = x.is_tracked().then_some(by_tap);
    let mut inputs = vec![&x, &weight];
    inputs.extend(&bias);
    let needs_bias = bias.as_ref().is_some_and(Tensor::is_tracked);
    Ok(record(y, &inputs, move |dy| {
        let wide_dy = wide(dy)?;
        let input_gradient = |by_tap: Value| {
            let size = [height, width].map(|length| length + before + after);
            let mut sum: Option<Value> = None;
            for (index, tap) in taps.iter().enumerate() {
                let part = wide_dy.broadcast_mul(&by_tap.get(index)?)?;
                let part = add_up(&add_up(&part, &tap.columns, 2, size[1])?, &tap.rows, 1, size[0])?;
                sum = Some(match sum {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
            }
            let Some(sum) = sum else { candle_core::bail!("a kernel without taps") };
            sum.narrow(1, before, height)?.narrow(2, before, width)?.contiguous()?.to_dtype(dy.dtype())
        };
        let weight_gradient = |input: Value| {
            let sums = taps.iter().map(|tap| column_sums(&(wide(&tap.of(&input)?)? * &wide_dy)?));
            let by_tap = Value::stack(&sums.collect::<Result<Vec<_>>>()?, 0)?;
            by_tap.t()?.contiguous()?.reshape((channels, kh, kw, 1))?.to_dtype(dy.dtype())
        };
        let dx = saved_w.map(input_gradient).transpose()?;
        let dw = saved_x.map(weight_gradient).transpose()?;
        let db = needs_bias.then(|| column_sums(dy)).transpose()?;
        Ok(vec![dx, dw, db])
    }))
}
