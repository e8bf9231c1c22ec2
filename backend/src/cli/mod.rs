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
mod stop;
mod toybox;
mod train;

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use mudi::pretrain::miniature::Miniature;

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

/// What to do where a device's memory was not enough.
const MORE_MEMORY: &str = "the device's memory was not enough: hold weights in two bytes (--precision half) and pictures in tiles (--vae-tile 512), \
     train with --gradient-checkpointing true --batch 1 --optimizer adamw8bit, and close what else uses the device; \
     `mudi plan` says how much each takes, about";

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
            // Where nobody hears it the exit code says it.
            let _ = writeln!(std::io::stderr(), "mudi: {failure}");
            if mudi::device::is_out_of_memory(&failure.to_string()) {
                let _ = writeln!(std::io::stderr(), "{MORE_MEMORY}");
            }
            ExitCode::from(if stop::was_asked() { stop::STOPPED } else { BAD_INPUT })
        }
    }
}

/// The folder or file of a model. A bare name that is no path is looked for in `models`: of this folder, where `mudi models pull`
/// puts them, and beside the program, where those are that ship.
///
/// # Errors
/// A bare name that is found nowhere. Of paths, and of models that ship, which not every command needs, their readers say what is wrong.
fn model_path(model: &Path) -> Result<PathBuf, Failure> {
    let mut parts = model.components();
    let bare = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    if !bare || model.exists() {
        return Ok(model.to_owned());
    }
    let pulled = Path::new("models").join(model);
    if pulled.exists() {
        return Ok(pulled);
    }
    let beside = std::env::current_exe().ok().and_then(|program| {
        program.ancestors().map(|folder| folder.join(&pulled)).find(|path| path.exists())
    });
    let ships = ["pocket"]
        .into_iter()
        .chain(Miniature::ALL.map(Miniature::folder))
        .any(|name| model == Path::new(name));
    beside.or_else(|| ships.then(|| pulled.clone())).ok_or_else(|| {
        format!(
            "{}: not found, and neither is {}; name a model by its path, or pull a published one (`mudi models list` names them)",
            model.display(),
            pulled.display()
        )
        .into()
    })
}

/// Bytes of so many GiB, as a flag gives them.
fn gibibytes(text: &str) -> Result<usize, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    number
        .map(|number| (number * (1u64 << 30) as f64) as usize)
        .ok_or_else(|| "expected a number from 0".to_owned())
}

/// Refuses a flag's number that is not from `least` to 100.
fn check_range(flag: &str, value: f32, least: f32) -> Result<(), Failure> {
    if (least..=100.0).contains(&value) {
        Ok(())
    } else {
        Err(format!("{flag} {value}: must be a number from {least} to 100").into())
    }
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

/// Tells something beside a progress bar, also where that is not shown: with --quiet, or where no terminal is.
fn tell(bar: &ProgressBar, note: &str) {
    if bar.is_hidden() {
        // A closed standard error is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{note}");
    } else {
        bar.println(note);
    }
}

/// A progress bar with rate and time left.
fn bar(quiet: bool, steps: u64) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(steps) };
    let style = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len} {per_sec} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
