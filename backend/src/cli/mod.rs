//! The command line: one module for each command.

mod base;
mod bench;
mod benchmark;
mod demo;
mod evaluate;
mod export;
mod forward;
mod generate;
mod improve;
mod merge;
mod models;
mod plan;
mod pretrain;
mod probe;
mod segment;
mod serve;
mod toybox;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use mudi::pretrain::miniature::Miniature;
use mudi::segment::Networks;

/// Personalize a text-to-image model for several subjects at once, without mixing them up (MuDI, NeurIPS 2024).
#[derive(Parser)]
#[command(name = "mudi", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Bench(bench::Arguments),
    Benchmark(benchmark::Arguments),
    Plan(Box<plan::Arguments>),
    Toybox(toybox::Arguments),
    Pretrain(pretrain::Arguments),
    Probe(probe::Arguments),
    /// Train a LoRA on photos of your subjects (folder with `metadata.jsonl`).
    Train(Box<train::Arguments>),
    Generate(Box<generate::Arguments>),
    Improve(Box<improve::Arguments>),
    Segment(segment::Arguments),
    Evaluate(evaluate::Arguments),
    Export(export::Arguments),
    Merge(merge::Arguments),
    Models(models::Arguments),
    Forward(Box<forward::Arguments>),
    /// Serve projects, jobs and links over HTTP, until told to stop.
    Serve(serve::Arguments),
}

/// What a command fails with; its text is shown to the user.
type Failure = Box<dyn std::error::Error>;

/// Exit code of a failure that the user can mend: a file, a flag, the disk.
const BAD_INPUT: u8 = 2;

pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Benchmark(arguments) => benchmark::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Toybox(arguments) => toybox::run(&arguments),
        Command::Pretrain(arguments) => pretrain::run(arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Improve(arguments) => improve::run(&arguments),
        Command::Segment(arguments) => segment::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Forward(arguments) => forward::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mudi: {failure}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// The folder or file of a base model: `pocket` is the one that ships; anything else is a path.
fn base_folder(base: &Path) -> PathBuf {
    model_folder(base, &["pocket"])
}

/// The folder of a model: a name of `shipped` is one that ships, found in `models` of this folder or beside the program;
/// anything else is a path.
fn model_folder(model: &Path, shipped: &[&str]) -> PathBuf {
    if !shipped.iter().any(|name| model == Path::new(name)) || model.exists() {
        return model.to_owned();
    }
    let shipped = Path::new("models").join(model);
    let beside = std::env::current_exe().ok().and_then(|program| {
        program.ancestors().map(|folder| folder.join(&shipped)).find(|folder| folder.is_dir())
    });
    if shipped.is_dir() { shipped } else { beside.unwrap_or(shipped) }
}

/// The networks that make masks of photos that have none.
#[derive(Debug, clap::Args)]
struct MaskNetworks {
    /// Folder with OWLv2, which finds the subject of a photo without a mask by its class. The one that ships knows the
    /// toybox's toys only.
    #[arg(long, value_name = "DIR", default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with SAM, which then cuts it out.
    #[arg(long, value_name = "DIR", default_value = Miniature::Sam.folder())]
    segmenter: PathBuf,
}

impl MaskNetworks {
    fn folders(&self) -> Networks {
        Networks { detector: vision_folder(&self.detector), segmenter: vision_folder(&self.segmenter) }
    }
}

/// The folder of a network that sees: a miniature's name is the one that ships; anything else is a path.
fn vision_folder(folder: &Path) -> PathBuf {
    model_folder(folder, &Miniature::ALL.map(Miniature::folder))
}

/// Bytes of so many GiB, as a flag gives them.
fn bytes(gigabytes: f64) -> usize {
    (gigabytes.max(0.0) * (1u64 << 30) as f64) as usize
}

/// Prints what a command has made: `object` alone with `--json`, otherwise `text`.
///
/// # Errors
/// Where nobody can take it: a closed pipe, a full disk.
fn print(json: bool, object: &serde_json::Value, text: &str) -> Result<(), Failure> {
    let text = if json { object.to_string() } else { text.to_owned() };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| {
        format!("the work is done, but standard output cannot be written ({error}); send it elsewhere").into()
    })
}

/// A progress bar with rate and time left.
fn bar(quiet: bool, steps: u64) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(steps) };
    let style = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len} {per_sec} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
