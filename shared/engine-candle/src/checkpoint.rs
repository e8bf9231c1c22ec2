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
    /// What the stages were told, and through it whatever it was made of.
    given: Conditioning<CandleEngine>,
    kept: Vec<Kept>,
    /// The network's output, a constant.
    pub output: Tensor,
}

/// Runs the UNet and keeps the input of each stage. Gradients reach the weights (a LoRA's, or all), the text states and the pooled
/// text, not the sample.
///
/// # Errors
/// Shapes that do not fit; engine errors.
pub fn forward<'a>(
    engine: &CandleEngine,
    unet: &'a UNet<CandleEngine>,
    input: &UNetInput<CandleEngine>,
) -> Result<Checkpointed<'a>> {
    let given = unet.condition(engine, input)?;
    let with = Conditioning {
        time: given.time.detached(),
        context: given.context.detached(),
        lora_scale: given.lora_scale,
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
    Ok(Checkpointed { unet, given, kept, output: x })
}

impl Checkpointed<'_> {
    /// Gradients of `sum(output * seed)` with respect to the weights, and to the leaves that text states and pooled text were made of:
    /// each stage is run again, last first.
    ///
    /// # Errors
    /// Engine errors.
    pub fn backward(mut self, engine: &CandleEngine, seed: candle_core::Tensor) -> Result<Gradients> {
        let leaf = |given: &Tensor| {
            if given.is_tracked() { Tensor::leaf(given.value().clone()) } else { given.clone() }
        };
        let with = Conditioning {
            time: leaf(&self.given.time),
            context: leaf(&self.given.context),
            lora_scale: self.given.lora_scale,
        };
        let mut sums = [None, None];
        let mut all = Gradients::default();
        let mut dx = Some(seed);
        let mut skip_gradients: Vec<candle_core::Tensor> = Vec::new();
        for index in (0..self.unet.stage_count()).rev() {
            let Some(Kept { x, skip, size }) = self.kept.pop() else { break };
            let x = Tensor::leaf(x.value().clone());
            let skip = skip.map(|skip| Tensor::leaf(skip.value().clone()));
            let y = self.unet.run_stage(engine, index, &x, skip.as_ref(), size, &with)?;
            let mut seeds = Vec::new();
            if let Some(dx) = dx.take() {
                seeds.push((&y, dx));
            }
            if self.unet.skip(index) == Skip::Push {
                seeds.extend(skip_gradients.pop().map(|gradient| (&y, gradient)));
            }
            // The sums so far come first, so that they grow in the same order as where all stages are one graph.
            let told = [&with.time, &with.context];
            seeds.extend(told.into_iter().zip(&mut sums).filter_map(|(leaf, sum)| Some((leaf, sum.take()?))));
            let mut gradients = backward(&seeds)?;
            sums = told.map(|leaf| gradients.take(leaf));
            dx = gradients.take(&x);
            if let Some(skip) = &skip {
                skip_gradients.extend(gradients.take(skip));
            }
            all.accumulate(gradients)?;
        }
        let given = [&self.given.time, &self.given.context];
        let seeds: Vec<_> =
            given.into_iter().zip(sums).filter_map(|(told, sum)| Some((told, sum?))).collect();
        all.accumulate(backward(&seeds)?)?;
        Ok(all)
    }
}
