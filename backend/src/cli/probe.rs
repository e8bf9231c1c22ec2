//! `mudi probe`.

use std::path::PathBuf;

use mudi::pretrain::miniature::Miniature;
use mudi::probe::{self, Options, Row};

use super::{Failure, print, vision_folder};

/// Measure how good networks are on toys that training never shows, whose truth is known.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Vision(Vision),
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
    }
}

fn vision(arguments: &Vision) -> Result<(), Failure> {
    let options =
        Options { pictures: arguments.pictures, toys: arguments.toys as usize, seed: arguments.seed };
    let asked = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut rows = Vec::new();
    if asked(Part::Detector) {
        rows.extend(probe::detection(&vision_folder(&arguments.detector), &options)?);
    }
    if asked(Part::Segmenter) {
        rows.extend(probe::masks(&vision_folder(&arguments.segmenter), &options)?);
    }
    if asked(Part::Embedder) {
        rows.extend(probe::identity(&vision_folder(&arguments.embedder), &options)?);
    }
    let object = serde_json::json!({ "seed": options.seed, "rows": rows });
    print(arguments.json, &object, &table(&rows))
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
