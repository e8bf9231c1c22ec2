//! Convolutions of each channel by itself.

use mudi_diffusion::{ConvGeometry, Result};

use crate::engine::WgpuEngine;
use crate::kernel::{Element, Number};
use crate::ops::lanes;
use crate::ops::pointwise::Pointwise;
use crate::tensor::Tensor;

pub(crate) fn depthwise_conv2d(
    engine: &WgpuEngine,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: ConvGeometry,
    shape: [usize; 4],
) -> Result<Tensor> {
    let [_, out_height, out_width, channels] = shape;
    let lanes = lanes([channels]);
    // Weights of one tap side by side, as the channels are.
    let (kh, kw) = (weight.shape()[1], weight.shape()[2]);
    let flat = weight.with_shape(&[channels, kh * kw]);
    let weight = super::arrange::permute(engine, &flat, &[1, 0], &[kh * kw, channels])?;
    let mut inputs = vec![("x", x, Element::Lanes), ("w", &weight, Element::Lanes)];
    inputs.extend(bias.map(|bias| ("bias", bias, Element::Lanes)));
    let whole = Number::Whole;
    let kernel = Pointwise {
        key: format!("depthwise bias={}", bias.is_some()),
        lanes,
        inputs: &inputs,
        numbers: &[
            ("channels", whole(channels / lanes)),
            ("height", whole(x.shape()[1])),
            ("width", whole(x.shape()[2])),
            ("out_height", whole(out_height)),
            ("out_width", whole(out_width)),
            ("kh", whole(kh)),
            ("kw", whole(kw)),
            ("stride", whole(geometry.stride)),
            ("before", whole(geometry.before)),
        ],
        shape: &shape,
    };
    let before = "
    let c = i % p.channels;
    let pixel = i / p.channels;
    let row = (pixel / p.out_width % p.out_height) * p.stride;
    let column = (pixel % p.out_width) * p.stride;
    let sample = pixel / (p.out_width * p.out_height);
    var sum = F(0.0);
    for (var ky = 0u; ky < p.kh; ky++) {
        // Above the picture, the difference wraps around to beyond its end.
        let iy = row + ky - p.before;
        if (iy >= p.height) { continue; }
        for (var kx = 0u; kx < p.kw; kx++) {
            let ix = column + kx - p.before;
            if (ix >= p.width) { continue; }
            let at = ((sample * p.height + iy) * p.width + ix) * p.channels + c;
            sum += F(x[at]) * F(w[(ky * p.kw + kx) * p.channels + c]);
        }
    }";
    kernel.run(engine, before, if bias.is_some() { "sum + F(bias[c])" } else { "sum" })
}
