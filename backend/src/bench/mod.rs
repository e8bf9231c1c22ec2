//! Speed and memory of training and sampling, beside PyTorch with diffusers and peft on the same weights.
//!
//! Each side is a process of its own, so that its peak memory is its own; they take turns, so that a machine that slows
//! down slows both.

mod job;
mod networks;
mod process;
mod vision;
mod worker;

use std::path::Path;

pub use job::Set;
use job::{Named, jobs};
use process::Worker;
use serde::Serialize;
pub use worker::serve;

use crate::base::{BaseError, read_config};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The base model cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// Weights cannot be read.
    #[error(transparent)]
    Weights(#[from] mudi_engine_candle::weights::WeightsError),
    /// A picture could not be sampled.
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
    /// A pretraining step failed.
    #[error(transparent)]
    Pretrain(#[from] crate::pretrain::PretrainError),
    /// Random weights could not be written.
    #[error(transparent)]
    Write(#[from] crate::files::WriteError),
    /// A network that sees failed.
    #[error(transparent)]
    Seeing(#[from] vision::SeeingError),
    /// A worker's pipe broke.
    #[error("the benchmark's worker cannot be talked to: {0}")]
    Pipe(#[from] std::io::Error),
    /// A job is not what a worker understands.
    #[error("not a job: {0}")]
    Job(#[from] serde_json::Error),
    /// A worker could not do a job.
    #[error("{name}: {reason}")]
    Worker {
        /// `mudi`, or the Python interpreter.
        name: String,
        /// What it said.
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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// The lines.
    pub rows: Vec<Row>,
}

/// What to measure.
pub struct Options<'a> {
    /// The base model.
    pub base: &'a Path,
    /// Sets of jobs.
    pub sets: &'a [Set],
    /// Runs that count, of each job.
    pub runs: usize,
    /// Interpreter of the reference.
    pub python: Option<&'a str>,
    /// Folder for random weights; they are kept there.
    pub scratch: &'a Path,
    /// Folders of the detector, the segmenter and the embedder.
    pub vision: [&'a Path; 3],
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures; `progress` is told the name of each job before it begins.
///
/// # Errors
/// [`BenchError`].
pub fn run(options: &Options<'_>, mut progress: impl FnMut(&str)) -> Result<Table, BenchError> {
    let mut table = Table::default();
    for &set in options.sets {
        let sizes = if set == Set::Base { base_sizes(options.base)? } else { (0, 0) };
        let random = |network| networks::random(network, options.scratch);
        let all = jobs(set, options.base, options.vision, sizes, random)?;
        // The reference has no toys to look at.
        let python = options.python.filter(|_| set != Set::Vision);
        let mut workers: Option<(Worker, Option<Worker>)> = None;
        for named in all {
            progress(&named.name);
            // A job whose memory counts gets fresh processes.
            let (mut ours, mut reference) = match workers.take().filter(|_| !named.memory) {
                Some(workers) => workers,
                None => (Worker::ours()?, python.map(Worker::reference).transpose()?),
            };
            measure(&named, options.runs, &mut ours, reference.as_mut(), &mut table)?;
            workers = Some((ours, reference));
        }
    }
    Ok(table)
}

/// Side of the latents and tokens of a text.
fn base_sizes(base: &Path) -> Result<(usize, usize), BenchError> {
    let unet: mudi_diffusion::unet::UNetConfig = read_config(&base.join("unet"))?;
    let text: mudi_diffusion::clip::ClipTextConfig = read_config(&base.join("text_encoder"))?;
    Ok((unet.sample_size.unwrap_or(64), text.max_position_embeddings))
}

fn measure(
    named: &Named,
    runs: usize,
    ours: &mut Worker,
    mut reference: Option<&mut Worker>,
    table: &mut Table,
) -> Result<(), BenchError> {
    ours.prepare(&named.job)?;
    if let Some(reference) = reference.as_deref_mut() {
        reference.prepare(&named.job)?;
    }
    let (mut our_times, mut reference_times) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        our_times.push(ours.run()?);
        if let Some(reference) = reference.as_deref_mut() {
            reference_times.push(reference.run()?);
        }
    }
    let mut row = |name: String, ours: f64, reference: Option<f64>, unit| {
        let ratio = reference.map(|reference| reference / ours);
        table.rows.push(Row { name, ours, reference, unit, ratio });
    };
    let reference_time = reference.as_ref().map(|_| 1e3 * median(reference_times));
    row(named.name.clone(), 1e3 * median(our_times), reference_time, "ms");
    if named.memory {
        const MIB: f64 = 1024.0 * 1024.0;
        let reference_peak = reference.map(Worker::peak).transpose()?.map(|bytes| bytes / MIB);
        row(format!("{}, peak memory", named.name), ours.peak()? / MIB, reference_peak, "MiB");
    }
    Ok(())
}
