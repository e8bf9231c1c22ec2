//! Iterative training (MuDI, appendix): a run draws pictures of all its subjects, Detect-and-Compare finds the best of them, and the LoRA
//! learns on from these, held near to what it predicted before.
//!
//! The folder of what comes of it is a run like any other, with the pictures and their evaluation beside. The same call goes on where an
//! earlier one was interrupted: pictures that are there are not drawn again.

mod choice;
mod draw;
mod error;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::ImproveError;
use mudi_domain::collage::MAX_SUBJECTS;
use mudi_domain::layout::suited_gamma;
use mudi_domain::prompt::{self, Noun};
use mudi_domain::recipe::{Recipe, Regularization};
use mudi_domain::subject::Subject;
use mudi_engine_candle::lora::LoraFile;

use crate::base::{Source, precision};
use crate::dataset::Dataset;
use crate::device::Device;
use crate::evaluate::{Eyes, Judge};
use crate::files::{create_folder, is_same, whole, write_atomically};
use crate::interrupt::Interrupt;
use crate::train::{self, Further, KEPT_FILE, KeptPicture, Metric, RunInfo, finished_lora};

/// Pictures that are drawn where nothing else is said (MuDI, iterative training).
pub const PICTURES: u64 = 200;
/// How many of them are learnt from (likewise).
pub const KEPT: usize = 50;
/// Steps of the further training where nothing else is said.
pub const STEPS: u32 = 300;
/// The seed of the first picture where nothing else is said: far from those that pictures are mostly asked for with.
pub const SEED: u64 = 1000;
/// Guidance of the pictures where nothing else is said: less than pictures are mostly drawn with, since what is learnt from guided
/// pictures is guided again, and colours and contrasts grow.
pub const GUIDANCE: f32 = 2.0;
/// How much it counts to stay near to what was predicted before where nothing else is said (MuDI, iterative training).
pub const KL_WEIGHT: f64 = 1.0;
/// How much slower than the run it learns where nothing is said: it has learnt nearly all already.
const SLOWER: f64 = 5.0;
/// The fewest pictures that something can be learnt from.
const FEWEST: usize = 4;
/// Where subjects are asked for where no prompts are given: places that every base knows, and that the benchmark does not ask for.
pub const PLACES: [&str; 4] = [" in the bedroom", " in the city", " in the desert", " under the night sky"];
/// The folder of the pictures, in that of the run.
pub const PICTURES_FOLDER: &str = "pictures";
/// The LoRA that was gone on from, in the folder of the run.
const EARLIER_FILE: &str = "earlier.safetensors";

/// What to improve, and how.
pub struct Options {
    /// Folder of a finished run.
    pub run: PathBuf,
    /// Where the run's base is now; where it was in training if nothing is said.
    pub base: Option<PathBuf>,
    /// Where its photos are now.
    pub photos: Option<PathBuf>,
    /// Folder of the run that comes of it.
    pub out: PathBuf,
    /// Folder of the detector.
    pub detector: PathBuf,
    /// Folder of the embedder.
    pub embedder: PathBuf,
    /// What pictures are asked for with, each naming every subject; [`prompts`] where empty.
    pub prompts: Vec<String>,
    /// Pictures to draw.
    pub pictures: u64,
    /// How many of them to learn from, at most.
    pub keep: usize,
    /// Strength of the random layouts that pictures start from; what suits so many subjects where nothing is said.
    pub gamma: Option<f32>,
    /// Classifier-free guidance scale of the pictures. What is learnt from them is guided again when it draws.
    pub guidance: f32,
    /// Seed of the first picture; the next ones count up.
    pub seed: u64,
    /// Steps of the further training.
    pub steps: u32,
    /// Its learning rate; a fifth of the run's where nothing is said.
    pub learning_rate: Option<f64>,
    /// How much it counts to stay near to what was predicted before.
    pub kl_weight: f64,
    /// Where it runs.
    pub device: Device,
    /// Memory that may be used, in bytes; what can be had where none.
    pub memory: Option<usize>,
    /// Looked at before each step.
    pub interrupt: Interrupt,
}

