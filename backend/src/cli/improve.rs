//! `mudi improve`.

use std::path::PathBuf;

use mudi::device::Device;
use mudi::files::check_folder;
use mudi::improve::{self, KEPT, Options, PICTURES, Progress};
use mudi::plan::peak_memory;
use mudi::pretrain::miniature::Miniature;

use super::{Failure, bar, check_range, model_path, print, stop, tell};

/// Let a finished run learn on from its own best pictures (iterative training): it draws pictures of all its subjects, Detect-and-Compare
/// finds the best, and the LoRA learns from these. Stop it at will: the same command goes on.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder of a finished `mudi train` run.
    #[arg(long)]
    run: PathBuf,
    /// Folder for the run that comes of it, its pictures and their evaluation.
    #[arg(long)]
    out: PathBuf,
    /// Where the run's base is now: a folder in diffusers' layout, a checkpoint file, or the name of one in `models`, as `pocket` [default: where it was in training].
    #[arg(long)]
    base: Option<PathBuf>,
    /// Where the run's photos are now [default: where they were in training].
    #[arg(long)]
    photos: Option<PathBuf>,
    /// What to ask for, naming every subject; may be given several times [default: the subjects in four places, each named first in its turn].
    #[arg(long = "prompt", value_name = "TEXT")]
    prompts: Vec<String>,
    /// Pictures to draw.
    #[arg(long, default_value_t = PICTURES, value_parser = clap::value_parser!(u64).range(4..=10_000))]
    pictures: u64,
    /// How many of them to learn from, at most.
    #[arg(long, default_value_t = KEPT as u64, value_parser = clap::value_parser!(u64).range(4..=10_000))]
    keep: u64,
    /// Steps of the further training.
    #[arg(long, default_value_t = improve::STEPS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Its learning rate [default: a fifth of the run's].
    #[arg(long, allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// The weight of staying near to what the run predicts, 0 to 100.
    #[arg(long, default_value_t = improve::KL_WEIGHT, allow_negative_numbers = true)]
    kl_weight: f64,
    /// Strength of the random layouts that pictures start from; 0 is plain sampling [default: what suits so many subjects].
    #[arg(long, allow_negative_numbers = true)]
    gamma: Option<f32>,
    /// Classifier-free guidance scale of the pictures: what is learnt from them is guided again.
    #[arg(long, default_value_t = improve::GUIDANCE, allow_negative_numbers = true)]
    guidance: f32,
    /// Seed of the first picture; the next ones count up.
    #[arg(long, default_value_t = improve::SEED)]
    seed: u64,
    /// Folder with OWLv2, which finds the subjects. The one that ships knows the toybox's toys only.
    #[arg(long, default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with DINOv2 or DreamSim, which compares them. The one that ships knows the toybox's toys only.
    #[arg(long, default_value = Miniature::Dinov2.folder())]
    embedder: PathBuf,
    /// Where to compute: cpu, cuda, metal, or one with its number, as cuda:1.
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

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_range("--gamma", arguments.gamma.unwrap_or(0.0), 0.0)?;
    check_range("--guidance", arguments.guidance, 0.0)?;
    check_folder(&arguments.out)?;
    let options = Options {
        run: arguments.run.clone(),
        base: arguments.base.as_deref().map(model_path).transpose()?,
        photos: arguments.photos.clone(),
        out: arguments.out.clone(),
        detector: model_path(&arguments.detector)?,
        embedder: model_path(&arguments.embedder)?,
        prompts: arguments.prompts.clone(),
        pictures: arguments.pictures,
        keep: arguments.keep as usize,
        gamma: arguments.gamma,
        guidance: arguments.guidance,
        seed: arguments.seed,
        steps: arguments.steps,
        learning_rate: arguments.learning_rate,
        kl_weight: arguments.kl_weight,
        device: arguments.device,
        memory: arguments.memory,
        interrupt: stop::on_request("the same command goes on"),
    };
    let bar = bar(arguments.quiet || arguments.json, options.pictures);
    let outcome = improve::run(&options, |progress| match progress {
        Progress::Note(note) => tell(&bar, note),
        Progress::Drawn(done, all) => {
            bar.set_message("drawing");
            bar.set_length(all);
            bar.set_position(done);
        }
        Progress::Judged(done, all) => {
            bar.set_message("judging");
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
        Progress::Step(metric, steps) => {
            bar.set_message(format!("loss {:.4}", metric.loss));
            bar.set_length(steps);
            bar.set_position(metric.step);
        }
    })?;
    bar.finish_and_clear();
    let ends = outcome.scores.first().copied().zip(outcome.scores.last().copied());
    let (best, last) = ends.unwrap_or_default();
    let folder = outcome.folder.display().to_string();
    let object = serde_json::json!({
        "run": folder, "kept": outcome.scores.len(), "scores": outcome.scores,
        "steps": outcome.metrics.last().map_or(0, |metric| metric.step), "peak_memory_bytes": peak_memory(),
    });
    let text = format!(
        "Learnt on from the best {} of {} pictures (Detect-and-Compare {best:.2} to {last:.2}). The run is in {folder}.",
        outcome.scores.len(),
        options.pictures
    );
    print(arguments.json, &object, &text)
}
