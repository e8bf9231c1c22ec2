//! Our side of a benchmark: a process that does jobs when it is told to, as the reference's does.
//!
//! Lines in: a job as JSON (prepared, and done once as warm-up), `run`, `peak`. Lines out: `ready`, seconds, bytes; or
//! `error` and a message.

use std::io::{BufRead, Write};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use mudi_diffusion::clip::ClipTextConfig;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetConfig, UNetInput};
use mudi_diffusion::{Activation, ConvGeometry, Engine};
use mudi_domain::rng;
use mudi_engine_candle::lora::{Adaptation, DEFAULT_TARGETS, Learning, attach_trainable};
use mudi_engine_candle::weights::{Precision as Weights, TrainableWeights};
use mudi_engine_candle::{
    AdamW, AdamWConfig, CandleEngine, Gradients, Tensor, backward, checkpoint, gradient_norm,
};

use super::job::{Job, Operation, Precision, RANK};
use super::{BenchError, vision};
use crate::base::{Base, load_network, read_config};
use crate::generate::{Settings, Start, pictures};
use crate::pretrain::earlier::EarlierWeights;
use crate::pretrain::learner::{Batch, Learner};
use crate::pretrain::state::State;

/// A job that is ready to be done, again and again.
pub(super) type Prepared = Box<dyn FnMut() -> Result<(), BenchError>>;

