//! Refusing what does not fit, with what would.

use std::path::PathBuf;

use mudi_domain::recipe::{self, Recipe};
use mudi_engine_candle::weights::Precision;

use super::{Job, Plan, gigabytes, plan};
use crate::base::{BaseError, Source};

/// A job that does not fit.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: this needs {} of memory ({} of weights, {} of activations) and {} can be had; {}",
    base.display(), gigabytes(needs.total), gigabytes(needs.weights), gigabytes(needs.activations),
    gigabytes(*available), cure
)]
pub struct TooLarge {
    /// The base model's folder.
    pub base: PathBuf,
    /// What it would need.
    pub needs: Plan,
    /// What there is.
    pub available: usize,
    /// What would fit.
    pub cure: String,
}

/// Plans a job and refuses one that does not fit into `available` bytes.
///
/// # Errors
/// [`BaseError::TooLarge`], with what would fit; those of [`plan`].
pub fn check(base: &Source, job: Job<'_>, available: Option<usize>) -> Result<Plan, BaseError> {
    let needs = plan(base, job)?;
    match available {
        Some(available) if needs.total > available => {
            let cure = cure(base, job, available)?;
            Err(BaseError::TooLarge(Box::new(TooLarge {
                base: base.path().to_owned(),
                needs,
                available,
                cure,
            })))
        }
        _ => Ok(needs),
    }
}

/// The first of the things that save memory with which the job fits.
fn cure(base: &Source, job: Job<'_>, available: usize) -> Result<String, BaseError> {
    match job {
        Job::Train(recipe) => {
            let half = Recipe { precision: recipe::Precision::Half, ..recipe.clone() };
            let checkpointed = Recipe { gradient_checkpointing: true, ..half.clone() };
            let accumulation = recipe.accumulation.max(recipe.batch);
            let small = Recipe { batch: 1, accumulation, ..checkpointed.clone() };
            let flags = "--precision half --gradient-checkpointing true";
            let few = format!("{flags} --batch 1 --accumulation {accumulation}");
            let tiled = Recipe { vae_tile: 512, optimizer: recipe::Optimizer::Adamw8bit, ..small.clone() };
            for (flags, recipe) in [
                ("--precision half".to_owned(), half),
                (flags.to_owned(), checkpointed),
                (few.clone(), small),
                (format!("{few} --vae-tile 512 --optimizer adamw8bit"), tiled),
            ] {
                let needs = plan(base, Job::Train(&recipe))?;
                if needs.total <= available {
                    return Ok(format!("with {flags} it would need {}", gigabytes(needs.total)));
                }
            }
        }
        Job::Generate { size, tile, lora, count, .. } => {
            for (flags, count, tile) in [
                ("--precision half", count, tile),
                ("--precision half --count 1", 1, tile),
                ("--precision half --count 1 --vae-tile 512", 1, Some(512)),
            ] {
                let job = Job::Generate { size, tile, count, lora, precision: Precision::Half };
                let needs = plan(base, job)?;
                if needs.total <= available {
                    return Ok(format!("with {flags} it would need {}", gigabytes(needs.total)));
                }
            }
        }
    }
    Ok("nothing that saves memory makes it fit; use a smaller base model or a machine with more memory"
        .to_owned())
}
