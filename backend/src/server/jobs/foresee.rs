//! What a run would need, before it is made.

use std::path::Path;

use mudi_domain::api::Forecast;
use mudi_domain::recipe::Recipe;
use mudi_engine_candle::weights::Precision;

use crate::base::{BaseError, Source};
use crate::device::Device;
use crate::plan;
use crate::train::{self, TrainError, notes_on_identifiers};

/// Plans a run of `recipe` on a base for subjects of these `names`; `paces` are the recipes of earlier runs on it, latest first, with the seconds of their
/// steps; `device` is where it will run. Otherwise what is wrong, for the user.
pub(crate) fn forecast(
    base: &Path,
    recipe: &Recipe,
    names: &[&str],
    paces: &[(Recipe, f64)],
    memory: Option<usize>,
    device: Device,
) -> Result<Forecast, String> {
    recipe.validate().map_err(|error| error.to_string())?;
    let available = memory.or_else(|| plan::available_memory().filter(|_| device.is_cpu()));
    // Where the server keeps its models is nobody's business.
    let said = |error: BaseError| error.for_page().replace(&base.display().to_string(), "the base model");
    // The program is not in a card's memory.
    let engine = device.engine(Precision::Single).map_err(|error| error.to_string())?;
    let source = Source::open(base).map_err(said)?.on(engine);
    targets(&source, recipe)?;
    let (needs, refusal) = match plan::check(&source, plan::Job::Train(recipe), available) {
        Ok(needs) => (needs.total, None),
        Err(BaseError::TooLarge(large)) => {
            let words = format!(
                "This needs {} of memory and {} can be had; {}.",
                plan::gigabytes(large.needs.total),
                plan::gigabytes(large.available),
                large.cure.in_fields()
            );
            (large.needs.total, Some(words))
        }
        Err(error) => return Err(said(error)),
    };
    // A plan is made without an autoencoder, too; a run is not.
    source.vae_config().map_err(said)?;
    Ok(Forecast {
        memory: needs as u64,
        available: available.map(|bytes| bytes as u64),
        refusal,
        seconds: pace(recipe, paces).map(|seconds| seconds * f64::from(recipe.steps)),
        notes: notes_on_identifiers(&source, names).map_err(said)?,
    })
}

/// Whether the base has the layers that the recipe wants to adapt; otherwise what is wrong, for the user. What else is wrong with the
/// base the job tells.
pub(crate) fn check_targets(base: &Path, recipe: &Recipe) -> Result<(), String> {
    Source::open(base).map_or(Ok(()), |source| targets(&source, recipe))
}

fn targets(source: &Source, recipe: &Recipe) -> Result<(), String> {
    match train::check_targets(recipe, source) {
        Err(error @ TrainError::Target { .. }) => Err(error.for_page()),
        _ => Ok(()),
    }
}

/// Seconds for each step of `recipe`: the median over the latest runs in which the same learns of pictures of the same size, scaled by
/// the work of a step.
fn pace(recipe: &Recipe, paces: &[(Recipe, f64)]) -> Option<f64> {
    const LATEST: usize = 5;
    // What text encoders that learn and DoRA cost beside the denoiser's passes depends on the base, so only such runs tell it.
    let kind =
        |recipe: &Recipe| (recipe.resolution, recipe.precision, recipe.trains_text_encoders(), recipe.dora);
    let alike = paces.iter().filter(|(earlier, _)| kind(earlier) == kind(recipe));
    let mut each: Vec<f64> =
        alike.take(LATEST).map(|(earlier, seconds)| seconds / earlier.step_work()).collect();
    each.sort_by(f64::total_cmp);
    each.get(each.len() / 2).map(|each| each * recipe.step_work())
}

#[cfg(test)]
mod tests {
    use mudi_domain::recipe::Regularization;

    use super::*;

    #[test]
    fn a_broken_base_is_told_without_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("broken");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("model_index.json"), "{}").unwrap();
        for base in [base, folder.path().join("none")] {
            let fault = forecast(&base, &Recipe::default(), &[], &[], None, Device::Cpu).unwrap_err();
            assert!(!fault.contains(&folder.path().display().to_string()), "{fault}");
            // The page has no flags.
            assert!(!fault.contains("--"), "{fault}");
        }
    }

    #[test]
    fn time_is_that_of_runs_alike() {
        let recipe = Recipe { batch: 2, regularization: Regularization::None, ..Recipe::default() };
        assert_eq!(pace(&recipe, &[]), None);
        let larger = Recipe { resolution: 512, ..recipe.clone() };
        assert_eq!(pace(&recipe, &[(larger.clone(), 9.0)]), None);
        let paces = [(recipe.clone(), 2.0), (larger, 9.0), (recipe.clone(), 1.0), (recipe.clone(), 8.0)];
        assert_eq!(pace(&recipe, &paces), Some(2.0));
        // Text encoders that learn have work of their own, and so has DoRA.
        for more in [
            Recipe { text_encoder_learning_rate: 1e-5, ..recipe.clone() },
            Recipe { dora: true, ..recipe.clone() },
        ] {
            assert_eq!(pace(&more, &paces), None);
            let paces = [&[(more.clone(), 5.0)][..], &paces[..]].concat();
            assert_eq!(pace(&more, &paces), Some(5.0));
            assert_eq!(pace(&recipe, &paces), Some(2.0));
        }
        // Twice the pictures take twice the time.
        let twice = Recipe { accumulation: 2, ..recipe };
        assert_eq!(pace(&twice, &paces), Some(4.0));
    }
}
