//! `mudi train`. Every parameter of the recipe's table is a flag.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, FromArgMatches};
use mudi::device::Device;
use mudi::files::check_folder;
use mudi::plan::peak_memory;
use mudi::pretrain::miniature::Miniature;
use mudi::segment::Networks;
use mudi::train::{self, Options, Progress, RunInfo, TrainError};
use mudi_domain::recipe::{PARAMETERS, Recipe};

use super::{Failure, bar, model_path, print, stop, tell};

/// Train a LoRA on photos of your subjects (folder with `metadata.jsonl`); then `mudi generate --run` uses it.
#[derive(Debug)]
pub(super) struct Arguments {
    files: Files,
    recipe: Overrides,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Folder of photos with `metadata.jsonl`.
    #[arg(long)]
    photos: PathBuf,
    /// Base model: a folder in diffusers' layout, a checkpoint file, or the name of one in `models`, as `pocket`.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Autoencoder in place of the base's own: a folder with `config.json`, or a .safetensors file.
    #[arg(long, value_name = "PATH")]
    vae: Option<PathBuf>,
    /// Folder of the run; must be new or empty, unless --resume is given.
    #[arg(long)]
    out: PathBuf,
    /// Folder with OWLv2, which finds the subject of a photo without a mask by its class. The one that ships knows the
    /// toybox's toys only.
    #[arg(long, value_name = "DIR", default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with SAM, which then cuts it out.
    #[arg(long, value_name = "DIR", default_value = Miniature::Sam.folder())]
    segmenter: PathBuf,
    /// Recipe file (JSON). A parameter's value is that of its flag, else of this file, else of its environment variable, else its
    /// default.
    #[arg(long, id = "recipe-file", value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Go on with the run in --out, which Ctrl-C or something worse has stopped.
    #[arg(long)]
    resume: bool,
    /// Stop after this step as if interrupted; --resume goes on.
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after: Option<u64>,
    /// Where to train: cpu, cuda, metal, or one with its number, as cuda:1.
    #[arg(long, default_value_t)]
    device: Device,
    /// Memory that may be used, in GiB; what does not fit is refused before it begins [default: what is free].
    #[arg(long, value_name = "GIB", value_parser = super::gibibytes, allow_negative_numbers = true)]
    memory: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Parameters that were given on the command line or in the environment, and as what.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    flags: BTreeMap<&'static str, String>,
    environment: BTreeMap<&'static str, String>,
}

impl Overrides {
    /// Whether the parameter was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.flags.contains_key(name) || self.environment.contains_key(name)
    }
}

impl Args for Overrides {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(PARAMETERS.iter().map(|parameter| {
            Arg::new(parameter.name)
                .long(parameter.name)
                .help(format!(
                    "{} [default: {:?}, or {}]",
                    parameter.help,
                    parameter.default,
                    parameter.env()
                ))
                .help_heading(parameter.group)
                .value_name("VALUE")
                .allow_hyphen_values(true)
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self::default();
        for parameter in PARAMETERS {
            if matches.value_source(parameter.name) == Some(ValueSource::CommandLine) {
                if let Some(value) = matches.get_one::<String>(parameter.name) {
                    given.flags.insert(parameter.name, value.clone());
                }
            } else if let Ok(value) = std::env::var(parameter.env()) {
                given.environment.insert(parameter.name, value);
            }
        }
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Arguments {
    fn augment_args(command: clap::Command) -> clap::Command {
        Overrides::augment_args(Files::augment_args(command))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { files: Files::from_arg_matches(matches)?, recipe: Overrides::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Defaults, then the environment, then the file, then flags.
pub(super) fn recipe(file: Option<&PathBuf>, overrides: &Overrides) -> Result<Recipe, Failure> {
    let mut recipe = Recipe::default();
    for (name, value) in &overrides.environment {
        let variable = Recipe::parameter(name)?.env();
        recipe.set(name, value).map_err(|error| format!("{variable}: {error}"))?;
    }
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("{}: the recipe cannot be read ({error}); name a JSON file with --recipe", path.display())
        })?;
        // A run's folder holds both, and the other one is not read as a recipe.
        let beside = path.with_file_name("recipe.json");
        let is_start = path.file_name().is_some_and(|name| name == "run.json") && beside.is_file();
        recipe = recipe.with_json(&text).map_err(|error| match is_start {
            true => {
                format!("{}: this notes how a run began; its recipe is {}", path.display(), beside.display())
            }
            false => format!("{}: {error}", path.display()),
        })?;
    }
    for (name, value) in &overrides.flags {
        recipe.set(name, value)?;
    }
    recipe.validate()?;
    Ok(recipe)
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let files = &arguments.files;
    let recipe = recipe(files.recipe.as_ref(), &arguments.recipe)?;
    if files.resume && matches!(RunInfo::load(&files.out), Err(TrainError::NoRun { .. })) {
        return Err(format!("{}: holds no run; leave out --resume to begin one", files.out.display()).into());
    }
    check_folder(&files.out)?;
    let options = Options {
        photos: files.photos.clone(),
        base: model_path(&files.base)?,
        vae: files.vae.clone(),
        out: files.out.clone(),
        recipe,
        further: None,
        resume: files.resume,
        stop_after: files.stop_after,
        masks: Some(Networks {
            detector: model_path(&files.detector)?,
            segmenter: model_path(&files.segmenter)?,
        }),
        memory: files.memory,
        device: files.device,
        interrupt: stop::on_request("the same command with --resume goes on"),
    };
    let bar = bar(files.quiet, u64::from(options.recipe.steps));
    let outcome = train::run(&options, |progress| match progress {
        Progress::Note(note) => tell(&bar, note),
        Progress::Shown(..) => {}
        Progress::Prior(class, made, wanted) => {
            bar.set_message(format!("prior images of {class}: {made}/{wanted}"));
        }
        Progress::Step(metric, steps) => {
            if metric.step == 1 || bar.position() == 0 {
                bar.set_length(steps);
                bar.set_position(metric.step.saturating_sub(1));
                bar.reset_eta();
            }
            bar.set_position(metric.step);
            bar.set_message(format!("loss {:.4}", metric.loss));
        }
    })?;
    bar.finish();
    let recent: Vec<f64> = outcome.metrics.iter().rev().take(50).map(|metric| metric.loss).collect();
    let mean = recent.iter().sum::<f64>() / recent.len().max(1) as f64;
    let steps = outcome.metrics.last().map_or(0, |metric| metric.step);
    let folder = outcome.folder.display().to_string();
    let object = serde_json::json!({
        "run": folder, "steps": steps, "loss": mean,
        "seconds": outcome.training.as_secs_f64(), "prior_seconds": outcome.priors.as_secs_f64(),
        "peak_memory_bytes": peak_memory(),
    });
    let text = format!(
        "{steps} steps in {:.0} s, mean loss of the last {}: {mean:.4}. The run is in {folder}.",
        outcome.training.as_secs_f64(),
        recent.len()
    );
    print(files.json, &object, &text)
}
