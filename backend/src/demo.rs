//! The demonstration: two toys that are easily mixed up, three ways to teach them, the same prompts and seeds for each.

mod lesson;
mod masks;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lesson::Lesson;
use mudi_domain::recipe::{Method, Recipe};
use mudi_domain::rng;
use mudi_engine_candle::weights::Precision;
use mudi_toybox::{DataSetError, Naming, photo_set, similar_pair, write_data_set};

use crate::base::{Base, BaseError, Source};
use crate::dataset::{Dataset, DatasetError};
use crate::evaluate::{EvaluateError, Eyes, Judge, right_from};
use crate::files::{WriteError, create_folder};
use crate::generate::GenerateError;
use crate::plan::{self, peak_memory};
use crate::pretrain::miniature::Miniature;
use crate::report::{JSON_NAME, Report, ReportError, SubjectCard, TimeRow};
use crate::segment::{AutoSegmenter, AutomaticError, Networks, THRESHOLD};
use crate::train::TrainError;

/// What to demonstrate.
pub struct Options {
    /// Folder of the base model.
    pub base: PathBuf,
    /// What makes the masks of the photos.
    pub masks: Networks,
    /// Folder of the network that compares pictures with the photos.
    pub embedder: PathBuf,
    /// Folder to write; an earlier demonstration there is replaced.
    pub out: PathBuf,
    /// Seed of toys, training and pictures.
    pub seed: u64,
    /// Training steps of each method.
    pub steps: u32,
    /// Pictures for each prompt.
    pub count: u64,
}

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The toys could not be written.
    #[error(transparent)]
    Toys(#[from] DataSetError),
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
    /// A network failed.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// A network that makes masks cannot be used.
    #[error(transparent)]
    Masks(#[from] AutomaticError),
    /// Pictures could not be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The folder holds something else.
    #[error("{}: this folder holds files that are not an earlier demonstration; name another --out", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
}

/// What the demonstration is doing.
pub enum Progress<'a> {
    /// A new stage, by name, of so many steps.
    Stage(String, u64),
    /// One step of the stage.
    Step,
    /// Something that has no count.
    Note(&'a str),
}

/// Named by colour, the base alone would keep the toys apart, whatever the method.
const NAMING: Naming = Naming::Kind;
/// What is compared.
const METHODS: [Method; 3] = [Method::Dreambooth, Method::Cutmix, Method::Mudi];
/// Photos of each toy.
const PHOTOS: usize = 5;

/// How toys are taught here and in the benchmark.
pub(crate) fn recipe(seed: u64, steps: u32, method: Method, toys: usize) -> Recipe {
    Recipe { method, seed, ..Recipe::for_pocket(steps, toys) }
}

/// Refuses a base that does not fit twice: one draws, the other is taught.
pub(crate) fn check_memory(source: &Source, recipe: &Recipe) -> Result<(), BaseError> {
    let drawing = plan::all_weights(source, Precision::Single)?;
    let available = plan::available_memory().map(|available| available.saturating_sub(drawing));
    plan::check_as_it_is(source, plan::Job::Train(recipe), available).map(drop)
}

/// The flags of a command whose models are not those that ship: of each its flag, its path, and the name of the one that ships.
pub(crate) fn other_models(models: &[(&str, &Path, &str)]) -> String {
    let other = models.iter().filter(|(_, path, ships)| !path.ends_with(Path::new("models").join(ships)));
    other.map(|(flag, path, _)| format!(" --{flag} {}", path.display())).collect()
}

/// Refuses a folder that holds anything but an earlier demonstration.
fn check_free(out: &Path) -> Result<(), DemoError> {
    let occupied = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !out.join(JSON_NAME).exists() && !out.join("toys").join("truth.json").exists() {
        return Err(DemoError::Occupied { path: out.to_owned() });
    }
    Ok(())
}

/// Makes room for a new demonstration.
fn clear(out: &Path) -> Result<(), DemoError> {
    let failed = |path: &Path, source| WriteError { path: path.to_owned(), source };
    // What somebody has put beside them stays.
    let runs = METHODS.map(|method| out.join("runs").join(method.word()));
    for folder in std::iter::once(out.join("toys")).chain(runs) {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|source| failed(&folder, source))?;
        }
    }
    Ok(create_folder(out)?)
}

