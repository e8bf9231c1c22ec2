//! Pretraining of the pocket base model on the toybox: tokenizer, autoencoder, then text encoders and denoiser, and the
//! autoencoder's decoder once more.
//!
//! Every stage is a pure function of (options, seed) and resumes from its last checkpoint as if it had never stopped.

pub mod architecture;
mod card;
pub(crate) mod data;
mod decoder;
mod diffusion;
pub(crate) mod earlier;
mod export;
pub(crate) mod learner;
pub mod miniature;
mod pool;
mod stage;
pub(crate) mod state;
mod vae;

use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use mudi_diffusion::tokenizer::{Tokenizer, TokenizerError};
use mudi_diffusion::vae::{VaeConfig, VaeEncoder};
use mudi_domain::rng;
use mudi_domain::subject::IDENTIFIERS;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{FileWeights, WeightsError};

use crate::base::read_config;
use crate::files::{WriteError, create_folder, write_atomically};

/// What to pretrain, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the run: checkpoints and intermediate files.
    pub run: PathBuf,
    /// Folder that the model is written to, in diffusers' layout.
    pub out: PathBuf,
    /// A model whose weights and vocabulary a new run starts from; none for random weights.
    pub from: Option<PathBuf>,
    /// Seed of everything.
    pub seed: u64,
    /// Steps of the autoencoder.
    pub vae_steps: u64,
    /// Steps of text encoders and denoiser.
    pub steps: u64,
    /// Steps of the autoencoder's decoder alone, at the end.
    pub decoder_steps: u64,
    /// Pictures of each size that the denoiser learns from.
    pub pool: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Write the model from the checkpoints that there are, and train nothing.
    pub export_only: bool,
    /// No progress bars.
    pub quiet: bool,
}

