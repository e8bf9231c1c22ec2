//! Training steps of a LoRA on one given batch.

use std::collections::BTreeSet;
use std::error::Error;

use candle_core::{DType, Device, Tensor as Value};
use mudi::base::Source;
use mudi_diffusion::unet::UNet;
use mudi_diffusion::{Component, ParameterKind};
use mudi_engine_candle::lora::{Adaptation, DEFAULT_TARGETS, attach_trainable};
use mudi_engine_candle::weights::{NamedTensors, Precision, named_for_file, values_from_file};
use mudi_engine_candle::{AdamW, AdamWConfig, CandleEngine, checkpoint, on_pool};

use super::{Failure, Inputs, denoiser_input};

/// How the steps are made.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Steps {
    /// Of `lora_step`: steps of AdamW on the same batch.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// Of `lora_step`: the learning rate.
    #[arg(long, default_value_t = 1e-4)]
    learning_rate: f64,
    /// Of `lora_step`: the factors' product is scaled by alpha / rank [default: the rank].
    #[arg(long)]
    alpha: Option<f32>,
    /// Of `lora_step`: hold the base's weights in two bytes.
    #[arg(long)]
    half: bool,
}

/// Gradients of the first step and the factors after the last one, with the mean squared error against `target`.
pub(super) fn lora_step(source: &Source, inputs: &Inputs, steps: &Steps) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let config = source.unet_config()?;
    let precision = if steps.half { Precision::Half } else { Precision::Single };
    let mut unet: UNet<CandleEngine> =
        source.load(&engine, Component::Unet, precision, |parameters| UNet::new(config, parameters))?;
    let rank = inputs
        .tensors
        .iter()
        .find_map(|(name, value)| name.ends_with(".lora_A.weight").then(|| value.dims().first().copied())?)
        .filter(|&rank| rank > 0)
        .ok_or_else(|| {
            format!("{}: holds no factors (`unet.<layer>.lora_A.weight`)", inputs.path.display())
        })?;
    let alpha = steps.alpha.unwrap_or(rank as f32);
    let mut missing = BTreeSet::new();
    let targets = DEFAULT_TARGETS.map(String::from);
    let magnitude = |name: &str| name.ends_with(".lora_magnitude_vector");
    let dora = inputs.tensors.keys().any(|name| magnitude(name));
    let learning = attach_trainable(&mut unet, &targets, Adaptation { rank, alpha, dora }, |name, shape| {
        let found = inputs.tensors.get(name).filter(|value| value.dims() == shape);
        match found.map(|value| values_from_file(value, ParameterKind::Linear)) {
            Some(Ok(values)) => values,
            _ => {
                missing.insert(name.to_owned());
                vec![0.0; shape.iter().product()]
            }
        }
    })?;
    let weights = &learning.weights;
    for weight in weights.iter().filter(|weight| magnitude(&weight.name)) {
        match inputs.tensors.get(&weight.name).map(|value| values_from_file(value, weight.kind)) {
            Some(Ok(values)) if values.len() == weight.leaf.value().elem_count() => weight.set(values)?,
            _ => {
                missing.insert(weight.name.clone());
            }
        }
    }
    if let Some(name) = missing.first() {
        return Err(format!("{}: `{name}` is missing or misshapen", inputs.path.display()).into());
    }
    let input = denoiser_input(inputs, 1.0)?;
    let target = inputs.image("target")?;
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut outputs = NamedTensors::new();
    let mut losses = Vec::new();
    for step in 0..steps.steps {
        let (loss, gradients) = on_pool(|| -> Result<_, Box<dyn Error + Send + Sync>> {
            let pass = checkpoint::forward(&engine, &unet, &input)?;
            let difference = (pass.output.value() - target.value())?;
            let loss = difference.sqr()?.mean_all()?.to_scalar::<f32>()?;
            let seed = (difference * (2.0 / pass.output.value().elem_count() as f64))?;
            Ok((loss, pass.backward(&engine, seed)?))
        })
        .map_err(|error| -> Failure { error })?;
        losses.push(loss);
        if step == 0 {
            for weight in weights {
                if let Some(gradient) = gradients.get(&weight.leaf) {
                    outputs.insert(format!("grad.{}", weight.name), gradient.contiguous()?);
                }
            }
        }
        let leaves = weights.iter().map(|weight| (&weight.leaf, steps.learning_rate));
        optimizer.update(leaves, &gradients, 1.0)?;
        learning.renew()?;
    }
    let count = losses.len();
    outputs.insert("loss".to_owned(), Value::from_vec(losses, count, &Device::Cpu)?);
    outputs.extend(named_for_file(weights, DType::F32)?);
    Ok(outputs)
}
