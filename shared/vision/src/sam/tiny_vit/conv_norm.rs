//! A convolution and the batch normalization that follows it, as one convolution.

use mudi_diffusion::nn::Builder;
use mudi_diffusion::{ConvGeometry, Engine, ParameterKind, Result};

/// Added to the variances that training has measured.
const EPS: f32 = 1e-5;

/// The folded convolution.
pub(super) struct ConvNorm<E: Engine> {
    weight: E::Tensor,
    bias: E::Tensor,
    geometry: ConvGeometry,
    each_channel: bool,
}

impl<E: Engine> ConvNorm<E> {
    /// Of `[inputs, outputs]` channels with a square kernel.
    pub(super) fn new(
        engine: &E,
        at: Builder<'_, E>,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        geometry: ConvGeometry,
    ) -> Result<Self> {
        Self::folded(engine, at, [outputs, kernel, kernel, inputs], geometry, false)
    }

    /// A 1x1 convolution.
    pub(super) fn pointwise(engine: &E, at: Builder<'_, E>, inputs: usize, outputs: usize) -> Result<Self> {
        Self::new(engine, at, [inputs, outputs], 1, ConvGeometry::same(1))
    }

    /// Of each channel by itself.
    pub(super) fn each_channel(
        engine: &E,
        at: Builder<'_, E>,
        channels: usize,
        kernel: usize,
        geometry: ConvGeometry,
    ) -> Result<Self> {
        Self::folded(engine, at, [channels, kernel, kernel, 1], geometry, true)
    }

    fn folded(
        engine: &E,
        mut at: Builder<'_, E>,
        shape: [usize; 4],
        geometry: ConvGeometry,
        each_channel: bool,
    ) -> Result<Self> {
        let outputs = shape[0];
        let weight = at.parameter("c.weight", &shape, ParameterKind::Convolution)?;
        let mut weight = engine.to_vec(&weight)?;
        let mut vector =
            |name, kind| at.parameter(name, &[outputs], kind).and_then(|vector| engine.to_vec(&vector));
        let scale = vector("bn.weight", ParameterKind::NormScale)?;
        let shift = vector("bn.bias", ParameterKind::NormShift)?;
        let mean = vector("bn.running_mean", ParameterKind::NormShift)?;
        let variance = vector("bn.running_var", ParameterKind::NormScale)?;
        let mut bias = Vec::with_capacity(outputs);
        let each = weight.len() / outputs.max(1);
        for (output, weights) in weight.chunks_exact_mut(each.max(1)).enumerate() {
            let factor = scale[output] / (variance[output] + EPS).sqrt();
            weights.iter_mut().for_each(|weight| *weight *= factor);
            bias.push(shift[output] - mean[output] * factor);
        }
        let weight = engine.from_slice(&weight, &shape)?;
        let bias = engine.from_slice(&bias, &[outputs])?;
        Ok(Self { weight, bias, geometry, each_channel })
    }

    /// `x [B, H, W, I]` to `[B, H', W', O]`.
    pub(super) fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        if self.each_channel {
            engine.depthwise_conv2d(x, &self.weight, Some(&self.bias), self.geometry)
        } else {
            engine.conv2d(x, &self.weight, Some(&self.bias), self.geometry)
        }
    }
}
