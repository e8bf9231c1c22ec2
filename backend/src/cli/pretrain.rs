//! `mudi pretrain`.

use std::path::PathBuf;
use std::time::Instant;

use mudi::plan::peak_memory;
use mudi::pretrain::{self, Options};

use super::{Failure, print};

/// Train the pocket base model on the toybox. Stop it at will: the same command resumes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder for checkpoints.
    #[arg(long, default_value = "runs/pocket")]
    run: PathBuf,
    /// Folder that the model is written to.
    #[arg(long, default_value = "models/pocket")]
    out: PathBuf,
    /// Model to go on from, in a new --run folder: its weights and vocabulary are taken over, the optimizer starts anew.
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Seed of weights, pictures and noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of the autoencoder (batches of 24 crops of 48 x 48 pixels).
    #[arg(long, default_value_t = 6000)]
    vae_steps: u64,
    /// Steps of text encoders and denoiser (batches of 32 pictures).
    #[arg(long, default_value_t = 12_000)]
    steps: u64,
    /// Pictures that the denoiser learns from.
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(1..))]
    pool: u64,
    /// Steps between checkpoints.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// Write the model from the checkpoints that there are, without training.
    #[arg(long)]
    export_only: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bars.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (run, out, json) = (arguments.run.clone(), arguments.out.clone(), arguments.json);
    let begin = Instant::now();
    pretrain::run(&Options {
        run: arguments.run,
        out: arguments.out,
        from: arguments.from,
        seed: arguments.seed,
        vae_steps: arguments.vae_steps,
        steps: arguments.steps,
        pool: arguments.pool,
        checkpoint_every: arguments.checkpoint_every,
        export_only: arguments.export_only,
        quiet: arguments.quiet,
    })?;
    let object = serde_json::json!({
        "out": out, "run": run, "seconds": begin.elapsed().as_secs_f64(), "peak_memory_bytes": peak_memory(),
    });
    print(json, &object, &format!("The model is in {}.", out.display()))
}
