//! The paper's main table and its ablations in miniature: pairs of similar held-out toys, taught by each method, pictures of both
//! from the same prompts and seeds, each judged by Detect-and-Compare.
//!
//! A benchmark is a list of cells (a group of toys, a way to teach them, a way to start), each with a file of its own in the
//! output folder, and a folder of its pictures. What is there is not made again, so the same command resumes.

mod cells;
mod chart;
mod page;
mod pictures;
mod results;
mod run;
mod settings;
mod ways;

use std::path::PathBuf;

pub use results::{Cell, Example, Picture, Results, Row};
pub use run::run;
pub use ways::Part;

use crate::base::BaseError;
use crate::dataset::DatasetError;
use crate::evaluate::EvaluateError;
use crate::files::WriteError;
use crate::generate::GenerateError;
use crate::probe::ProbeError;
use crate::train::TrainError;

/// The page's file name.
pub const HTML_NAME: &str = "benchmark.html";
/// The numbers' file name.
pub const JSON_NAME: &str = "benchmark.json";

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the base model.
    pub base: PathBuf,
    /// Folder of the detector.
    pub detector: PathBuf,
    /// Folder of the embedder.
    pub embedder: PathBuf,
    /// Folder of the probe classifier, which reads where pictures are set.
    pub reader: PathBuf,
    /// Folder for runs, cells, the page and the numbers.
    pub out: PathBuf,
    /// Parts of the benchmark.
    pub parts: Vec<Part>,
    /// Of [`Part::Subjects`] only groups of so many toys, 2 to [`MAX_TOYS`](mudi_toybox::MAX_TOYS); empty for all.
    pub toys: Vec<usize>,
    /// Groups of similar toys.
    pub pairs: u64,
    /// The first of them, from 0: so several machines can share the work. Their folders, copied into one, hold the results of all groups.
    pub first: u64,
    /// The seed by which the groups are drawn.
    pub pair_seed: u64,
    /// Prompts, at most as many as there are places for the toys to be in.
    pub prompts: usize,
    /// Pictures of each prompt.
    pub seeds: u64,
    /// Training steps of each method.
    pub steps: u32,
    /// How many groups are worked on at a time, at least 1; each takes the memory of a training of its own.
    pub workers: usize,
}

/// The most prompts.
pub const MOST_PROMPTS: usize = ways::PLACES.len();

/// Why the benchmark stopped. What was done stays, and the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// The toys could not be written.
    #[error(transparent)]
    Toys(#[from] mudi_toybox::DataSetError),
    /// The toys could not be read back.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The base model cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Sampling failed.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Pictures could not be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Where pictures are set could not be read.
    #[error(transparent)]
    Reader(#[from] ProbeError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file of an earlier run cannot be read.
    #[error("{}: this is no cell of this benchmark ({reason}); remove it, and it is made again", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds a benchmark with other settings.
    #[error("{}: this folder holds a benchmark with other settings ({difference}); name another --out", path.display())]
    Other {
        /// The file with the settings.
        path: PathBuf,
        /// The first that differs: what it was, and what it is now.
        difference: String,
    },
    /// A network's weights cannot be read.
    #[error(transparent)]
    Weights(#[from] crate::models::ModelsError),
    /// The threads of a worker cannot be started.
    #[error("the benchmark's threads cannot be started ({0}); ask for fewer with --jobs")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A worker ended without a word.
    #[error(
        "a part of the benchmark ended unexpectedly; run the same command again, it goes on where it was"
    )]
    Worker,
    /// Numbers cannot be put into JSON.
    #[error("the benchmark's numbers cannot be put into JSON ({0})")]
    Json(#[from] serde_json::Error),
}

impl BenchmarkError {
    /// Whether it stopped only because it was asked to.
    fn is_interruption(&self) -> bool {
        matches!(self, Self::Train(TrainError::Interrupted) | Self::Generate(GenerateError::Interrupted))
    }
}
