//! `mudi demo`.

use std::path::PathBuf;
use std::time::Instant;

use mudi::demo::{self, Options, Progress};
use mudi::files::{check_folder, whole};
use mudi::pretrain::miniature::Miniature;
use mudi::report::JSON_NAME;
use mudi::segment::Networks;

use super::{Failure, bar, model_path, print, tell};

/// Show identity mixing and its cure: two similar toys, taught by DreamBooth, Cut-Mix and MuDI, and a page to look at.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, or `pocket`.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Folder to write; an earlier demonstration there is replaced.
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// Seed of toys, training and pictures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Training steps of each method.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Pictures for each prompt.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=64))]
    count: u64,
    /// Folder with OWLv2, which finds the toys: in the photos, for masks that are held against the true ones, and in the pictures.
    #[arg(long, value_name = "DIR", default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with SAM, which makes those masks.
    #[arg(long, value_name = "DIR", default_value = Miniature::Sam.folder())]
    segmenter: PathBuf,
    /// Folder with DINOv2 or DreamSim, which compares pictures with the photos.
    #[arg(long, value_name = "DIR", default_value = Miniature::Dinov2.folder())]
    embedder: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bars.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_folder(&arguments.out)?;
    let options = Options {
        base: model_path(&arguments.base)?,
        masks: Networks {
            detector: model_path(&arguments.detector)?,
            segmenter: model_path(&arguments.segmenter)?,
        },
        embedder: model_path(&arguments.embedder)?,
        out: arguments.out.clone(),
        seed: arguments.seed,
        steps: arguments.steps,
        count: arguments.count,
    };
    let begin = Instant::now();
    let bar = bar(arguments.quiet, 1);
    let page = demo::run(&options, |progress| match progress {
        Progress::Stage(name, steps) => {
            bar.reset();
            bar.set_length(steps);
            bar.set_message(name);
        }
        Progress::Step => bar.inc(1),
        Progress::Note(text) => tell(&bar, text),
    })?;
    bar.finish_and_clear();
    let page = whole(&page);
    let object = serde_json::json!({
        "page": page.display().to_string(), "report": page.with_file_name(JSON_NAME).display().to_string(),
        "seconds": begin.elapsed().as_secs_f64(), "peak_memory_bytes": mudi::plan::peak_memory(),
    });
    print(arguments.json, &object, &format!("Open {} in a browser.", page.display()))
}
