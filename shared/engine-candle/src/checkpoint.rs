//! Gradient checkpointing: the backward pass of a UNet with the activations of one stage at a time.

use mudi_diffusion::unet::{Conditioning, Skip, UNet, UNetInput};
use mudi_diffusion::{Engine, Result};

use crate::engine::CandleEngine;
use crate::tape::{Gradients, Tensor, backward};

/// The inputs of one stage, kept until its backward pass.
struct Kept {
    x: Tensor,
    skip: Option<Tensor>,
    size: Option<[usize; 2]>,
}

/// A forward pass that kept only what each stage starts from.
pub struct Checkpointed<'a> {
    unet: &'a UNet<CandleEngine>,
    with: Conditioning<CandleEngine>,
    kept: Vec<Kept>,
    /// The network's output, a constant.
    pub output: Tensor,
}

/// Runs the UNet and keeps the input of each stage. Gradients reach the weights (a LoRA's, or all), not the inputs.
///
/// # Errors
/// Shapes that do not fit; engine errors.
pub fn forward<'a>(
    engine: &CandleEngine,
    unet: &'a UNet<CandleEngine>,
    input: &UNetInput<CandleEngine>,
) -> Result<Checkpointed<'a>> {
    let with = unet.condition(engine, input)?;
    let with = Conditioning {
        time: with.time.detached(),
        context: with.context.detached(),
        lora_scale: with.lora_scale,
    };
    let mut x = input.sample.detached();
    let mut skips: Vec<Tensor> = Vec::new();
    let mut kept = Vec::with_capacity(unet.stage_count());
    for index in 0..unet.stage_count() {
        let skip = if unet.skip(index) == Skip::Pop { skips.pop() } else { None };
        let size = skips.last().map(|skip| {
            let shape = engine.shape(skip);
            [shape[1], shape[2]]
        });
        // Detaching drops what the stage recorded.
        let y = unet.run_stage(engine, index, &x, skip.as_ref(), size, &with)?.detached();
        kept.push(Kept { x, skip, size });
        if unet.skip(index) == Skip::Push {
            skips.push(y.clone());
        }
        x = y;
    }
    Ok(Checkpointed { unet, with, kept, output: x })
}

impl Checkpointed<'_> {
    /// Gradients of `sum(output * seed)` with respect to the weights: each stage is run again, last first.
    ///
    /// # Errors
    /// Engine errors.
    pub fn backward(mut self, engine: &CandleEngine, seed: candle_core::Tensor) -> Result<Gradients> {
        let mut all = Gradients::default();
        let mut dx = Some(seed);
        let mut skip_gradients: Vec<candle_core::Tensor> = Vec::new();
        for index in (0..self.unet.stage_count()).rev() {
            let Some(Kept { x, skip, size }) = self.kept.pop() else { break };
            let x = Tensor::leaf(x.value().clone());
            let skip = skip.map(|skip| Tensor::leaf(skip.value().clone()));
            let y = self.unet.run_stage(engine, index, &x, skip.as_ref(), size, &self.with)?;
            let mut seeds = Vec::new();
            if let Some(dx) = dx.take() {
                seeds.push((&y, dx));
            }
            if self.unet.skip(index) == Skip::Push {
                seeds.extend(skip_gradients.pop().map(|gradient| (&y, gradient)));
            }
            let mut gradients = backward(&seeds)?;
            dx = gradients.take(&x);
            if let Some(skip) = &skip {
                skip_gradients.extend(gradients.take(skip));
            }
            all.accumulate(gradients)?;
        }
        Ok(all)
    }
}
