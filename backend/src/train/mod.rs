//! Training a LoRA on photos of several subjects: MuDI's Seg-Mix, DreamBooth and Cut-Mix.
//!
//! A run is a pure function of (base, photos, recipe): every random choice comes from a stream of the recipe's seed and
//! the step, and a checkpoint holds the factors and the optimizer. A run that resumes gives the bytes of one that never
//! stopped.

mod captions;
mod checks;
mod error;
mod further;
mod grids;
mod identifiers;
mod loss;
mod prior;
mod samples;
mod seen;
mod state;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use captions::Captions;
pub use checks::check_targets;
use checks::{check, check_memory, note_on_number};
pub(crate) use checks::{check_subjects, check_text};
pub use error::TrainError;
pub use further::Further;
pub(crate) use further::{KEPT_FILE, KeptPicture, write_latent};
use grids::write_samples;
pub(crate) use grids::{sample_steps, samples_file};
pub(crate) use identifiers::notes_on_identifiers;
use loss::in_parts;
use mudi_diffusion::Component;
use mudi_domain::recipe::{self, Recipe};
use mudi_domain::rng;
use mudi_engine_candle::lora::{Adaptation, Learning};
use mudi_engine_candle::{AdamW, AdamW8, AdamWConfig, Gradients, Optimizer, Prodigy, gradient_norm, lora};
pub(crate) use prior::together as priors_together;
use samples::{Batch, Samples};
pub use seen::TrainingPicture;
pub(crate) use seen::{is_shown, read_shown, shown_file, write_shown};
use state::RunFolder;
pub(crate) use state::{CHECKPOINT_FILE, PRIORS_FILE, START_FILE};
pub use state::{LORA_FILE, Metric, RunInfo, finished_lora, read_metrics};

use crate::base::{Base, precision};
use crate::dataset::{Dataset, Masker};
use crate::device::Device;
use crate::interrupt::Interrupt;
use crate::segment::Networks;

/// What to train.
pub struct Options {
    /// Folder of photos, with `metadata.jsonl`.
    pub photos: PathBuf,
    /// Folder or checkpoint file of the base model.
    pub base: PathBuf,
    /// Folder or file of an autoencoder in place of the base's own.
    pub vae: Option<PathBuf>,
    /// Folder of the run.
    pub out: PathBuf,
    /// The recipe.
    pub recipe: Recipe,
    /// The LoRA that it goes on from, and the pictures that it learns from instead of the photos.
    pub further: Option<Further>,
    /// Go on with a run that is in `out`.
    pub resume: bool,
    /// Stop after this step, with a checkpoint, as if interrupted.
    pub stop_after: Option<u64>,
    /// Where it runs.
    pub device: Device,
    /// Memory that may be used, in bytes; what can be had where none.
    pub memory: Option<usize>,
    /// What makes masks of photos that have none; without it such a photo is an error.
    pub masks: Option<Networks>,
    /// Looked at before each step: the run stops with a checkpoint, and goes on with `resume`.
    pub interrupt: Interrupt,
}