/// What it tells while it goes.
pub enum Progress<'a> {
    /// Pictures drawn, out of so many.
    Drawn(u64, u64),
    /// Pictures judged, out of so many.
    Judged(usize, usize),
    /// What the user should know.
    Note(&'a str),
    /// A step of the further training, out of so many.
    Step(&'a Metric, u64),
}

/// What comes of it.
pub struct Outcome {
    /// The folder of the new run.
    pub folder: PathBuf,
    /// The scores of the pictures that were learnt from, the best first.
    pub scores: Vec<f64>,
    /// Losses and more, step by step.
    pub metrics: Vec<Metric>,
}

/// Prompts that ask for all subjects, each named first in its turn, in so many [`PLACES`].
#[must_use]
pub fn prompts(subjects: &[&str], noun: Noun) -> Vec<String> {
    let mut made = Vec::new();
    for place in PLACES {
        for turn in 0..subjects.len() {
            let mut names: Vec<String> = subjects.iter().map(|name| format!("a {name}")).collect();
            names.rotate_left(turn);
            made.push(prompt::together(&names, place, noun));
        }
    }
    made
}

/// Draws, judges, chooses and learns.
///
/// # Errors
/// [`ImproveError`]; what has been drawn and learnt stays, and the same call goes on.
pub fn run(options: &Options, mut progress: impl FnMut(Progress<'_>)) -> Result<Outcome, ImproveError> {
    let info = RunInfo::load(&options.run)?;
    let lora = finished_lora(&options.run)?;
    if is_same(&options.out, &options.run)
        || (!settings::are_there(&options.out) && holds_something(&options.out))
    {
        return Err(ImproveError::Occupied { path: options.out.clone() });
    }
    let photos = options.photos.clone().unwrap_or_else(|| info.photos.clone());
    let base = options.base.clone().unwrap_or_else(|| info.base.clone());
    train::check_text([&photos, &base, &options.out, &options.detector, &options.embedder])?;
    let dataset = Dataset::load(&photos)?;
    let subjects: Vec<Subject> = dataset.subjects.iter().map(|data| data.subject.clone()).collect();
    let names: Vec<&str> = subjects.iter().map(Subject::name).collect();
    let gamma = options.gamma.unwrap_or_else(|| suited_gamma(subjects.len()));
    if gamma > 0.0 && subjects.len() > MAX_SUBJECTS {
        return Err(ImproveError::Crowded { subjects: subjects.len() });
    }
    let held = precision(info.recipe.precision);
    let source = Source::open(&base)?.on(options.device.engine(held)?).with_vae(info.vae.as_deref())?;
    // The base that ships counts toys.
    let noun = if source.negative_prompt()?.is_empty() { Noun::Toys } else { Noun::Objects };
    let asked = if options.prompts.is_empty() { prompts(&names, noun) } else { options.prompts.clone() };
    for prompt in &asked {
        if let Some(missing) = subjects.iter().find(|subject| !subject.is_named_in(prompt)) {
            return Err(ImproveError::Prompt { prompt: prompt.clone(), subject: missing.name().to_owned() });
        }
    }
    let recipe = further_recipe(&info.recipe, options);
    recipe.validate().map_err(train::TrainError::from)?;
    LoraFile::read(&lora)?.check_joinable()?;
    let pictures = options.out.join(PICTURES_FOLDER);
    let chosen = choice::read(&pictures);
    if chosen.is_none() {
        // Not after all pictures are drawn. The networks are let go meanwhile: the base needs the room.
        judge(options, &dataset)?;
    }
    create_folder(&options.out)?;
    let asked_for = settings::Asked::new(options, gamma, &asked, &lora, &source, &dataset.digests)?;
    asked_for.check(&options.out, chosen.is_some())?;
    let earlier = options.out.join(EARLIER_FILE);
    if !earlier.is_file() {
        let read = |source| train::TrainError::Read { path: lora.clone(), reason: format!("{source}") };
        write_atomically(&earlier, &std::fs::read(&lora).map_err(read)?)?;
    }
    let kept = match chosen {
        Some(kept) => kept,
        None => {
            create_folder(&pictures)?;
            let drawing = draw::Drawing {
                options,
                recipe: &info.recipe,
                source: &source,
                lora: &earlier,
                dataset: &dataset,
                prompts: &asked,
                gamma,
                folder: &pictures,
            };
            drawing.draw(|done| progress(Progress::Drawn(done, options.pictures)))?;
            judged(options, &dataset, &pictures, &mut progress)?
        }
    };
    // Training reads the photos by itself.
    drop(dataset);
    let further = further_from(&options.out, &earlier, &pictures);
    let training = train::Options {
        photos,
        base,
        vae: info.vae.clone(),
        resume: options.out.join(train::START_FILE).exists(),
        out: options.out.clone(),
        recipe,
        further: Some(further),
        stop_after: None,
        masks: None,
        interrupt: options.interrupt.clone(),
        memory: options.memory,
        device: options.device,
    };
    let outcome = train::run(&training, |event| match event {
        train::Progress::Note(note) => progress(Progress::Note(note)),
        train::Progress::Step(metric, steps) => progress(Progress::Step(metric, steps)),
        train::Progress::Prior(..) | train::Progress::Shown(..) => {}
    })?;
    let scores = kept.iter().map(|picture| picture.score).collect();
    Ok(Outcome { folder: outcome.folder, scores, metrics: outcome.metrics })
}

/// What the training in the folder `out` goes on from: as an earlier call has noted it where that is the same, however its place is written
/// now, else by whole paths.
fn further_from(out: &Path, lora: &Path, pictures: &Path) -> Further {
    let noted = RunInfo::load(out).ok().and_then(|info| info.further);
    noted
        .filter(|noted| is_same(&noted.lora, lora) && is_same(&noted.pictures, pictures))
        .unwrap_or_else(|| Further { lora: whole(lora), pictures: whole(pictures) })
}

/// Whether there is something in a folder but what a write that was interrupted has left.
fn holds_something(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.path().extension().is_none_or(|end| end != "part"))
}

/// The networks that judge, with the subjects' photos.
fn judge(options: &Options, dataset: &Dataset) -> Result<Judge, ImproveError> {
    let eyes = Arc::new(Eyes::load(&options.detector, &[&options.embedder])?);
    Ok(Judge::new(eyes.clone(), dataset, eyes.options())?)
}

/// Judges what was drawn, writes the evaluation's page, and chooses what is learnt from.
fn judged(
    options: &Options,
    dataset: &Dataset,
    pictures: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<Vec<KeptPicture>, ImproveError> {
    let judge = judge(options, dataset)?;
    let evaluation = judge.judge_folder(pictures, |done, all| progress(Progress::Judged(done, all)))?;
    judge.write(&evaluation, &options.out)?;
    let kept = choice::best(&evaluation, options.keep);
    if kept.len() < FEWEST.min(options.keep) {
        return Err(ImproveError::Few { shown: kept.len(), drawn: evaluation.images.len() });
    }
    let mut lines = String::new();
    for picture in &kept {
        lines += &serde_json::to_string(picture)?;
        lines.push('\n');
    }
    write_atomically(&pictures.join(KEPT_FILE), lines.as_bytes())?;
    Ok(kept)
}

/// How the further training goes: as the run's did, but for what it learns from.
fn further_recipe(recipe: &Recipe, options: &Options) -> Recipe {
    let learning_rate = options.learning_rate.unwrap_or(recipe.learning_rate / SLOWER);
    Recipe {
        steps: options.steps,
        learning_rate,
        text_encoder_learning_rate: scaled(
            recipe.text_encoder_learning_rate,
            recipe.learning_rate,
            learning_rate,
        ),
        warmup_steps: 0,
        sample_every: 0,
        aspect_buckets: false,
        regularization: Regularization::Kl,
        kl_weight: options.kl_weight,
        ..recipe.clone()
    }
}

/// The text encoders' `rate` where the denoiser's was `before` and is `now`.
fn scaled(rate: f64, before: f64, now: f64) -> f64 {
    // Prodigy wants the same number for both, which a product may miss by a rounding.
    if rate == before { now } else { rate * (now / before) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_rates_fall_alike() {
        for rate in [1.0, 0.1, 1e-4, 1.5e-3] {
            assert_eq!(scaled(rate, rate, rate / SLOWER), rate / SLOWER);
            assert_eq!(scaled(0.0, rate, rate / SLOWER), 0.0);
            let half = scaled(rate / 2.0, rate, rate / SLOWER);
            assert!((half / (rate / 10.0) - 1.0).abs() < 1e-12, "{half}");
        }
    }

    #[test]
    fn everybody_is_named_first_everywhere() {
        let made = prompts(&["olis bear", "hta bear"], Noun::Objects);
        assert_eq!(made.len(), 2 * PLACES.len());
        assert_eq!(made[0], "A photo of a olis bear and a hta bear in the bedroom.");
        assert_eq!(made[1], "A photo of a hta bear and a olis bear in the bedroom.");
        let three = prompts(&["x a", "y a", "z a"], Noun::Toys);
        assert_eq!(three.last().unwrap(), "3 toys: A photo of a z a, a x a and a y a under the night sky.");
    }
}
