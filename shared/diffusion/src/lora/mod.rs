//! Low-rank adaptation (Hu et al., 2021) of linear layers and convolutions, with learnt lengths on request (DoRA), and the names that
//! tools give to its tensors.

mod magnitude;
pub mod names;

pub use magnitude::{Magnitude, inverse_norm};

use crate::engine::{ConvGeometry, Engine};
use crate::error::Result;

/// The two factors of a low-rank update `scale * B A`, and DoRA's magnitudes.
pub struct LoraFactors<E: Engine> {
    /// `A [rank, inputs]`, of a convolution `[rank, k, k, inputs]`, called `lora_A.weight` in PEFT's files and `lora_down.weight` in kohya's.
    pub down: E::Tensor,
    /// `B [outputs, rank]`, of a convolution `[outputs, 1, 1, rank]`, called `lora_B.weight` in PEFT's files and `lora_up.weight` in kohya's.
    pub up: E::Tensor,
    /// `alpha / rank`.
    pub scale: f32,
    /// Of DoRA; plain LoRA has none.
    pub magnitude: Option<Magnitude<E>>,
}

impl<E: Engine> LoraFactors<E> {
    /// `strength * scale * (x A^T) B^T` of `x [.., I]`: `[.., O]`. The factor is applied to the narrow middle, where it costs least.
    ///
    /// # Errors
    /// Where `x` is not as wide as the factors, or the engine fails.
    pub fn update(&self, engine: &E, x: &E::Tensor, strength: f32) -> Result<E::Tensor> {
        let middle = self.scaled(engine, engine.linear(x, &self.down, None)?, strength)?;
        engine.linear(&middle, &self.up, None)
    }

    /// The same of a convolution of this geometry: `x [B, H, W, I]` to `[B, H', W', O]`.
    ///
    /// # Errors
    /// As [`LoraFactors::update`].
    pub fn update_convolution(
        &self,
        engine: &E,
        x: &E::Tensor,
        geometry: ConvGeometry,
        strength: f32,
    ) -> Result<E::Tensor> {
        let middle = self.scaled(engine, engine.conv2d(x, &self.down, None, geometry)?, strength)?;
        engine.conv2d(&middle, &self.up, None, ConvGeometry::same(1))
    }

    fn scaled(&self, engine: &E, middle: E::Tensor, strength: f32) -> Result<E::Tensor> {
        let factor = self.scale * strength;
        if factor == 1.0 { Ok(middle) } else { engine.scale(&middle, factor) }
    }
}
