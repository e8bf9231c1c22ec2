//! `mudi bench`.

use std::io::Write;
use std::path::{Path, PathBuf};

use mudi::bench::{self, Set};
use mudi::pretrain::miniature::Miniature;

use super::{Failure, model_path, print};

/// Time training and sampling; with --python, beside PyTorch, diffusers and peft on the same weights.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, or `pocket`.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// What to measure; several may be given.
    #[arg(long = "set", value_enum, value_delimiter = ',', default_value = "base")]
    sets: Vec<Set>,
    /// Python interpreter that has torch, diffusers, transformers and peft.
    #[arg(long)]
    python: Option<String>,
    /// Runs that count, of each line; the median is shown.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Folder for the random weights of the sets `medium` and `sdxl`; they are kept there for the next time.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Do jobs that come on standard input (this is how a benchmark starts itself).
    #[arg(long, hide = true)]
    worker: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.worker {
        return Ok(bench::serve(std::io::stdin().lock(), std::io::stdout().lock())?);
    }
    let base = model_path(&arguments.base)?;
    let scratch = arguments.scratch.clone().unwrap_or_else(|| std::env::temp_dir().join("mudi-bench"));
    let [detector, segmenter, embedder] = [Miniature::Owlv2, Miniature::Sam, Miniature::Dinov2]
        .map(|network| model_path(Path::new(network.folder())));
    let options = bench::Options {
        base: &base,
        sets: &arguments.sets,
        runs: usize::from(arguments.runs),
        python: arguments.python.as_deref(),
        scratch: &scratch,
        vision: [&detector?, &segmenter?, &embedder?],
    };
    // A closed standard error is no reason not to measure.
    let table = bench::run(&options, |name| drop(writeln!(std::io::stderr(), "{name}")))?;
    let mut text = "| work | ours | reference | ratio |\n|---|---|---|---|".to_owned();
    for row in &table.rows {
        let figure =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} {}", row.unit));
        text += &format!(
            "\n| {} | {} | {} | {} |",
            row.name,
            figure(Some(row.ours)),
            figure(row.reference),
            row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        );
    }
    print(arguments.json, &serde_json::to_value(&table)?, &text)
}
