//! What is looked at before anything takes time: a run that cannot begin says so at once.

use std::path::PathBuf;

use mudi_diffusion::Component;
use mudi_diffusion::unet::UNet;
use mudi_domain::recipe::{Method, Recipe};
use mudi_domain::subject::Subject;
use mudi_engine_candle::shapes::Shapes;
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, lora};

use super::captions::check_orders;
use super::state::RunFolder;
use super::{Options, RunInfo, TrainError};
use crate::base::{Source, precision};
use crate::dataset::{self, Digests};
use crate::files::whole;
use crate::plan;

/// What can be told at once is told before masks are made and a large base is loaded, which takes minutes: the base, not loaded yet, and
/// what the run notes of its beginning, but for the photos' digests.
pub(super) fn check(options: &Options) -> Result<(Source, RunInfo), TrainError> {
    let recipe = &options.recipe;
    recipe.validate()?;
    let (photos, base, vae) =
        (whole(&options.photos), whole(&options.base), options.vae.as_deref().map(whole));
    let further = options.further.iter().flat_map(|further| [&further.lora, &further.pictures]);
    check_text([&photos, &base].into_iter().chain(&vae).chain(further))?;
    check_subjects(recipe, &dataset::subjects(&options.photos)?, options.further.is_none())?;
    let earlier: Vec<(PathBuf, f32)> =
        options.further.iter().map(|further| (further.lora.clone(), 1.0)).collect();
    let source = Source::open(&options.base)?
        .on(options.device.engine(precision(recipe.precision))?)
        .with_vae(options.vae.as_deref())?
        .with_loras(&earlier)?;
    // A checkpoint file may come without an autoencoder, which is loaded last.
    source.vae_config()?;
    check_files(&source)?;
    check_targets(recipe, &source)?;
    let info = RunInfo {
        photos,
        base,
        vae,
        recipe: recipe.clone(),
        further: options.further.clone(),
        files: Digests::default(),
        fingerprint: Some(source.fingerprint()?),
    };
    RunFolder::check(&options.out, &info, options.resume)?;
    check_memory(&source, options)?;
    Ok((source, info))
}

/// Whether the run fits into the memory that it may use.
pub(super) fn check_memory(source: &Source, options: &Options) -> Result<(), TrainError> {
    let available = options.memory.or_else(|| options.device.free_memory());
    plan::check(source, plan::Job::Train(&options.recipe), available)?;
    Ok(())
}

/// What is to be said where there are more subjects than the recipe's share of collages is for, or only one, whom nobody can be mixed up with.
pub(super) fn note_on_number(recipe: &Recipe, subjects: usize) -> Option<String> {
    if subjects == 1 && recipe.collage_probability() > 0.0 {
        return Some(
            "One subject alone: no collages are made, so that it learns as by the method dreambooth."
                .to_owned(),
        );
    }
    let (share, wanted) =
        (recipe.segmix_probability, recipe.clone().for_subjects(subjects).segmix_probability);
    (recipe.method == Method::Mudi && share < wanted).then(|| {
        format!(
            "{subjects} subjects: more than three are mixed up more unless more samples are collages than {share} of them; \
             segmix-probability {wanted} suits."
        )
    })
}

/// Whether paths can be noted in a run's folder, whose files are JSON.
pub(crate) fn check_text<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), TrainError> {
    match paths.into_iter().find(|path| path.to_str().is_none()) {
        None => Ok(()),
        Some(path) => Err(TrainError::NotText { path: path.clone() }),
    }
}

/// Whether each relative size is that of one of these subjects, and collages of them can be named where there are `collages`.
pub(crate) fn check_subjects(
    recipe: &Recipe,
    subjects: &[Subject],
    collages: bool,
) -> Result<(), TrainError> {
    if collages && recipe.collage_probability() > 0.0 {
        check_orders(subjects.len(), recipe)?;
    }
    let known = || subjects.iter().map(Subject::id);
    match recipe.relative_sizes.iter().find(|(id, _)| known().all(|known| known != *id)) {
        None => Ok(()),
        Some((id, _)) => Err(TrainError::UnknownSubject {
            id: id.to_string(),
            known: known().map(ToString::to_string).collect(),
        }),
    }
}

/// Whether the files of the base's weights are there and whole, seen from their headers alone.
fn check_files(source: &Source) -> Result<(), TrainError> {
    for component in Component::ALL.into_iter().filter(|component| source.has(*component)) {
        source.weights(source.engine(), component, Precision::Single)?;
    }
    Ok(())
}

/// Whether every target is a layer of the base, seen from its configuration alone.
///
/// # Errors
/// [`TrainError::Target`]; a configuration that cannot be read.
pub fn check_targets(recipe: &Recipe, source: &Source) -> Result<(), TrainError> {
    let mut unet = UNet::<CandleEngine>::new(source.unet_config()?, &mut Shapes::default())?;
    match lora::unmatched_target(&mut unet, &recipe.targets) {
        None => Ok(()),
        Some(target) => Err(TrainError::Target { target: target.to_owned() }),
    }
}
