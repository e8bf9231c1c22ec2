//! Refusing what does not fit, with what would.

use std::path::PathBuf;

use mudi_domain::recipe::{self, Recipe, Regularization};
use mudi_engine_candle::weights::Precision;

use super::{Job, Plan, gigabytes, plan};
use crate::base::{BaseError, Source};

/// A job that does not fit. Its text is for the command line; [`Self::for_page`] is for who has no flags.
#[derive(Debug, thiserror::Error)]
#[error("{}: this {}; {}", base.display(), self.fault(), cure.in_flags())]
pub struct TooLarge {
    /// The base model's folder.
    pub base: PathBuf,
    /// What it would need.
    pub needs: Plan,
    /// What there is.
    pub available: usize,
    /// What would fit.
    pub cure: Cure,
}

impl TooLarge {
    fn fault(&self) -> String {
        let Plan { total, weights, activations, .. } = self.needs;
        let [total, weights, activations] = [total, weights, activations].map(gigabytes);
        let available = gigabytes(self.available);
        format!(
            "needs {total} of memory ({weights} of weights, {activations} of activations) and {available} can be had"
        )
    }

    /// What is wrong, and the cure in the words of the page.
    #[must_use]
    pub fn for_page(&self) -> String {
        format!("{}: this {}; {}", self.base.display(), self.fault(), self.cure.in_fields())
    }
}

