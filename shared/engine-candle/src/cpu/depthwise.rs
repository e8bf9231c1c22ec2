//! Convolution of each channel by itself.

use mudi_diffusion::{ConvGeometry, Result};

use super::{contiguous, conv_shape};
use crate::kernels::{depthwise, sum_rows};
use crate::slices::{Slice, WeightSlice, value};
use crate::tape::Tensor;

pub(crate) fn depthwise_conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: ConvGeometry,
) -> Result<Tensor> {
    let (xd, wd) = (x.value().dims().to_vec(), weight.value().dims().to_vec());
    let shape = conv_shape(&xd, &wd, geometry);
    let b = bias.map(|bias| Slice::of(bias.value())).transpose()?;
    // A few values for each channel, so that a copy does not matter.
    let w = WeightSlice::of(weight.value())?.values().decode_all();
    let y = depthwise::forward(&Slice::of(x.value())?, &w, b.as_deref(), &shape);
    let y = value(y, vec![shape.batch, shape.output[0], shape.output[1], shape.outputs])?;
    let needs_bias = bias.is_some_and(Tensor::is_tracked);
    let saved_x = weight.is_tracked().then(|| x.value().clone());
    let saved_w = x.is_tracked().then_some(w);
    let nothing = Tensor::constant(y.clone());
    Ok(Tensor::recorded(y, &[x, weight, bias.unwrap_or(&nothing)], move |dy| {
        let dy = contiguous(dy)?;
        let dy = Slice::of(&dy)?;
        let dx = match saved_w {
            Some(w) => Some(value(depthwise::input_gradient(&dy, &w, &shape), xd)?),
            None => None,
        };
        let dw = match saved_x {
            Some(x) => Some(value(depthwise::weight_gradient(&dy, &Slice::of(&x)?, &shape), wd)?),
            None => None,
        };
        let db = if needs_bias { Some(value(sum_rows(&dy, shape.outputs), shape.outputs)?) } else { None };
        Ok(vec![dx, dw, db])
    }))
}
