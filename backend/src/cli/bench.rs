//! `mudi bench`.

use std::path::PathBuf;

use mudi::bench;

use super::{Failure, print};

/// Time training and sampling; with --python, beside PyTorch, diffusers and peft on the same weights.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, or `pocket`.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Python interpreter that has torch, diffusers and peft.
    #[arg(long)]
    python: Option<String>,
    /// Runs that count, of each line; the median is shown.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let base = super::base_folder(&arguments.base);
    let table = bench::run(&base, usize::from(arguments.runs), arguments.python.as_deref())?;
    let mut text = "| work | ours | reference | ratio |\n|---|---|---|---|".to_owned();
    for row in &table.rows {
        let figure =
            |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |v| format!("{v:.1}{unit}"));
        let unit = format!(" {}", row.unit);
        text += &format!(
            "\n| {} | {} | {} | {} |",
            row.name,
            figure(Some(row.ours), &unit),
            figure(row.reference, &unit),
            row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        );
    }
    print(arguments.json, &serde_json::to_value(&table)?, &text)
}
