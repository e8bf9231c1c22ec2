//! Low-rank adaptation (Hu et al., 2021) of linear layers, and the names that tools give to its tensors.

pub mod names;

use crate::engine::Engine;
use crate::error::Result;

/// The two factors of a low-rank update `scale * B A`.
pub struct LoraFactors<E: Engine> {
    /// `A [rank, inputs]`, called `lora_A.weight` in PEFT's files and `lora_down.weight` in kohya's.
    pub down: E::Tensor,
    /// `B [outputs, rank]`, called `lora_B.weight` in PEFT's files and `lora_up.weight` in kohya's.
    pub up: E::Tensor,
    /// `alpha / rank`.
    pub scale: f32,
}

impl<E: Engine> LoraFactors<E> {
    /// `strength * scale * (x A^T) B^T`. The factor is applied to the narrow middle, where it costs least.
    pub fn update(&self, engine: &E, x: &E::Tensor, strength: f32) -> Result<E::Tensor> {
        let middle = engine.linear(x, &self.down, None)?;
        let factor = self.scale * strength;
        let middle = if factor == 1.0 { middle } else { engine.scale(&middle, factor)? };
        engine.linear(&middle, &self.up, None)
    }
}