/// Answers lines of `input` until it ends.
///
/// # Errors
/// [`BenchError::Pipe`]; what goes wrong in a job is an answer.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<(), BenchError> {
    let mut prepared: Option<Prepared> = None;
    for line in input.lines() {
        let answer = answer(&line?, &mut prepared).unwrap_or_else(|error| format!("error {error}"));
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(line: &str, prepared: &mut Option<Prepared>) -> Result<String, BenchError> {
    match (line, prepared) {
        ("peak", _) => Ok(crate::plan::peak_memory().unwrap_or_default().to_string()),
        ("run", Some(work)) => {
            let begin = Instant::now();
            work()?;
            Ok(begin.elapsed().as_secs_f64().to_string())
        }
        (job, prepared) => {
            // What the job before held is freed first.
            *prepared = None;
            let mut work = prepare(serde_json::from_str(job)?)?;
            work()?;
            *prepared = Some(work);
            Ok("ready".to_owned())
        }
    }
}

fn prepare(job: Job) -> Result<Prepared, BenchError> {
    match job {
        Job::Sampling { base, steps } => sampling(&base, steps),
        Job::Lora { base, batch, side, tokens, precision, checkpointing } => {
            lora_step(&base, [batch, side, tokens], precision, checkpointing)
        }
        Job::Pretraining { base, batch } => pretraining_step(&base, batch),
        Job::Forward { base, batch, side, tokens, precision } => {
            forward(&base, [batch, side, tokens], precision)
        }
        Job::Mask { detector, segmenter } => vision::mask(detector, segmenter),
        Job::Compare { detector, embedder } => vision::compare(&detector, &embedder),
        Job::Owlv2 => vision::owlv2(),
        Job::Sam => vision::sam(),
        Job::Operation { operation, gradient, repeat } => self::operation(&operation, gradient, repeat),
    }
}

impl From<Precision> for Weights {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::Single,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

fn sampling(base: &Path, steps: usize) -> Result<Prepared, BenchError> {
    let base = Base::load(base, Weights::Single)?;
    let settings = Settings { steps, ..Settings::for_base(&base) };
    let starts = [Start { seed: 0, ..Start::default() }];
    Ok(Box::new(move || {
        let texts = base.encode_pair("a photo of a red bear", "")?;
        pictures(&base, &texts, &settings, &starts, |_| {})?;
        Ok(())
    }))
}

fn load_unet(
    engine: &CandleEngine,
    base: &Path,
    precision: Precision,
) -> Result<UNet<CandleEngine>, BenchError> {
    let folder = base.join("unet");
    let config: UNetConfig = read_config(&folder)?;
    Ok(load_network(engine, &folder, precision.into(), |parameters| UNet::new(config, parameters))?)
}

fn normal(name: &str, len: usize) -> Vec<f32> {
    rng::normal(&mut rng::stream(0, name, 0), len)
}

/// Random inputs of a UNet; sizes are batch, height and width of the latents, tokens.
fn unet_input(
    engine: &CandleEngine,
    config: &UNetConfig,
    [batch, side, tokens]: [usize; 3],
) -> Result<UNetInput<CandleEngine>, BenchError> {
    let random =
        |name: &str, shape: &[usize]| engine.from_slice(&normal(name, shape.iter().product()), shape);
    let added = match (config.projection_class_embeddings_input_dim, config.addition_time_embed_dim) {
        (Some(all), Some(sizes)) => Some(AddedConditioning {
            text_embeds: random("text_embeds", &[batch, all - 6 * sizes])?,
            time_ids: vec![96.0; 6 * batch],
        }),
        _ => None,
    };
    let width = config.cross_attention_dim.at(0, "cross_attention_dim")?;
    Ok(UNetInput {
        sample: random("sample", &[batch, side, side, config.in_channels])?,
        timesteps: vec![500.0; batch],
        encoder_hidden_states: random("encoder_hidden_states", &[batch, tokens, width])?,
        added,
        lora_scale: 1.0,
    })
}

/// Some of the samples of a UNet's inputs.
fn part_of(
    engine: &CandleEngine,
    input: &UNetInput<CandleEngine>,
    part: Range<usize>,
) -> Result<UNetInput<CandleEngine>, mudi_diffusion::Error> {
    let of = |x: &Tensor| engine.slice(x, 0, part.start, part.len());
    let added = input.added.as_ref().map(|added| {
        let time_ids = added.time_ids[6 * part.start..6 * part.end].to_vec();
        Ok(AddedConditioning { text_embeds: of(&added.text_embeds)?, time_ids })
    });
    Ok(UNetInput {
        sample: of(&input.sample)?,
        timesteps: input.timesteps[part.clone()].to_vec(),
        encoder_hidden_states: of(&input.encoder_hidden_states)?,
        added: added.transpose()?,
        lora_scale: input.lora_scale,
    })
}

fn forward(
    base: &Path,
    sizes @ [batch, ..]: [usize; 3],
    precision: Precision,
) -> Result<Prepared, BenchError> {
    let engine = CandleEngine::cpu();
    let unet = load_unet(&engine, base, precision)?;
    let input = unet_input(&engine, &unet.config, sizes)?;
    Ok(Box::new(move || {
        let parts = engine.on_parts(batch, |part| unet.forward(&engine, &part_of(&engine, &input, part)?));
        parts.into_iter().try_for_each(|part| part.map(drop))?;
        Ok(())
    }))
}

fn lora_step(
    base: &Path,
    sizes: [usize; 3],
    precision: Precision,
    checkpointing: bool,
) -> Result<Prepared, BenchError> {
    let engine = CandleEngine::cpu();
    let mut unet = load_unet(&engine, base, precision)?;
    let targets = DEFAULT_TARGETS.map(String::from);
    let adaptation = Adaptation { rank: RANK, alpha: RANK as f32, dora: false };
    let Learning { weights, .. } = attach_trainable(&mut unet, &targets, adaptation, |name, shape| {
        let scale = if name.contains("lora_B") { 0.0 } else { 1.0 / RANK as f32 };
        normal(name, shape.iter().product()).iter().map(|v| scale * v).collect()
    })?;
    let input = unet_input(&engine, &unet.config, sizes)?;
    let [batch, side, _] = sizes;
    let each = side * side * unet.config.out_channels;
    let target = normal("target", batch * each);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    Ok(Box::new(move || {
        let leaves = || weights.iter().map(|weight| &weight.leaf);
        let pass = |part: Range<usize>| -> Result<Gradients, mudi_diffusion::Error> {
            let target = &target[part.start * each..part.end * each];
            let scale = 2.0 / (batch * each) as f32;
            let seed = |output: &Tensor| {
                let found = engine.to_vec(output)?;
                let seed: Vec<f32> = found.iter().zip(target).map(|(a, b)| scale * (a - b)).collect();
                engine.from_slice(&seed, &engine.shape(output))
            };
            let input = part_of(&engine, &input, part.clone())?;
            if checkpointing {
                let pass = checkpoint::forward(&engine, &unet, &input)?;
                let seed = seed(&pass.output)?;
                return pass.backward(&engine, seed.value().clone());
            }
            let output = unet.forward(&engine, &input)?;
            backward(&[(&output, seed(&output)?.value().clone())])
        };
        let mut gradients = Gradients::default();
        for part in engine.on_parts(batch, pass) {
            gradients.accumulate(part?)?;
        }
        let norm = gradient_norm(leaves(), &gradients)?;
        let clip = if norm > 1.0 { 1.0 / norm } else { 1.0 };
        optimizer.update(leaves().map(|leaf| (leaf, 1e-4)), &gradients, clip)?;
        Ok(())
    }))
}

fn pretraining_step(base: &Path, batch: usize) -> Result<Prepared, BenchError> {
    let engine = CandleEngine::cpu();
    let unet_config: UNetConfig = read_config(&base.join("unet"))?;
    let text_configs: [ClipTextConfig; 2] =
        [read_config(&base.join("text_encoder"))?, read_config(&base.join("text_encoder_2"))?];
    let networks =
        [("text_encoder", "text_encoder."), ("text_encoder_2", "text_encoder_2."), ("unet", "unet.")];
    let mut earlier = EarlierWeights::open(base, &networks)?;
    let mut source = TrainableWeights::new(|name, shape, kind| earlier.values(name, shape, kind));
    let side = unet_config.sample_size.unwrap_or(64);
    let channels = unet_config.in_channels;
    let tokens = text_configs[0].max_position_embeddings;
    let [first, second] = text_configs;
    let learner = Learner::new(unet_config, first, second, &mut source)?;
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    earlier.finish()?;
    let latents = batch * side * side * channels;
    let batch = Batch {
        // Any tokens will do.
        ids: (0..batch * tokens).map(|at| (at % 100) as u32).collect(),
        noisy: normal("noisy", latents),
        noise: normal("noise", latents),
        timesteps: vec![500.0; batch],
        weights: vec![1.0; batch],
    };
    Ok(Box::new(move || {
        let (loss, gradients) = learner.gradients(&engine, &batch, [8 * side; 2])?;
        state.update(&gradients, 1e-4, loss)?;
        Ok(())
    }))
}

/// One operation on leaves (where gradients are wanted) or constants.
fn operation(operation: &Operation, gradient: bool, repeat: usize) -> Result<Prepared, BenchError> {
    let engine = CandleEngine::cpu();
    let input = |name: &str, shape: &[usize]| -> Result<Tensor, BenchError> {
        let x = engine.from_slice(&normal(name, shape.iter().product()), shape)?;
        Ok(if gradient { Tensor::leaf(x.value().clone()) } else { x })
    };
    // Weights are frozen, as they are where a LoRA learns.
    let weight =
        |name: &str, shape: &[usize]| engine.from_slice(&normal(name, shape.iter().product()), shape);
    let with = engine.clone();
    let work: Box<dyn Fn() -> mudi_diffusion::Result<Tensor>> = match *operation {
        Operation::Conv { batch, side, inputs, outputs, kernel } => {
            let x = input("x", &[batch, side, side, inputs])?;
            let w = weight("w", &[outputs, kernel, kernel, inputs])?;
            let b = weight("b", &[outputs])?;
            Box::new(move || with.conv2d(&x, &w, Some(&b), ConvGeometry::same(kernel)))
        }
        Operation::Linear { rows, inputs, outputs } => {
            let x = input("x", &[rows, inputs])?;
            let (w, b) = (weight("w", &[outputs, inputs])?, weight("b", &[outputs])?);
            Box::new(move || with.linear(&x, &w, Some(&b)))
        }
        Operation::Attention { batch, queries, keys, channels, heads } => {
            let q = input("q", &[batch, queries, channels])?;
            let (k, v) = (input("k", &[batch, keys, channels])?, input("v", &[batch, keys, channels])?);
            Box::new(move || with.attention(&q, &k, &v, heads, false))
        }
        Operation::GroupNormSilu { batch, side, channels } => {
            let x = input("x", &[batch, side, side, channels])?;
            let (w, b) = (weight("w", &[channels])?, weight("b", &[channels])?);
            Box::new(move || with.group_norm(&x, &w, &b, 32, 1e-5, Some(Activation::Silu)))
        }
        Operation::LayerNorm { rows, channels } => {
            let x = input("x", &[rows, channels])?;
            let (w, b) = (weight("w", &[channels])?, weight("b", &[channels])?);
            Box::new(move || with.layer_norm(&x, &w, &b, 1e-5))
        }
        Operation::Geglu { rows, channels } => {
            let x = input("x", &[rows, 2 * channels])?;
            Box::new(move || with.geglu(&x))
        }
        Operation::Silu { rows, channels } => {
            let x = input("x", &[rows, channels])?;
            Box::new(move || with.activation(&x, Activation::Silu))
        }
        Operation::Upsample { batch, side, channels } => {
            let x = input("x", &[batch, side, side, channels])?;
            Box::new(move || with.upsample_nearest(&x, 2 * side, 2 * side))
        }
        Operation::Concat { rows, channels } => {
            let (a, b) = (input("a", &[rows, channels])?, input("b", &[rows, channels])?);
            Box::new(move || with.concat(&a, &b, 1))
        }
    };
    let shape = engine.shape(&work()?);
    let seed = engine.from_slice(&normal("seed", shape.iter().product()), &shape)?;
    Ok(Box::new(move || {
        for _ in 0..repeat {
            let y = work()?;
            if gradient {
                backward(&[(&y, seed.value().clone())])?;
            }
        }
        Ok(())
    }))
}
