//! `mudi probe`.

use std::path::PathBuf;
use std::sync::Arc;

use mudi::base::Base as Model;
use mudi::evaluate::Eyes;
use mudi::files::check_folder;
use mudi::pretrain::miniature::Miniature;
use mudi::probe::{
    self, BaseOptions, BaseProbe, MOST_DRAWN, MetricOptions, MetricProbe, Options, Row, Setting, Settled,
    Telling, Truth,
};
use mudi_engine_candle::weights::Precision;

use super::{Failure, bar, check_range, model_path, print};

/// Measure how good networks are on toys that training never shows, whose truth is known.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Vision(Vision),
    Metric(Metric),
    Place(Place),
    Base(Base),
}

/// A base model of the toybox: whether it draws the toys, colours and backgrounds that held-out prompts ask for, as a
/// classifier that was trained on renders reads its pictures.
#[derive(clap::Args)]
struct Base {
    /// Folder of the base model.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Folder of the probe classifier.
    #[arg(long, default_value = Miniature::Reader.folder())]
    reader: PathBuf,
    /// Prompts, one picture each.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    prompts: u64,
    /// Seed of prompts and pictures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Side of the pictures in pixels; by default the base's own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(32..=2048))]
    size: Option<u32>,
    /// Steps of the sampler.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=1000))]
    steps: u64,
    /// Classifier-free guidance scale.
    #[arg(long, default_value_t = 5.0, allow_negative_numbers = true)]
    guidance: f32,
    /// Folder for the pictures.
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Rendered scenes, and what is said of them.
#[derive(clap::Args)]
struct Scenes {
    /// Base model whose autoencoder softens the scenes.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Pairs of similar held-out toys.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pairs: u64,
    /// Seed of the pairs.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Detect-and-Compare on rendered scenes that are right, mixed by degrees, duplicated, swapped, or lack a toy: how well it tells
/// the right ones from the others. There are as many groups of three, four and five toys as pairs, and each pair and group is shown in ten scenes.
/// On request the base draws the scenes anew: their truth stays known, and they look like its pictures.
#[derive(clap::Args)]
struct Metric {
    /// Folder with OWLv2.
    #[arg(long, default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with DINOv2 or DreamSim.
    #[arg(long, default_value = Miniature::Dinov2.folder())]
    embedder: PathBuf,
    /// Of 20 steps of the sampler the last ones, which the base draws anew from the scene with noise; 0 leaves the scene as it is.
    #[arg(long, value_name = "STEPS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=MOST_DRAWN as u64))]
    drawn: u64,
    #[command(flatten)]
    scenes: Scenes,
}

/// Whether a picture is set, all of it, in the place that was asked for: how well that is read of rendered scenes that are one place,
/// two places joined in the middle, or another place. Each pair is shown in six scenes.
#[derive(clap::Args)]
struct Place {
    /// Folder of the probe classifier.
    #[arg(long, default_value = Miniature::Reader.folder())]
    reader: PathBuf,
    #[command(flatten)]
    scenes: Scenes,
}

/// The networks that see: boxes, masks, identities.
#[derive(clap::Args)]
struct Vision {
    /// Folder with OWLv2.
    #[arg(long, default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with SAM.
    #[arg(long, default_value = Miniature::Sam.folder())]
    segmenter: PathBuf,
    /// Folder with DINOv2 or DreamSim.
    #[arg(long, default_value = Miniature::Dinov2.folder())]
    embedder: PathBuf,
    /// Probe only these; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Pictures for boxes and masks.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pictures: u64,
    /// Toys of each kind whose photos are searched.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(2..=100))]
    toys: u64,
    /// Seed of the pictures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Detector,
    Segmenter,
    Embedder,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Vision(arguments) => vision(arguments),
        What::Metric(arguments) => metric(arguments),
        What::Place(arguments) => place(arguments),
        What::Base(arguments) => base(arguments),
    }
}

fn base(arguments: &Base) -> Result<(), Failure> {
    check_range("--guidance", arguments.guidance, 0.0)?;
    arguments.pictures.as_deref().map_or(Ok(()), check_folder)?;
    let model = Model::load(&model_path(&arguments.base)?, Precision::Single)?;
    let options = BaseOptions {
        prompts: arguments.prompts,
        seed: arguments.seed,
        side: arguments.size.map_or(model.resolution(), |side| side as usize),
        steps: arguments.steps as usize,
        guidance: arguments.guidance,
        pictures: arguments.pictures.clone(),
    };
    let bar = bar(arguments.json || arguments.quiet, arguments.prompts).with_message("pictures");
    let BaseProbe { pictures, renders } =
        probe::base(&model, &model_path(&arguments.reader)?, &options, || bar.inc(1))?;
    bar.finish_and_clear();
    let text = format!("Drawn\n{}\n\nRendered\n{}", table(&pictures), table(&renders));
    let object = serde_json::json!({
        "seed": options.seed, "size": options.side, "pictures": pictures, "renders": renders,
    });
    print(arguments.json, &object, &text)
}

fn vision(arguments: &Vision) -> Result<(), Failure> {
    let options =
        Options { pictures: arguments.pictures, toys: arguments.toys as usize, seed: arguments.seed };
    let asked = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut rows = Vec::new();
    if asked(Part::Detector) {
        rows.extend(probe::detection(&model_path(&arguments.detector)?, &options)?);
    }
    if asked(Part::Segmenter) {
        rows.extend(probe::masks(&model_path(&arguments.segmenter)?, &options)?);
    }
    if asked(Part::Embedder) {
        rows.extend(probe::identity(&model_path(&arguments.embedder)?, &options)?);
    }
    let object = serde_json::json!({ "seed": options.seed, "rows": rows });
    print(arguments.json, &object, &table(&rows))
}

fn metric(Metric { detector, embedder, drawn, scenes }: &Metric) -> Result<(), Failure> {
    let eyes = Arc::new(Eyes::load(&model_path(detector)?, &[&model_path(embedder)?])?);
    // Of two, three, four and five toys.
    let bar = bar(scenes.json || scenes.quiet, 4 * scenes.pairs).with_message("groups");
    let options = MetricOptions { pairs: scenes.pairs, seed: scenes.seed, drawn: *drawn as usize };
    let found = probe::metric(&eyes, &model_path(&scenes.base)?, &options, || bar.inc(1))?;
    bar.finish_and_clear();
    print(scenes.json, &serde_json::to_value(&found)?, &metric_table(&found))
}

fn place(Place { reader, scenes }: &Place) -> Result<(), Failure> {
    let bar = bar(scenes.json || scenes.quiet, scenes.pairs).with_message("pairs");
    let (reader, base) = (model_path(reader)?, model_path(&scenes.base)?);
    let rows = probe::place(&reader, &base, scenes.pairs, scenes.seed, || bar.inc(1))?;
    bar.finish_and_clear();
    let object = serde_json::json!({ "seed": scenes.seed, "settings": rows });
    print(scenes.json, &object, &place_table(&rows))
}

fn place_table(rows: &[Settled]) -> String {
    let share = |share: Option<f64>| share.map_or(String::new(), |share| format!("{share:.3}"));
    let mut lines = vec![format!("{:40} {:>8} {:>7} {:>7}", "", "sureness", "placed", "AUROC")];
    for row in rows {
        let name = match row.setting {
            Setting::Whole => "the place asked for",
            Setting::Joined => "that place joined to another one",
            Setting::JoinedElsewhere => "two other places joined",
            Setting::Elsewhere => "another place",
        };
        let (sureness, placed) = (row.sureness.map(|mean| mean.value), row.placed.map(|rate| rate.value));
        lines.push(format!("{name:40} {:>8} {:>7} {:>7}", share(sureness), share(placed), share(row.auroc)));
    }
    lines.join("\n")
}

fn metric_table(found: &MetricProbe) -> String {
    let share = |share: Option<f64>| share.map_or(String::new(), |share| format!("{share:.3}"));
    let mut lines = vec![format!("{:24} {:>7} {:>7} {:>13}", "", "score", "AUROC", "plain AUROC")];
    let mut line = |name: String, score: Option<f64>, ours: Option<f64>, plain: Option<f64>| {
        lines.push(format!("{name:24} {:>7} {:>7} {:>13}", share(score), share(ours), share(plain)));
    };
    for sort in &found.sorts {
        let name = match sort.truth {
            Truth::Right => "right".to_owned(),
            Truth::Mixed(count) => format!("mixed, {count} of 4 traits"),
            Truth::Duplicated => "the same twice".to_owned(),
            Truth::Swapped => "traits swapped".to_owned(),
            Truth::Missing => "one missing".to_owned(),
        };
        line(name, sort.score.map(|score| score.value), sort.auroc, sort.plain_auroc);
    }
    let all = &found.telling;
    line("all that is not right".to_owned(), None, Some(all.auroc), Some(all.plain_auroc));
    let mut tell = |toys: usize, telling: &Telling| {
        let percent = |(threshold, right, wrong): (f64, f64, f64)| {
            format!("{threshold:.3} ({:.1} % and {:.1} %)", 100.0 * right, 100.0 * wrong)
        };
        lines.push(format!(
            "{toys} toys: AUROC {:.3} (plain {:.3}). The threshold that decides is {}, the best here {}.",
            telling.auroc,
            telling.plain_auroc,
            percent(telling.decided),
            percent(telling.threshold)
        ));
    };
    tell(2, all);
    for group in &found.groups {
        tell(group.toys, &group.telling);
    }
    lines.push("In brackets: right scenes at or above it, and others below it.".to_owned());
    for group in &found.groups {
        let from = group.as_strict.map_or("no score".to_owned(), |score| format!("{score:.3}"));
        lines.push(format!("{} toys: as strict as with two from {from} on.", group.toys));
    }
    let counted = std::iter::once(all).chain(found.groups.iter().map(|group| &group.telling));
    let counted = counted.map(|telling| {
        telling.counted.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share.value))
    });
    let counted = counted.collect::<Vec<_>>().join(", ");
    lines.push(format!("Right scenes of 2 to 5 toys in which as many are found: {counted}."));
    lines.join("\n")
}

/// The rows as a table for a terminal.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines =
        vec![format!("{:50} {:>7} {:>16} {:>6} {:>7}", "", "value", "95 % interval", "of", "aim")];
    for row in rows {
        let interval = row.interval.map_or(String::new(), |(low, high)| format!("{low:.3} - {high:.3}"));
        let aim = row.aim.map_or(String::new(), |aim| format!("{aim:.2}"));
        lines.push(format!("{:50} {:>7.3} {interval:>16} {:>6} {aim:>7}", row.name, row.value, row.count));
    }
    lines.join("\n")
}
