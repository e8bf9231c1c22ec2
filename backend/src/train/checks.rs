//! What is looked at before anything takes time: a run that cannot begin says so at once.

use std::path::PathBuf;

use mudi_diffusion::Component;
use mudi_diffusion::unet::UNet;
use mudi_domain::recipe::{Method, Recipe};
use mudi_domain::subject::Subject;
use mudi_engine_candle::shapes::Shapes;
use mudi_engine_candle::weights::Precision;
use mudi_engine_candle::{CandleEngine, lora};

use super::TrainError;
use super::captions::check_orders;
use crate::base::Source;

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
pub(super) fn check_files(source: &Source) -> Result<(), TrainError> {
    for component in Component::ALL.into_iter().filter(|component| source.has(*component)) {
        source.weights(source.engine(), component, Precision::Single)?;
    }
    Ok(())
}

/// Whether every target is a layer of the base, seen from its configuration alone.
pub(crate) fn check_targets(recipe: &Recipe, source: &Source) -> Result<(), TrainError> {
    let mut unet = UNet::<CandleEngine>::new(source.unet_config()?, &mut Shapes::default())?;
    match lora::unmatched_target(&mut unet, &recipe.targets) {
        None => Ok(()),
        Some(target) => Err(TrainError::Target { target: target.to_owned() }),
    }
}
