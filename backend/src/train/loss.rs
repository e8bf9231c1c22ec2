//! The loss of a batch, and its gradients.

use mudi_diffusion::Engine;
use mudi_diffusion::unet::UNetInput;
use mudi_domain::recipe::{Recipe, Regularization};
use mudi_engine_candle::{CandleEngine, Gradients, backward, checkpoint};

use super::TrainError;
use super::samples::Batch;
use crate::base::Base;

/// Loss and gradients of one batch.
pub(super) fn in_parts(base: &Base, recipe: &Recipe, batch: &Batch) -> Result<(f64, Gradients), TrainError> {
    let mut loss = 0.0;
    let mut gradients = Gradients::default();
    for part in base.engine.on_parts(batch.timesteps.len(), |part| pass(base, recipe, &batch.part(part))) {
        let (part_loss, part_gradients) = part?;
        loss += part_loss;
        gradients.accumulate(part_gradients)?;
    }
    Ok((loss, gradients))
}

/// Loss and gradients of samples that are computed together.
fn pass(base: &Base, recipe: &Recipe, batch: &Batch) -> Result<(f64, Gradients), TrainError> {
    let engine = &base.engine;
    let by_base = || batch.text.on(engine, batch.timesteps.len());
    let input = |text, lora_scale| -> Result<UNetInput<CandleEngine>, TrainError> {
        Ok(base.input_of(&batch.noisy, batch.size, batch.timesteps.clone(), text, lora_scale)?)
    };
    let reference = match recipe.regularization {
        // Scaled to 0, the LoRA is not computed, and nothing is recorded.
        Regularization::Dco => Some(engine.to_vec(&base.unet.forward(engine, &input(by_base()?, 0.0)?)?)?),
        _ => None,
    };
    let text = match (&base.text, &batch.tokens) {
        (Some(encoders), Some(tokens)) => {
            encoders.encode_tokens(engine, &tokens.iter().collect::<Vec<_>>())?
        }
        _ => by_base()?,
    };
    if recipe.gradient_checkpointing {
        let pass = checkpoint::forward(engine, &base.unet, &input(text, 1.0)?)?;
        let found = engine.to_vec(&pass.output)?;
        let (loss, seed) = loss(&found, batch, reference.as_deref(), recipe.dco_beta);
        let seed = engine.from_slice(&seed, &engine.shape(&pass.output))?;
        Ok((loss, pass.backward(engine, seed.value().clone())?))
    } else {
        let output = base.unet.forward(engine, &input(text, 1.0)?)?;
        let (loss, seed) = loss(&engine.to_vec(&output)?, batch, reference.as_deref(), recipe.dco_beta);
        let seed = engine.from_slice(&seed, &engine.shape(&output))?;
        Ok((loss, backward(&[(&output, seed.value().clone())])?))
    }
}

/// The loss, and its gradient with respect to the network's output.
///
/// Without `reference` it is the weighted squared error. With it, it is DCO's (Lee et al., 2024):
/// `-log sigmoid(-beta (L - L_base))` for each sample, with `L` the weighted error of that sample.
fn loss(found: &[f32], batch: &Batch, reference: Option<&[f32]>, beta: f64) -> (f64, Vec<f32>) {
    let weighted = |values: &[f32], range: std::ops::Range<usize>| -> f64 {
        range
            .map(|at| {
                let error = f64::from(values[at]) - f64::from(batch.target[at]);
                f64::from(batch.weights[at]) * error * error
            })
            .sum()
    };
    let each = found.len() / batch.timesteps.len();
    let mut total = 0.0;
    let mut gradient = Vec::with_capacity(found.len());
    for sample in 0..batch.timesteps.len() {
        let range = sample * each..(sample + 1) * each;
        let error = weighted(found, range.clone());
        let slope = match reference {
            None => {
                total += error;
                1.0
            }
            Some(reference) => {
                // Weights are shares of a mean over the samples; DCO wants each sample's own mean.
                let count = batch.samples as f64;
                let x = beta * count * (error - weighted(reference, range.clone()));
                // log(1 + e^x), which does not overflow.
                total += (x.max(0.0) + (-x.abs()).exp().ln_1p()) / count;
                beta / (1.0 + (-x).exp())
            }
        };
        gradient.extend(range.map(|at| {
            let error = f64::from(found[at]) - f64::from(batch.target[at]);
            (slope * 2.0 * f64::from(batch.weights[at]) * error) as f32
        }));
    }
    (total, gradient)
}
