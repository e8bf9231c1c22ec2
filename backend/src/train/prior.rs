//! Prior preservation (DreamBooth, section 3.2): pictures of each class that the base model makes itself.

use mudi_domain::prompt;
use mudi_domain::recipe::{Recipe, Regularization};

use super::TrainError;
use super::captions::{Captions, classes};
use super::samples::Prior;
use super::state::RunFolder;
use crate::base::Base;
use crate::dataset::Dataset;
use crate::generate::{Settings, Start, sample};
use crate::interrupt::Interrupt;

/// The most pictures that are sampled in one go.
const MOST: usize = 8;

/// Pictures that are sampled in one go: as many as a step learns from, so that what fits into memory there fits here. Each has its own
/// seed, so that they are the same however many there are, up to rounding.
pub(crate) fn together(recipe: &Recipe) -> usize {
    (recipe.batch as usize).clamp(1, MOST)
}

/// Latents of prior images for each class of the data set. They are drawn before a LoRA is attached; seeds start at the
/// recipe's. The run's folder keeps them until it is finished, so that a run that goes on need not draw them again.
pub(super) fn make(
    base: &Base,
    captions: &Captions,
    dataset: &Dataset,
    recipe: &Recipe,
    folder: &RunFolder,
    interrupt: &Interrupt,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Vec<Prior>, TrainError> {
    if recipe.regularization != Regularization::Prior {
        return Ok(Vec::new());
    }
    let size = [base.sizes().side_for(Some(recipe)); 2];
    let settings = Settings { size, interrupt: interrupt.clone(), ..Settings::for_base(base) };
    let count = u64::from(recipe.prior_images);
    let together = together(recipe);
    let mut kept = folder.priors();
    let mut priors: Vec<Prior> = Vec::new();
    for class in classes(dataset) {
        let caption = prompt::prior(class);
        // Whole batches, of this very recipe: the folder is no other run's.
        let latents = kept.remove(&caption).unwrap_or_default();
        progress(class, latents.len() as u64, count);
        priors.push(Prior { caption, latents });
        let at = priors.len() - 1;
        for first in (priors[at].latents.len() as u64..count).step_by(together) {
            let starts: Vec<Start> = (first..(first + together as u64).min(count))
                .map(|index| Start { seed: recipe.seed.wrapping_add(index), ..Start::default() })
                .collect();
            let made = sample(base, captions.prior(&priors[at].caption)?, &settings, &starts, |_| {})?;
            priors[at].latents.extend(made.chunks_exact(made.len() / starts.len()).map(<[f32]>::to_vec));
            folder.keep_priors(&priors)?;
            progress(class, priors[at].latents.len() as u64, count);
        }
    }
    Ok(priors)
}