/// What a run tells while it goes.
pub enum Progress<'a> {
    /// What the user should know: a mask that was made, from what; an identifier that is no token.
    Note(&'a str),
    /// Prior images of a class: made so far, wanted.
    Prior(&'a str, u64, u64),
    /// The pictures of a pass of the step to come.
    Shown(u64, &'a [TrainingPicture]),
    /// A step was made, out of so many.
    Step(&'a Metric, u64),
}

/// What a run leaves behind.
pub struct Outcome {
    /// The run's folder.
    pub folder: PathBuf,
    /// Losses and more, step by step.
    pub metrics: Vec<Metric>,
    /// Time in steps, without loading and prior images.
    pub training: Duration,
    /// Time for prior images.
    pub priors: Duration,
}

/// Reads the photos, with masks made for those that have none.
fn load(options: &Options, progress: &mut impl FnMut(Progress<'_>)) -> Result<Dataset, TrainError> {
    let Some(networks) = &options.masks else { return Ok(Dataset::load(&options.photos)?) };
    let mut tell = |note: &str| progress(Progress::Note(note));
    Ok(Dataset::load_masking(&options.photos, &mut Masker::new(networks.clone(), &mut tell))?)
}

/// Trains until the recipe's last step.
///
/// # Errors
/// [`TrainError`]; what was done up to the last checkpoint is kept.
pub fn run(options: &Options, mut progress: impl FnMut(Progress<'_>)) -> Result<Outcome, TrainError> {
    let recipe = &options.recipe;
    let (source, mut info) = check(options)?;
    let mut dataset = load(options, &mut progress)?;
    // Photos take room, too; what networks that made masks have left does not count.
    crate::allocator::give_back();
    check_memory(&source, options)?;
    if options.interrupt.is_set() {
        return Err(TrainError::Interrupted);
    }
    let own = match &options.further {
        Some(further) => further.load(&mut dataset.digests)?,
        None => Vec::new(),
    };
    let names: Vec<&str> = dataset.subjects.iter().map(|data| data.subject.name()).collect();
    notes_on_identifiers(&source, &names)?.iter().for_each(|note| progress(Progress::Note(note)));
    if own.is_empty() {
        note_on_number(recipe, names.len()).iter().for_each(|note| progress(Progress::Note(note)));
    }
    let held = precision(recipe.precision);
    let (captions, text) = Captions::encode(&source, held, &dataset, &own, recipe)?;
    let captions = Arc::new(captions);
    let mut base = Base { text, ..Base::without_text(&source, held)? };
    base.vae.tile = Some(recipe.vae_tile as usize).filter(|&tile| tile > 0);
    info.files = dataset.digests.clone();
    let folder = RunFolder::open(&options.out, &info, options.resume)?;

    let steps = u64::from(recipe.steps);
    let last = options.stop_after.map_or(steps, |stop| stop.min(steps));
    let before = Instant::now();
    let interrupt = &options.interrupt;
    // A run that was finished has let go of them, and needs none.
    let priors = if folder.steps_made() < last {
        prior::make(&base, &captions, &dataset, recipe, &folder, interrupt, |class, made, wanted| {
            progress(Progress::Prior(class, made, wanted));
        })?
    } else {
        Vec::new()
    };
    let prior_time = before.elapsed();
    crate::allocator::give_back();

    let learning = attach(&mut base, recipe)?;
    let weights = &learning.weights;
    let mut optimizer = optimizer(recipe);
    let mut metrics = folder.restore(weights, &mut optimizer)?;
    learning.renew()?;
    let base = Arc::new(base);
    let source = Arc::new(Samples::new(base.clone(), dataset, own, recipe, priors, captions.clone())?);
    let passes = u64::from(recipe.accumulation);
    let batches = ahead(&source, optimizer.step() * passes, steps * passes);
    let before = Instant::now();
    let sampled = |step: u64| recipe.sample_every > 0 && step.is_multiple_of(u64::from(recipe.sample_every));
    if optimizer.step() > 0
        && sampled(optimizer.step())
        && !samples_file(&options.out, optimizer.step()).exists()
    {
        // The run was interrupted while it made them.
        write_samples(&base, &captions, options, optimizer.step())?;
    }
    while optimizer.step() < last {
        if options.interrupt.is_set() {
            if optimizer.step() > 0 {
                folder.save(weights, &optimizer, &metrics)?;
            }
            return Err(TrainError::Interrupted);
        }
        let step = optimizer.step() + 1;
        let metric = make_step(step, &batches, &base, recipe, &learning, &mut optimizer, &mut progress)?;
        metrics.push(metric);
        progress(Progress::Step(&metrics[metrics.len() - 1], steps));
        if sampled(step) {
            let written = write_samples(&base, &captions, options, step);
            if matches!(written, Err(TrainError::Interrupted)) {
                folder.save(weights, &optimizer, &metrics)?;
            }
            written?;
        }
        let due = recipe.checkpoint_every > 0 && step.is_multiple_of(u64::from(recipe.checkpoint_every));
        if due || step == last {
            folder.save(weights, &optimizer, &metrics)?;
        }
    }
    if optimizer.step() >= steps {
        folder.write_lora(weights, &info, &base.unet.config)?;
        folder.finish();
    }
    let folder = options.out.clone();
    Ok(Outcome { folder, metrics, training: before.elapsed(), priors: prior_time })
}

/// Makes step `step`: the gradients of the recipe's passes, each of the next batch, move the weights once.
fn make_step(
    step: u64,
    batches: &Receiver<Result<Batch, TrainError>>,
    base: &Base,
    recipe: &Recipe,
    learning: &Learning,
    optimizer: &mut Optimizer,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<Metric, TrainError> {
    let passes = f64::from(recipe.accumulation);
    let mut gradients = Gradients::default();
    let mut loss = 0.0;
    for _ in 0..recipe.accumulation {
        let batch = batches.recv().map_err(|_| TrainError::Loader)??;
        progress(Progress::Shown(step, &batch.pictures));
        let (pass_loss, pass_gradients) = in_parts(base, recipe, &batch)?;
        loss += pass_loss / passes;
        gradients.accumulate(pass_gradients)?;
    }
    let gradient_norm =
        gradient_norm(learning.weights.iter().map(|weight| &weight.leaf), &gradients)? / passes;
    if !loss.is_finite() || !gradient_norm.is_finite() {
        return Err(TrainError::Diverged { step });
    }
    let is_long = recipe.clip_norm > 0.0 && gradient_norm > recipe.clip_norm;
    let clip = if is_long { recipe.clip_norm / gradient_norm } else { 1.0 };
    let learning_rate = recipe.learning_rate_at(step);
    let text_rate = recipe.text_encoder_learning_rate_at(step);
    let rated = learning.weights.iter().map(|weight| {
        let of_text = weight.name.starts_with(Component::TextEncoder.folder());
        (&weight.leaf, if of_text { text_rate } else { learning_rate })
    });
    optimizer.update(rated, &gradients, clip / passes)?;
    // What the weights are made anew of, samples and checkpoints need the room.
    drop(gradients);
    learning.renew()?;
    Ok(Metric { step, loss, gradient_norm, learning_rate })
}

/// The recipe's optimizer, before its first step.
fn optimizer(recipe: &Recipe) -> Optimizer {
    let config = AdamWConfig {
        beta1: recipe.beta1,
        beta2: recipe.beta2,
        epsilon: recipe.epsilon,
        weight_decay: recipe.weight_decay,
    };
    match recipe.optimizer {
        recipe::Optimizer::Adamw => Optimizer::AdamW(AdamW::new(config)),
        recipe::Optimizer::Adamw8bit => Optimizer::AdamW8(AdamW8::new(config)),
        recipe::Optimizer::Prodigy => Optimizer::Prodigy(Prodigy::new(config)),
    }
}

/// Attaches the LoRA, to the text encoders too where these are in memory: `A` Gaussian with deviation 1 / rank, `B` zero, as PEFT's `init_lora_weights="gaussian"`.
fn attach(base: &mut Base, recipe: &Recipe) -> Result<Learning, TrainError> {
    let rank = recipe.rank as usize;
    let adaptation = Adaptation { rank, alpha: recipe.alpha as f32, dora: recipe.dora };
    let init = |name: &str, shape: &[usize]| {
        let count = shape.iter().product();
        if name.contains("lora_B") {
            return vec![0.0; count];
        }
        let deviation = 1.0 / rank as f32;
        rng::normal(&mut rng::stream(recipe.seed, name, 0), count).iter().map(|v| deviation * v).collect()
    };
    let mut learning = lora::attach_trainable(&mut base.unet, &recipe.targets, adaptation, init)?;
    if let Some(text) = &mut base.text {
        learning.extend(text.attach_trainable(adaptation, init)?);
    }
    Ok(learning)
}

/// Makes the batches of passes `first..last` on a thread of its own, a few ahead of the reader.
fn ahead(source: &Arc<Samples>, first: u64, last: u64) -> Receiver<Result<Batch, TrainError>> {
    let (sender, receiver) = sync_channel(2);
    let source = source.clone();
    std::thread::spawn(move || {
        for index in first..last {
            // The reader has gone: training has stopped.
            if sender.send(source.batch(index)).is_err() {
                return;
            }
        }
    });
    receiver
}
