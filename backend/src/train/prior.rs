//! Prior preservation (DreamBooth, section 3.2): pictures of each class that the base model makes itself.

use mudi_domain::prompt;
use mudi_domain::recipe::{Recipe, Regularization};

use super::TrainError;
use super::captions::{Captions, classes};
use super::samples::Prior;
use crate::base::Base;
use crate::dataset::Dataset;
use crate::generate::{Settings, Start, sample};
use crate::interrupt::Interrupt;

/// Pictures sampled in one go.
pub(crate) const BATCH: usize = 8;

/// Latents of prior images for each class of the data set. They are drawn before a LoRA is attached; seeds start at the
/// recipe's.
pub(super) fn make(
    base: &Base,
    captions: &Captions,
    dataset: &Dataset,
    recipe: &Recipe,
    interrupt: &Interrupt,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Vec<Prior>, TrainError> {
    if recipe.regularization != Regularization::Prior {
        return Ok(Vec::new());
    }
    let mut settings = Settings { interrupt: interrupt.clone(), ..Settings::for_base(base) };
    if recipe.resolution != 0 {
        settings.size = [recipe.resolution as usize; 2];
    }
    let count = u64::from(recipe.prior_images);
    let mut priors = Vec::new();
    for class in classes(dataset) {
        let caption = prompt::prior(class);
        let mut latents = Vec::new();
        for first in (0..count).step_by(BATCH) {
            let starts: Vec<Start> = (first..(first + BATCH as u64).min(count))
                .map(|index| Start { seed: recipe.seed.wrapping_add(index), ..Start::default() })
                .collect();
            let made = sample(base, captions.prior(&caption)?, &settings, &starts, |_| {})?;
            latents.extend(made.chunks_exact(made.len() / starts.len()).map(<[f32]>::to_vec));
            progress(class, latents.len() as u64, count);
        }
        priors.push(Prior { caption, latents });
    }
    Ok(priors)
}
