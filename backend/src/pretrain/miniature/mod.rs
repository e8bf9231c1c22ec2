//! Miniatures of the networks that see, trained on the toybox: OWLv2 (where is what a text names), SAM (the mask of what is
//! pointed at) and DINOv2 (who is it). They are the same code as the published networks, with smaller numbers. A fourth network,
//! the probe classifier, reads what pictures show.
//!
//! A run is a pure function of (options, seed) and resumes from its last checkpoint as if it had never stopped.

pub mod architecture;
mod augment;
mod beginning;
mod boxes;
mod card;
mod contrast;
mod cross_entropy;
mod detector;
mod embedder;
mod example;
mod export;
mod focal;
mod initial;
mod masks;
mod matching;
mod reader;
pub(crate) mod redraw;
mod segmenter;
pub(crate) mod softener;
mod texts;

use std::path::PathBuf;

use mudi_engine_candle::{CandleEngine, Gradients};

use super::stage::Stage;
use super::state::State;
use super::{PretrainError, Progress};
use crate::files::create_folder;

/// A network that has a miniature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miniature {
    /// Finds what a text names.
    Owlv2,
    /// Makes masks of what a box or points point at.
    Sam,
    /// Tells identities apart.
    Dinov2,
    /// Reads what a picture of the toybox shows: the probe classifier, which has no published counterpart.
    Reader,
}

impl Miniature {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Owlv2, Self::Sam, Self::Dinov2, Self::Reader];

    /// Its folder in `models` and in `runs`.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Owlv2 => "owlv2-toybox",
            Self::Sam => "sam-toybox",
            Self::Dinov2 => "dinov2-toybox",
            Self::Reader => "reader-toybox",
        }
    }

    /// Steps that it is trained for where nobody says otherwise.
    #[must_use]
    pub fn steps(self) -> u64 {
        match self {
            Self::Owlv2 => 6000,
            Self::Sam | Self::Dinov2 => 4000,
            Self::Reader => 3000,
        }
    }
}

/// What to train, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which network.
    pub network: Miniature,
    /// Folder of the run: checkpoints and the vocabulary.
    pub run: PathBuf,
    /// Folder that the network is written to, in transformers' layout.
    pub out: PathBuf,
    /// The base model whose pictures the network is to see as well: its autoencoder blurs some of the pictures, its
    /// tokenizer reads the texts.
    pub base: PathBuf,
    /// An earlier network of the miniature's shape to go on from; for OWLv2 also a DINOv2, whose blocks its image tower begins
    /// with.
    pub from: Option<PathBuf>,
    /// Seed of everything.
    pub seed: u64,
    /// Steps.
    pub steps: u64,
    /// Steps between checkpoints, at each of which the network is written as well.
    pub checkpoint_every: u64,
    /// Write the network from the checkpoint that there is, and train nothing.
    pub export_only: bool,
    /// No progress bar.
    pub quiet: bool,
}

/// A network that learns.
trait Student {
    /// What one step is computed from.
    type Batch: Send + 'static;

    /// Peak learning rate.
    const RATE: f64;

    /// The loss of a batch and the gradients of every weight.
    fn gradients(
        &self,
        engine: &CandleEngine,
        batch: &Self::Batch,
    ) -> mudi_diffusion::Result<(f64, Gradients)>;
}

/// Trains a miniature to the end, or resumes, and writes it.
///
/// # Errors
/// [`PretrainError`]; what was done up to the last checkpoint is kept.
pub fn run(options: &Options) -> Result<(), PretrainError> {
    if options.export_only && !checkpoint(options).exists() {
        return Err(PretrainError::NoCheckpoint { path: checkpoint(options) });
    }
    create_folder(&options.run)?;
    match options.network {
        Miniature::Owlv2 => detector::train(options),
        Miniature::Sam => segmenter::train(options),
        Miniature::Dinov2 => embedder::train(options),
        Miniature::Reader => reader::train(options),
    }
}

fn checkpoint(options: &Options) -> PathBuf {
    options.run.join("state.safetensors")
}

/// The loop that all share: `batch(step)` is made ahead on a thread of its own.
fn learn<S: Student>(
    options: &Options,
    student: &S,
    state: &mut State,
    batch: impl Fn(u64) -> Result<S::Batch, PretrainError> + Send + 'static,
) -> Result<(), PretrainError> {
    let engine = CandleEngine::cpu();
    let path = checkpoint(options);
    let stage = Stage {
        name: options.network.folder(),
        steps: if options.export_only { 0 } else { options.steps },
        rate: S::RATE,
        checkpoint_every: options.checkpoint_every,
        path: &path,
    };
    let progress = Progress { quiet: options.quiet };
    let pass = |_, batch: &S::Batch| Ok(student.gradients(&engine, batch)?);
    stage.learn(state, &progress, batch, pass, |state| export::network(options, state))?;
    export::network(options, state)?;
    card::write(options, state)
}