/// Why pretraining stopped.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// A network or the engine failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A weights file is not as it should be.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer could not be made or read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The noise schedule was asked for something that it does not have.
    #[error(transparent)]
    Schedule(#[from] mudi_diffusion::schedule::ScheduleError),
    /// The finished model cannot be loaded.
    #[error(transparent)]
    Base(#[from] crate::base::BaseError),
    /// The finished model draws nothing.
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint belongs to another architecture.
    #[error("{}: this checkpoint does not fit the model; use another --run folder", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// The model to go on from is another one.
    #[error("{}: {source}; take a model of the network that is trained, and of its shape", path.display())]
    Earlier {
        /// The model's folder.
        path: PathBuf,
        /// What it lacks.
        #[source]
        source: mudi_diffusion::Error,
    },
    /// A stage's result is needed but is not there.
    #[error("{}: there is no checkpoint; pretrain without --export-only first", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// Tensors could not be written in the safetensors format.
    #[error("safetensors: {0}")]
    Serialize(String),
    /// The loss is not a number.
    #[error("the loss is not a number after {step} steps; resume from the last checkpoint with another seed")]
    Diverged {
        /// Steps made.
        step: u64,
    },
    /// The thread that renders pictures has stopped.
    #[error("the thread that renders pictures has stopped")]
    Renderer,
}

/// Learning rate at `step`: a short warm-up, constant, and a linear decay over the last two fifths.
fn rate(peak: f64, step: u64, steps: u64) -> f64 {
    const WARM_UP: f64 = 50.0;
    const DECAY: f64 = 0.4;
    let (step, steps) = (step as f64, steps as f64);
    let left = ((steps - step) / (DECAY * steps)).min(1.0);
    peak * ((step + 1.0) / WARM_UP).min(1.0) * left.max(0.01)
}

/// Progress bars.
struct Progress {
    quiet: bool,
}

impl Progress {
    fn bar(&self, name: &'static str, steps: u64, done: u64) -> Bar {
        let bar = if self.quiet { ProgressBar::hidden() } else { ProgressBar::new(steps) };
        let style = ProgressStyle::with_template("{msg:32} {wide_bar} {pos}/{len} {per_sec} {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name);
        bar.set_position(done);
        bar.reset_eta();
        Bar { bar, name }
    }
}

struct Bar {
    bar: ProgressBar,
    name: &'static str,
}

impl Bar {
    /// One more step; the mean of the last hundred losses is shown.
    fn step(&self, losses: &[f32]) {
        self.bar.inc(1);
        let recent = &losses[losses.len().saturating_sub(100)..];
        if !recent.is_empty() {
            let mean = recent.iter().sum::<f32>() / recent.len() as f32;
            self.bar.set_message(format!("{}: loss {mean:.4}", self.name));
            // Where there is no terminal, a line now and then.
            if self.bar.is_hidden() && losses.len().is_multiple_of(100) {
                // A closed standard error is no reason to stop.
                let _ = writeln!(std::io::stderr(), "{}: step {}, loss {mean:.4}", self.name, losses.len());
            }
        }
    }

    fn finish(&self) {
        self.bar.finish();
    }
}

/// Runs every stage that is not finished, then writes the model.
///
/// # Errors
/// [`PretrainError`]; what was done up to the last checkpoint is kept.
pub fn run(options: &Options) -> Result<(), PretrainError> {
    let vae_path = options.run.join("vae.safetensors");
    let diffusion_path = options.run.join("diffusion.safetensors");
    if options.export_only {
        for (path, steps) in [(&vae_path, options.vae_steps), (&diffusion_path, options.steps)] {
            if steps > 0 && !path.exists() {
                return Err(PretrainError::NoCheckpoint { path: path.clone() });
            }
        }
    }
    create_folder(&options.run)?;
    let progress = Progress { quiet: options.quiet };
    let (vocab, merges) = vocabulary(options)?;
    let tokenizer = Tokenizer::from_json(&vocab, &merges, Some(export::TOKENIZER_CONFIG))?;

    let finished = |steps| if options.export_only { 0 } else { steps };
    let vae_options = Options { vae_steps: finished(options.vae_steps), ..options.clone() };
    let vae = vae::train(&vae_options, &vae_path, &progress)?;
    export::vae(&vae, None, &options.run, 1.0)?;

    let mut weights =
        FileWeights::open(&CandleEngine::cpu(), &options.run.join("vae").join(export::DIFFUSERS_WEIGHTS))?;
    let config = architecture::vae()?;
    let encoder = weights.build(|parameters| VaeEncoder::new(&config, parameters))?;
    // Where the latents are those of an earlier model, so is their factor.
    let earlier = options.from.as_ref().filter(|_| options.vae_steps == 0);
    let factor = earlier.map(|model| read_config::<VaeConfig>(&model.join("vae"))).transpose()?;
    let factor = factor.map(|config| config.scaling_factor);
    let pool_path = options.run.join("pool.safetensors");
    let pool = match factor {
        Some(factor) if options.steps == 0 => pool::Pool::none(factor),
        factor => pool::Pool::make(options, &encoder, factor, &pool_path, &progress)?,
    };
    let scaling_factor = pool.scaling_factor;
    let diffusion_options = Options { steps: finished(options.steps), ..options.clone() };
    let diffusion = diffusion::train(&diffusion_options, &tokenizer, pool, &diffusion_path, &progress)?;
    let decoder_options = Options { decoder_steps: finished(options.decoder_steps), ..options.clone() };
    let decoder_path = options.run.join("decoder.safetensors");
    let deviation = (1.0 / scaling_factor) as f32;
    let decoder = decoder::train(&decoder_options, &encoder, deviation, &decoder_path, &progress)?;

    let states = export::States { vae: &vae, decoder: &decoder, diffusion: &diffusion };
    export::model(&options.out, states, scaling_factor, &tokenizer, (&vocab, &merges))?;
    card::write(options, states)
}

/// The vocabulary, learnt from captions once. Identifiers are tokens of their own in it, as in CLIP's.
fn vocabulary(options: &Options) -> Result<(String, String), PretrainError> {
    let paths = [options.run.join("vocab.json"), options.run.join("merges.txt")];
    if paths.iter().any(|path| !path.exists()) {
        let merges = if let Some(model) = &options.from {
            read_text(&model.join("tokenizer").join("merges.txt"))?
        } else {
            let captions = (0..20_000).map(|index| {
                data::scene(options.seed, index).caption(&mut rng::stream(options.seed, "vocabulary", index))
            });
            Tokenizer::train(captions, architecture::VOCABULARY)?.1
        };
        let (vocab, merges) = Tokenizer::with_words(&merges, &IDENTIFIERS)?;
        write_atomically(&paths[0], vocab.as_bytes())?;
        write_atomically(&paths[1], merges.as_bytes())?;
    }
    Ok((read_text(&paths[0])?, read_text(&paths[1])?))
}

fn read_text(path: &Path) -> Result<String, PretrainError> {
    std::fs::read_to_string(path).map_err(|source| PretrainError::Read { path: path.to_owned(), source })
}
