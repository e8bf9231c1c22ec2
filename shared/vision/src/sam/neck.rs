//! What every image encoder of SAM ends with: two convolutions, each with a norm.

use mudi_diffusion::nn::{Builder, Conv2d, LayerNorm};
use mudi_diffusion::{ConvGeometry, Engine, Result};

/// Added to variances.
const EPS: f32 = 1e-6;

/// From the encoder's width to the channels of the embedding.
pub(super) struct Neck<E: Engine> {
    convolutions: [Conv2d<E>; 2],
    norms: [LayerNorm<E>; 2],
}

impl<E: Engine> Neck<E> {
    pub(super) fn new(mut at: Builder<'_, E>, width: usize, channels: usize) -> Result<Self> {
        Ok(Self {
            convolutions: [
                at.conv_no_bias("0", width, channels, 1, ConvGeometry::same(1))?,
                at.conv_no_bias("2", channels, channels, 3, ConvGeometry::same(3))?,
            ],
            norms: [at.layer_norm("1", channels, EPS)?, at.layer_norm("3", channels, EPS)?],
        })
    }

    /// `x [B, H, W, width]` to `[B, H, W, channels]`.
    pub(super) fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let mut x = x.clone();
        for (convolution, norm) in self.convolutions.iter().zip(&self.norms) {
            x = norm.forward(engine, &convolution.forward(engine, &x)?)?;
        }
        Ok(x)
    }
}