/// Runs the demonstration and writes `report.html` and `report.json`; returns the page's path.
///
/// # Errors
/// [`DemoError`].
pub fn run(options: &Options, mut progress: impl FnMut(Progress<'_>)) -> Result<PathBuf, DemoError> {
    check_free(&options.out)?;
    recipe(options.seed, options.steps, Method::Mudi, 2).validate().map_err(TrainError::from)?;
    let begin = Instant::now();
    let source = Source::open(&options.base)?;
    check_memory(&source, &recipe(options.seed, options.steps, Method::Mudi, 2))?;
    let segmenter = AutoSegmenter::load(&options.masks, THRESHOLD)?;
    let eyes = Arc::new(Eyes::load(&options.masks.detector, &[&options.embedder])?);
    let mut base = Base::from_source(&source, Precision::Single)?;
    // The earlier demonstration stays where there is none to be made.
    clear(&options.out)?;
    let (first, second) = similar_pair(&mut rng::stream(options.seed, "demo", 0));
    let toys = [first, second];
    let photos = options.out.join("toys");
    let size = base.resolution();
    let pictures = photo_set(&toys, NAMING, PHOTOS, options.seed, size as u32);
    write_data_set(&photos, &toys, NAMING, &pictures)?;
    let made = masks::compare(&photos, &segmenter)?;
    drop(segmenter);
    let dataset = Dataset::load(&photos)?;
    let judge = Judge::new(eyes.clone(), &dataset, eyes.options())?;
    let names: Vec<&str> = dataset.subjects.iter().map(|data| data.subject.name()).collect();
    progress(Progress::Note(&format!("subjects: {}", names.join(", "))));
    // Each is named first once: methods must not depend on it.
    let prompts: Vec<String> = [(0, 1, "in the garden"), (1, 0, "on the beach")]
        .map(|(first, second, place)| {
            format!("A photo of a {} and a {} {place}.", names[first], names[second])
        })
        .into();
    let mut report = Report {
        title: "Two toys, three ways to teach them".to_owned(),
        seed: options.seed,
        base: options.base.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        subjects: subjects(&dataset, size as u32),
        masks: made.words(),
        judging: judging(),
        prompts: prompts.clone(),
        negative_prompt: base.negative_prompt.to_owned(),
        command: format!(
            "mudi demo --seed {} --steps {} --count {}{}",
            options.seed,
            options.steps,
            options.count,
            other_models(&[
                ("base", &options.base, "pocket"),
                ("detector", &options.masks.detector, Miniature::Owlv2.folder()),
                ("segmenter", &options.masks.segmenter, Miniature::Sam.folder()),
                ("embedder", &options.embedder, Miniature::Dinov2.folder()),
            ])
        ),
        ..Report::default()
    };
    let lesson = Lesson {
        options,
        source: &source,
        photos: &photos,
        dataset: &dataset,
        prompts: &prompts,
        judge: &judge,
    };
    for method in METHODS {
        let section = lesson.teach(method, &mut base, &mut progress)?;
        let seconds = [section.training_seconds, section.grids.iter().map(|grid| grid.seconds).sum()];
        for (part, seconds) in ["training", "pictures"].into_iter().zip(seconds) {
            report.times.push(TimeRow { what: format!("{}: {part}", section.name), seconds });
        }
        report.methods.push(section);
    }
    report.times.push(TimeRow { what: "all".to_owned(), seconds: begin.elapsed().as_secs_f64() });
    report.peak_memory_bytes = peak_memory().map(|bytes| bytes as u64);
    report.write(&options.out)?;
    Ok(options.out.join(crate::report::HTML_NAME))
}

/// How pictures are judged, for the report.
fn judging() -> String {
    format!(
        "Each picture was judged by Detect-and-Compare with the small networks that ship: OWLv2 looks for toys, DINOv2 compares \
         what it finds with the photos. The score is 1 minus the distance from what the photos themselves say, and 0 where there \
         are not exactly two. From {} on a picture counts as right; that was decided on rendered scenes whose truth is known.",
        right_from(2)
    )
}

fn subjects(dataset: &Dataset, size: u32) -> Vec<SubjectCard> {
    dataset
        .subjects
        .iter()
        .map(|data| {
            let squares: Vec<_> = data.photos.iter().map(|photo| photo.square(size)).collect();
            SubjectCard {
                id: data.subject.id().as_str().to_owned(),
                name: data.subject.name().to_owned(),
                photos: squares.iter().map(|square| square.image.clone()).collect(),
                masks: squares.iter().map(|square| square.mask.as_gray().clone()).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use mudi_engine_candle::lora::{DEFAULT_TARGETS, FURTHER_TARGETS};

    use super::*;

    #[test]
    fn only_other_models_are_named() {
        let owl = Miniature::Owlv2.folder();
        let ships = Path::new("/opt/mudi/models").join(owl);
        assert_eq!(
            other_models(&[("base", Path::new("models/pocket"), "pocket"), ("detector", &ships, owl)]),
            ""
        );
        let other = other_models(&[
            ("base", Path::new("sdxl"), "pocket"),
            ("detector", Path::new("models/owlv2"), owl),
        ]);
        assert_eq!(other, " --base sdxl --detector models/owlv2");
    }

    #[test]
    fn all_layers_of_the_blocks_learn() {
        let all = [&DEFAULT_TARGETS[..], &FURTHER_TARGETS].concat();
        assert_eq!(recipe(0, 9, Method::Mudi, 2).targets, all);
    }
}
