//! Speed and memory of training and sampling, beside PyTorch with diffusers and peft on the same weights.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use mudi_diffusion::Engine;
use mudi_domain::rng;
use mudi_engine_candle::lora::{DEFAULT_TARGETS, attach_trainable};
use mudi_engine_candle::{AdamW, AdamWConfig, backward, gradient_norm};
use serde::{Deserialize, Serialize};

use crate::base::{Base, BaseError, EncodedPrompts};
use crate::demo::peak_memory;

const REFERENCE: &str = include_str!("reference.py");
const RANK: usize = 32;
/// Batches of the training step that is timed.
const BATCHES: [usize; 2] = [2, 6];
const GUIDED: &str = "sampling step with guidance";

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The base model cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// The reference could not be run.
    #[error("{python}: the reference did not run ({reason}); it needs torch, diffusers and peft")]
    Reference {
        /// The interpreter.
        python: String,
        /// The last line of what it said.
        reason: String,
    },
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Our figure; less is better.
    pub ours: f64,
    /// The reference's, where there is one.
    pub reference: Option<f64>,
    /// `ms` or `MiB`.
    pub unit: &'static str,
    /// The reference's figure over ours: more than 1 where ours is better.
    pub ratio: Option<f64>,
}

/// All lines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// The lines.
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Reference {
    seconds: BTreeMap<String, f64>,
    peak_memory: f64,
}

/// Median time in seconds of `runs` calls after one that does not count.
fn median<E>(runs: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    work()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begin = Instant::now();
        work()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(f64::NAN))
}

/// Measures; with `python`, the reference too.
///
/// # Errors
/// [`BenchError`].
pub fn run(folder: &Path, runs: usize, python: Option<&str>) -> Result<Table, BenchError> {
    let mut base = Base::load(folder)?;
    let tokens = base.encode_prompts(&["a photo"])?.tokens;
    let mut measured = vec![(GUIDED.to_owned(), sampling_step(&base, runs)?)];
    for batch in BATCHES {
        measured.push((format!("LoRA training step, batch {batch}"), training_step(&mut base, runs, batch)?));
    }
    let reference = python.map(|python| reference(python, folder, runs, tokens)).transpose()?;
    let row = |name: String, ours: f64, other: Option<f64>, unit| {
        let ratio = other.map(|other| other / ours);
        Row { name, ours, reference: other, unit, ratio }
    };
    let mut rows: Vec<Row> = measured
        .into_iter()
        .map(|(name, seconds)| {
            let other = reference.as_ref().and_then(|reference| reference.seconds.get(&name));
            row(name, 1e3 * seconds, other.map(|seconds| 1e3 * seconds), "ms")
        })
        .collect();
    if let Some(peak) = peak_memory() {
        const MIB: f64 = 1024.0 * 1024.0;
        let other = reference.as_ref().map(|reference| reference.peak_memory / MIB);
        rows.push(row("peak memory of all of these".to_owned(), peak as f64 / MIB, other, "MiB"));
    }
    Ok(Table { rows })
}

/// Inputs of `batch` samples: latents, timesteps and texts.
fn inputs(base: &Base, batch: usize) -> Result<(Vec<f32>, Vec<f32>, EncodedPrompts), BenchError> {
    let side = base.resolution();
    let [h, w] = base.latent_size(side, side)?;
    let mut stream = rng::stream(0, "bench", batch as u64);
    let latents = rng::normal(&mut stream, batch * h * w * base.vae.config.latent_channels);
    Ok((latents, vec![500.0; batch], base.encode_prompts(&vec!["a photo"; batch])?))
}

fn sampling_step(base: &Base, runs: usize) -> Result<f64, BenchError> {
    let (latents, timesteps, text) = inputs(base, 2)?;
    let side = base.resolution();
    median(runs, || {
        let input = base.input(&latents, [side, side], timesteps.clone(), &text, 0.0)?;
        base.unet.forward(&base.engine, &input)?;
        Ok(())
    })
}

fn training_step(base: &mut Base, runs: usize, batch: usize) -> Result<f64, BenchError> {
    let targets = DEFAULT_TARGETS.map(String::from);
    let weights = attach_trainable(&mut base.unet, &targets, RANK, RANK as f32, |name, shape| {
        let count = shape.iter().product();
        let scale = if name.contains("lora_B") { 0.0 } else { 1.0 / RANK as f32 };
        rng::normal(&mut rng::stream(0, name, 0), count).iter().map(|v| scale * v).collect()
    })?;
    let (latents, timesteps, text) = inputs(base, batch)?;
    let side = base.resolution();
    let target = rng::normal(&mut rng::stream(1, "bench", batch as u64), latents.len());
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let leaves = || weights.iter().map(|weight| &weight.leaf);
    median(runs, || {
        let input = base.input(&latents, [side, side], timesteps.clone(), &text, 1.0)?;
        let output = base.unet.forward(&base.engine, &input)?;
        let found = base.engine.to_vec(&output)?;
        let scale = 2.0 / found.len() as f32;
        let seed: Vec<f32> = found.iter().zip(&target).map(|(a, b)| scale * (a - b)).collect();
        let seed = base.engine.from_slice(&seed, &base.engine.shape(&output))?;
        let gradients = backward(&[(&output, seed.value().clone())])?;
        let norm = gradient_norm(leaves(), &gradients)?;
        optimizer.update(leaves(), &gradients, 1e-4, if norm > 1.0 { 1.0 / norm } else { 1.0 })?;
        Ok(())
    })
}

fn reference(python: &str, base: &Path, runs: usize, tokens: usize) -> Result<Reference, BenchError> {
    let failed = |reason: String| BenchError::Reference { python: python.to_owned(), reason };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let output = std::process::Command::new(python)
        .args(["-c", REFERENCE])
        .arg(base)
        .args([runs, tokens, threads].map(|number| number.to_string()))
        .arg(BATCHES.map(|batch| batch.to_string()).join(","))
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().last().unwrap_or_default().to_owned();
    if !output.status.success() {
        return Err(failed(last(&output.stderr)));
    }
    serde_json::from_str(&last(&output.stdout)).map_err(|error| failed(error.to_string()))
}
