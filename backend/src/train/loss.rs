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
    // Scaled to 0, the LoRA is not computed, and nothing is recorded.
    let before = || -> Result<Vec<f32>, TrainError> {
        Ok(engine.to_vec(&base.unet.forward(engine, &input(by_base()?, 0.0)?)?)?)
    };
    let compared = match recipe.regularization {
        Regularization::Dco => Compared::Loss { before: before()?, beta: recipe.dco_beta },
        Regularization::Kl => Compared::Prediction { before: before()?, weight: recipe.kl_weight },
        Regularization::Prior | Regularization::None => Compared::Nothing,
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
        let (loss, seed) = loss(&found, batch, &compared);
        let seed = engine.from_slice(&seed, &engine.shape(&pass.output))?;
        Ok((loss, pass.backward(engine, seed.value().clone())?))
    } else {
        let output = base.unet.forward(engine, &input(text, 1.0)?)?;
        let (loss, seed) = loss(&engine.to_vec(&output)?, batch, &compared);
        let seed = engine.from_slice(&seed, &engine.shape(&output))?;
        Ok((loss, backward(&[(&output, seed.value().clone())])?))
    }
}

/// What the network's output is held against besides the target.
enum Compared {
    /// Nothing.
    Nothing,
    /// DCO (Lee et al., 2024): the loss that the network has without the LoRA. A sample's loss is `-log sigmoid(-beta (L - L_before))`,
    /// with `L` its weighted error.
    Loss {
        /// What the network predicts without the LoRA.
        before: Vec<f32>,
        beta: f64,
    },
    /// KL regularization (MuDI, iterative training, after Fan et al., 2023): of two Gaussians of one variance the divergence is the squared
    /// difference of their means, so `weight` times the weighted squared difference from what was predicted before is added.
    Prediction {
        /// What the network predicts without the LoRA.
        before: Vec<f32>,
        weight: f64,
    },
}

/// The loss, and its gradient with respect to the network's output `found`: the weighted squared error, and what [`Compared`] says.
fn loss(found: &[f32], batch: &Batch, compared: &Compared) -> (f64, Vec<f32>) {
    let difference =
        |values: &[f32], others: &[f32], at: usize| f64::from(values[at]) - f64::from(others[at]);
    let weighted = |values: &[f32], others: &[f32], range: std::ops::Range<usize>| -> f64 {
        range.map(|at| f64::from(batch.weights[at]) * difference(values, others, at).powi(2)).sum()
    };
    let each = found.len() / batch.timesteps.len();
    let mut total = 0.0;
    let mut gradient = Vec::with_capacity(found.len());
    for sample in 0..batch.timesteps.len() {
        let range = sample * each..(sample + 1) * each;
        let error = weighted(found, &batch.target, range.clone());
        let slope = match compared {
            Compared::Nothing => {
                total += error;
                1.0
            }
            Compared::Prediction { before, weight } => {
                total += error + weight * weighted(found, before, range.clone());
                1.0
            }
            Compared::Loss { before, beta } => {
                // Weights are shares of a mean over the samples; DCO wants each sample's own mean.
                let count = batch.samples as f64;
                let x = beta * count * (error - weighted(before, &batch.target, range.clone()));
                // log(1 + e^x), which does not overflow.
                total += (x.max(0.0) + (-x.abs()).exp().ln_1p()) / count;
                beta / (1.0 + (-x).exp())
            }
        };
        gradient.extend(range.map(|at| {
            let towards = match compared {
                Compared::Prediction { before, weight } => weight * difference(found, before, at),
                _ => 0.0,
            };
            let error = slope * difference(found, &batch.target, at) + towards;
            (2.0 * f64::from(batch.weights[at]) * error) as f32
        }));
    }
    (total, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::EncodedPrompts;

    /// Two samples of three values.
    fn batch() -> Batch {
        Batch {
            noisy: Vec::new(),
            target: vec![0.1, -0.2, 0.3, 0.7, 0.0, -0.4],
            timesteps: vec![10.0, 500.0],
            text: EncodedPrompts { context: Vec::new(), tokens: 0, width: 0, pooled: None },
            tokens: None,
            weights: vec![0.2, 0.1, 0.2, 0.05, 0.15, 0.1],
            samples: 2,
            size: [8, 8],
            pictures: Vec::new(),
        }
    }

    const FOUND: [f32; 6] = [0.3, 0.1, -0.2, 0.5, 0.6, -0.1];
    const BEFORE: [f32; 6] = [0.2, -0.1, 0.1, 0.9, 0.2, -0.3];

    #[test]
    fn gradients_are_slopes() {
        let batch = batch();
        let before = || BEFORE.to_vec();
        for compared in [
            Compared::Nothing,
            Compared::Loss { before: before(), beta: 3.0 },
            Compared::Prediction { before: before(), weight: 0.7 },
        ] {
            let (_, gradient) = loss(&FOUND, &batch, &compared);
            for at in 0..FOUND.len() {
                let moved = |by: f32| {
                    let mut values = FOUND;
                    values[at] += by;
                    loss(&values, &batch, &compared).0
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((slope - f64::from(gradient[at])).abs() < 1e-4, "{at}: {slope}, {}", gradient[at]);
            }
        }
    }

    #[test]
    fn what_was_predicted_before_pulls_as_much_as_the_target() {
        // Both squared errors together are least half way between the two.
        let batch = batch();
        let half: Vec<f32> = batch.target.iter().zip(BEFORE).map(|(a, b)| 0.5 * (a + b)).collect();
        let compared = Compared::Prediction { before: BEFORE.to_vec(), weight: 1.0 };
        let (_, gradient) = loss(&half, &batch, &compared);
        assert!(gradient.iter().all(|slope| slope.abs() < 1e-6), "{gradient:?}");
        let alone = Compared::Prediction { before: BEFORE.to_vec(), weight: 0.0 };
        assert_eq!(loss(&FOUND, &batch, &alone), loss(&FOUND, &batch, &Compared::Nothing));
    }
}