/// What would fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cure {
    /// The job with these parameters, of a recipe or of the command line.
    Parameters {
        /// Names and values.
        changed: Vec<(&'static str, String)>,
        /// What it would need.
        needs: usize,
    },
    /// None of these parameters, all together, makes it fit; there may be none.
    Smaller(Vec<(&'static str, String)>),
    /// Everything that saves memory was tried already.
    Tried,
}

impl Cure {
    /// In words of the command line.
    fn in_flags(&self) -> String {
        const FREE: &str = "use a smaller base model or a machine with more memory";
        let flags = |changed: &[(&'static str, String)]| {
            let flags = changed.iter().map(|(name, value)| format!("--{name} {value}"));
            flags.collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::Parameters { changed, needs } => {
                format!("with {} it would need {}", flags(changed), gigabytes(*needs))
            }
            Self::Smaller(tried) if !tried.is_empty() => {
                format!("none of {} makes it fit; {FREE}", flags(tried))
            }
            Self::Smaller(_) | Self::Tried => FREE.to_owned(),
        }
    }

    /// In words of the page, which has fields where the command line has flags.
    #[must_use]
    pub fn in_fields(&self) -> String {
        const FREE: &str = "free memory on the server, or use a smaller base model";
        let fields = |changed: &[(&'static str, String)]| {
            changed.iter().map(|(name, value)| field(name, value)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Parameters { changed, needs } => {
                format!("with {} it would need {}", fields(changed), gigabytes(*needs))
            }
            Self::Smaller(tried) if !tried.is_empty() => {
                format!("none of {} makes it fit; {FREE}", fields(tried))
            }
            Self::Smaller(_) => FREE.to_owned(),
            Self::Tried => format!(
                "that is one picture at a time, decoded in tiles, with weights in half precision; {FREE}"
            ),
        }
    }
}

/// A field of the page's form for recipes and what to set it to, as `Gradient checkpointing: on`.
fn field(name: &str, value: &str) -> String {
    let words = name.replace('-', " ");
    let (first, rest) = words.split_at(words.len().min(1));
    let value = if value == "true" { "on" } else { value };
    format!("{}{rest}: {value}", first.to_uppercase())
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
            Err(refused(base, needs, available, cure))
        }
        _ => Ok(needs),
    }
}

/// As [`check`], for a command that has no flags by which the job would need less.
///
/// # Errors
/// Those of [`check`].
pub fn check_as_it_is(base: &Source, job: Job<'_>, available: Option<usize>) -> Result<Plan, BaseError> {
    let needs = plan(base, job)?;
    match available {
        Some(available) if needs.total > available => {
            Err(refused(base, needs, available, Cure::Smaller(Vec::new())))
        }
        _ => Ok(needs),
    }
}

/// The refusal of what needs more than is `available`.
pub(super) fn refused(base: &Source, needs: Plan, available: usize, cure: Cure) -> BaseError {
    BaseError::TooLarge(Box::new(TooLarge { base: base.path().to_owned(), needs, available, cure }))
}

/// The first of the things that save memory with which the job fits.
fn cure(base: &Source, job: Job<'_>, available: usize) -> Result<Cure, BaseError> {
    match job {
        Job::Train(recipe) => {
            let half = Recipe { precision: in_half(recipe.precision), ..recipe.clone() };
            let checkpointed = Recipe { gradient_checkpointing: true, ..half.clone() };
            let accumulation = recipe.accumulation.max(recipe.batch);
            let small = Recipe { batch: 1, accumulation, ..checkpointed.clone() };
            let tiled = Recipe { vae_tile: 512, optimizer: recipe::Optimizer::Adamw8bit, ..small.clone() };
            let regularization = match recipe.regularization {
                Regularization::Prior => Regularization::Dco,
                other => other,
            };
            // No picture beside each sample, and none to draw before.
            let alone = Recipe { regularization, ..tiled.clone() };
            let tried = differences(recipe, &alone);
            for saving in [half, checkpointed, small, tiled, alone] {
                let needs = plan(base, Job::Train(&saving))?.total;
                if needs <= available {
                    return Ok(Cure::Parameters { changed: differences(recipe, &saving), needs });
                }
            }
            Ok(Cure::Smaller(tried))
        }
        Job::Generate { size, tile, lora, count, .. } => {
            let flags = [("precision", "half"), ("count", "1"), ("vae-tile", "512")]
                .map(|(name, value)| (name, value.to_owned()));
            for (flags, count, tile) in
                [(&flags[..1], count, tile), (&flags[..2], 1, tile), (&flags[..], 1, Some(512))]
            {
                let job = Job::Generate { size, tile, count, lora, precision: Precision::Half };
                let needs = plan(base, job)?.total;
                if needs <= available {
                    return Ok(Cure::Parameters { changed: flags.to_vec(), needs });
                }
            }
            Ok(Cure::Smaller(flags.to_vec()))
        }
    }
}

/// Weights in two bytes take the same memory in either form.
fn in_half(precision: recipe::Precision) -> recipe::Precision {
    match precision {
        recipe::Precision::Single => recipe::Precision::Half,
        half => half,
    }
}

/// What `saving` has otherwise than `recipe`, in the order of the table.
fn differences(recipe: &Recipe, saving: &Recipe) -> Vec<(&'static str, String)> {
    let value = |recipe: &Recipe, name: &str| recipe.get(name).unwrap_or_default();
    let names = recipe::PARAMETERS.iter().map(|parameter| parameter.name);
    let changed = names.filter(|name| value(recipe, name) != value(saving, name));
    changed.map(|name| (name, value(saving, name))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn pocket() -> Source {
        Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pocket")).unwrap()
    }

    #[test]
    fn who_has_no_flags_is_told_of_fields() {
        let base = pocket();
        // Activations that are far more than what the program itself holds, which changes.
        let recipe =
            Recipe { batch: 32, resolution: 512, gradient_checkpointing: false, ..Recipe::default() };
        let checkpointed =
            Recipe { precision: recipe::Precision::Half, gradient_checkpointing: true, ..recipe.clone() };
        let less = plan(&base, Job::Train(&checkpointed)).unwrap().total;
        let Err(BaseError::TooLarge(large)) = check(&base, Job::Train(&recipe), Some(less + (64 << 20)))
        else {
            panic!("it fits");
        };
        assert!(large.needs.total > less + (1 << 30), "{large}");
        let (flags, fields) = (large.to_string(), large.for_page());
        assert!(flags.contains("--gradient-checkpointing true"), "{flags}");
        assert!(fields.contains("Gradient checkpointing: on") && !fields.contains("--"), "{fields}");
        let Err(BaseError::TooLarge(large)) = check(&base, Job::Train(&recipe), Some(1)) else {
            panic!("it fits");
        };
        assert!(large.for_page().contains("smaller base model"), "{}", large.for_page());
        assert!(large.to_string().contains("none of --"), "{large}");
        assert!(large.to_string().contains("--regularization dco"), "{large}");
        // The smallest tiles are planned, too.
        for vae_tile in [1, 3, 8192] {
            plan(&base, Job::Train(&Recipe { vae_tile, ..Recipe::default() })).unwrap();
        }
        // What a recipe has already is no cure.
        assert!(differences(&checkpointed, &checkpointed).is_empty());
    }
}
