//! `mudi benchmark`.

use std::path::PathBuf;
use std::thread::available_parallelism;

use mudi::benchmark::{self, HTML_NAME, MOST_PROMPTS, Options, Part, Results};
use mudi::files::whole;
use mudi::pretrain::miniature::Miniature;
use mudi_domain::statistics::Estimate;
use mudi_toybox::MAX_TOYS;

use super::{Failure, bar, model_path, print};

/// Measure how often each method keeps similar toys apart: the paper's table and its ablations in miniature. Stop it at will:
/// the same command resumes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, or `pocket`.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Folder with OWLv2.
    #[arg(long, default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with DINOv2 or DreamSim.
    #[arg(long, default_value = Miniature::Dinov2.folder())]
    embedder: PathBuf,
    /// Folder of the probe classifier, which reads where pictures are set.
    #[arg(long, default_value = Miniature::Reader.folder())]
    reader: PathBuf,
    /// Folder for what is made.
    #[arg(long, default_value = "runs/benchmark")]
    out: PathBuf,
    /// Only these parts; may be given several times.
    #[arg(long = "part", value_enum)]
    parts: Vec<PartName>,
    /// In the part `subjects`: only groups of this many toys; may be given several times.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=MAX_TOYS as u64))]
    toys: Vec<u64>,
    /// Groups of similar held-out toys.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pairs: u64,
    /// The first of these groups, so that several machines can share the work: their folders, copied into one, hold the results of all.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    first_pair: u64,
    /// The seed by which the groups are drawn.
    #[arg(long, default_value_t = 0)]
    pair_seed: u64,
    /// Prompts: places that the toys are asked for in.
    #[arg(long, default_value_t = MOST_PROMPTS as u64, value_parser = clap::value_parser!(u64).range(1..=MOST_PROMPTS as u64))]
    prompts: u64,
    /// Pictures of each prompt.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Training steps of each method.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Groups that are worked on at a time; by default as many as the processor has threads. Each takes about 300 MiB on pocket.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PartName {
    /// DreamBooth, Cut-Mix, MuDI.
    Methods,
    /// MuDI without each of its parts.
    Ablations,
    /// Other strengths of the layout.
    Gamma,
    /// Two to five toys at once.
    Subjects,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let part = |name: &PartName| match name {
        PartName::Methods => Part::Methods,
        PartName::Ablations => Part::Ablations,
        PartName::Gamma => Part::Gamma,
        PartName::Subjects => Part::Subjects,
    };
    let named: Vec<Part> = arguments.parts.iter().map(part).collect();
    if !arguments.toys.is_empty() && !named.is_empty() && !named.contains(&Part::Subjects) {
        return Err(
            "--toys counts in the part `subjects` alone; add --part subjects, or leave out --toys".into()
        );
    }
    let options = Options {
        base: model_path(&arguments.base)?,
        detector: model_path(&arguments.detector)?,
        embedder: model_path(&arguments.embedder)?,
        reader: model_path(&arguments.reader)?,
        out: arguments.out.clone(),
        toys: arguments.toys.iter().map(|&toys| toys as usize).collect(),
        parts: if named.is_empty() { Part::ALL.to_vec() } else { named },
        pairs: arguments.pairs,
        first: arguments.first_pair - 1,
        pair_seed: arguments.pair_seed,
        prompts: arguments.prompts as usize,
        seeds: arguments.seeds,
        steps: arguments.steps,
        workers: arguments.jobs.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from),
    };
    let bar = bar(arguments.json || arguments.quiet, 1);
    let results = benchmark::run(&options, |what, done, all| {
        bar.set_length(all);
        bar.set_position(done);
        bar.set_message(what.to_owned());
    })?;
    bar.finish_and_clear();
    let page = whole(&options.out.join(HTML_NAME));
    let text = format!("{}\nOpen {} in a browser.", table(&results), page.display());
    print(arguments.json, &results.json(&options), &text)
}

fn table(results: &Results) -> String {
    let mut lines =
        vec![format!("{:58} {:>6} {:>11} {:>6} {:>6} {:>6}", "", "right", "95 %", "placed", "both", "score")];
    for row in &results.rows {
        let Some(success) = row.success else { continue };
        let (low, high) = success.interval.unwrap_or((success.value, success.value));
        let score = row.score.map_or(f64::NAN, |score| score.value);
        let percent = |share: Option<Estimate>| share.map_or(f64::NAN, |share| 100.0 * share.value);
        lines.push(format!(
            "{:58} {:>4.0} % {:>4.0} - {:>2.0} % {:>4.0} % {:>4.0} % {score:>6.2}",
            row.title,
            100.0 * success.value,
            100.0 * low,
            100.0 * high,
            percent(row.placed),
            percent(row.whole)
        ));
    }
    lines.join("\n")
}
