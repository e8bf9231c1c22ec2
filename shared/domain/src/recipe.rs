//! Recipes: every parameter of a training run, from one table.
//!
//! [`PARAMETERS`] is the single source of the command line's flags, of the environment's names, of what a JSON file
//! may hold, and of the form in the page. The defaults are those of MuDI (section 4 and its appendix, and the
//! released code), but for `steps`, which is for a first look: the paper trains 1200 steps for easy subjects and 1400
//! to 1600 for detailed ones.

mod error;
mod json;
mod parameter;
#[cfg(feature = "openapi")]
mod schema;
mod table;
#[cfg(test)]
mod tests;
mod value;

use crate::aspect::Aspect;
use crate::collage::MAX_SUBJECTS;

pub use error::RecipeError;
pub use parameter::{Kind, Parameter};
pub use table::{PARAMETERS, Recipe};
pub use value::{LearningSchedule, Method, Optimizer, Precision, Regularization, RelativeSizes};

/// The most orders of names that a run's collages may have: the texts of all are encoded before it begins, and SDXL's take 0.6 MB each.
const MAX_ORDERS: usize = 400;
/// The most subjects of which every pair can be named in both orders.
const MOST_PAIRED: usize = 20;
const _: () = assert!(MOST_PAIRED * (MOST_PAIRED - 1) <= MAX_ORDERS);
/// The least share of collages where there are more than three subjects.
const CROWDED: f64 = 0.5;

impl Recipe {
    /// Side in pixels of the squares that have as many pixels as the pictures that show so many toys by the pocket model that ships.
    #[must_use]
    pub const fn pocket_side(subjects: usize) -> u32 {
        match subjects {
            0..=2 => 96,
            3 => 120,
            4 => 136,
            _ => 152,
        }
    }

    /// Proportions of the pictures that show so many toys by that model: each has the room that one of two has.
    #[must_use]
    pub const fn pocket_aspect(subjects: usize) -> Aspect {
        match subjects {
            0..=2 => Aspect::Square,
            3 => Aspect::Photo,
            4 => Aspect::Wide,
            _ => Aspect::Panorama,
        }
    }

    /// What suits the pocket model that ships, so many toys and `steps` from a few hundred on: in MuDI's own recipe it learns too little.
    ///
    /// Attention is a small part of that model, and its finest level has none, so all layers learn. A high rate that falls to
    /// nothing does what a lower one cannot in so few steps. A loss that counts all timesteps alike is drowned by the least noisy ones,
    /// whose gradients are the largest and say least of what a subject is. Its own pictures are coarser than photos are: as prior images
    /// they would teach that. At 96 pixels a subject that is to fit a half of the canvas loses what is small on it, so collages give
    /// more room; smaller margins make up for the overlap. Its text encoder is small, too: where collages name their subjects without
    /// articles and prompts with them, who is named first may be drawn twice.
    #[must_use]
    pub fn for_pocket(steps: u32, subjects: usize) -> Self {
        let further = ["ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2"];
        let mut targets = Self::default().targets;
        targets.extend(further.map(str::to_owned));
        Self {
            steps,
            learning_rate: 1.5e-3,
            learning_schedule: LearningSchedule::Cosine,
            debiased_loss: true,
            rank: 16,
            alpha: 16.0,
            targets,
            batch: 3,
            // A short run must see enough collages.
            segmix_probability: 0.5,
            // Two of three toys that wide would hide the third.
            max_width: if subjects > 2 { 0.4 } else { 0.7 },
            // It has to see all of them at once, where the paper's base needs pairs only.
            collage_subjects: Self::most_encodable(subjects) as u32,
            margin: 64,
            articles: 0.5,
            regularization: Regularization::None,
            gradient_checkpointing: false,
            // Where it is the base's own it need not be said.
            resolution: if subjects > 2 { Self::pocket_side(subjects) } else { 0 },
            aspect: Self::pocket_aspect(subjects),
            ..Self::default()
        }
        .for_subjects(subjects)
    }

    /// This recipe for so many subjects: more than three need more collages (MuDI, section 4.1, which leaves open how many).
    #[must_use]
    pub fn for_subjects(self, subjects: usize) -> Self {
        let least = if subjects > 3 { CROWDED } else { 0.0 };
        Self { segmix_probability: self.segmix_probability.max(least), ..self }
    }

    /// The table's entry for `name`; names are in kebab case, and `_` counts as `-`.
    ///
    /// # Errors
    /// Where there is none; the error names the nearest one.
    pub fn parameter(name: &str) -> Result<&'static Parameter, RecipeError> {
        let wanted = name.replace('_', "-");
        PARAMETERS.iter().find(|parameter| parameter.name == wanted).ok_or_else(|| RecipeError::unknown(name))
    }

    /// Sets the parameter `name` to what `value` says.
    ///
    /// # Errors
    /// Where there is no such parameter, or `value` is not of its kind or out of its range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), RecipeError> {
        let parameter = Self::parameter(name)?;
        let refuse = |fault| RecipeError::value(parameter.name, value, fault);
        parameter.kind.check(value.trim()).map_err(refuse)?;
        self.assign(parameter, value.trim()).map_err(refuse)
    }

    /// The parameter `name` as text that [`Self::set`] reads back.
    ///
    /// # Errors
    /// Where there is no such parameter.
    pub fn get(&self, name: &str) -> Result<String, RecipeError> {
        Ok(self.text(Self::parameter(name)?))
    }

    /// Checks every parameter's range, and what must hold between parameters.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), RecipeError> {
        for parameter in PARAMETERS {
            let text = self.text(parameter);
            parameter.kind.check(&text).map_err(|fault| RecipeError::value(parameter.name, &text, fault))?;
        }
        let rules = [
            (
                self.resolution != 0 && (self.resolution < 32 || !self.resolution.is_multiple_of(8)),
                "`resolution` must be 0 (the base's own) or a multiple of 8 from 32 on; set it to 0",
            ),
            (self.targets.is_empty(), "`targets` names no layer, so nothing would learn; name at least to_q"),
            (
                self.sample_every > 0 && self.sample_prompts.is_empty(),
                "`sample-every` asks for samples but `sample-prompts` has none; give one, or set it to 0",
            ),
            (
                self.regularization == Regularization::Prior && self.prior_images == 0,
                "`regularization` is prior, but `prior-images` is 0; ask for 50, or choose none, dco or kl",
            ),
            (
                self.aspect_buckets && self.regularization == Regularization::Prior,
                "`aspect-buckets` goes with `regularization` none, dco or kl: prior images are squares",
            ),
            (
                !self.aspect.is_square() && self.regularization == Regularization::Prior,
                "an `aspect` other than 1:1 goes with `regularization` none, dco or kl: prior images are squares",
            ),
            (
                self.warmup_steps >= self.steps,
                "`warmup-steps` leaves no step of `steps` at the full learning rate; ask for fewer",
            ),
            (
                self.debiased_loss && self.min_snr_gamma > 0.0,
                "`debiased-loss` and `min-snr-gamma` both weigh the loss; set `min-snr-gamma` to 0, or `debiased-loss` to false",
            ),
            (
                self.optimizer == Optimizer::Prodigy && self.learning_rate < 0.01,
                "`optimizer` is prodigy, which multiplies its own learning rate by `learning-rate`; set that to 1",
            ),
            (
                self.optimizer == Optimizer::Prodigy
                    && self.trains_text_encoders()
                    && self.text_encoder_learning_rate != self.learning_rate,
                "`optimizer` is prodigy, which has one learning rate; set `text-encoder-learning-rate` to `learning-rate`, or to 0",
            ),
        ];
        rules
            .into_iter()
            .find_map(|(broken, rule)| broken.then_some(Err(RecipeError::Rule(rule))))
            .unwrap_or(Ok(()))
    }

    /// The probability that a sample is a collage: `segmix-probability`, but 0 for plain DreamBooth.
    #[must_use]
    pub fn collage_probability(&self) -> f64 {
        if self.method == Method::Dreambooth { 0.0 } else { self.segmix_probability }
    }

    /// The most of so many subjects that a collage can show: captions name them from left to right, and each order is a text to encode.
    /// All of up to five, 3 of six to eight, 2 of more; of more than [`Self::too_many_for_collages`] none, and such a run is refused.
    #[must_use]
    pub fn most_encodable(subjects: usize) -> usize {
        let mut orders = 0usize;
        let fits = |shown: &usize| {
            orders = orders.saturating_add(
                (0..*shown).fold(1, |count: usize, taken| count.saturating_mul(subjects - taken)),
            );
            orders <= MAX_ORDERS
        };
        (2..=subjects.min(MAX_SUBJECTS)).take_while(fits).last().unwrap_or(2)
    }

    /// The most subjects that a run with collages can have, if so many are more.
    #[must_use]
    pub fn too_many_for_collages(subjects: usize) -> Option<usize> {
        (subjects > MOST_PAIRED).then_some(MOST_PAIRED)
    }

    /// How many of so many subjects a collage may show: `collage-subjects`, but 2 for Cut-Mix, and all at most.
    #[must_use]
    pub fn most_together(&self, subjects: usize) -> usize {
        let most = if self.method == Method::Cutmix { 2 } else { self.collage_subjects as usize };
        most.min(subjects).max(2)
    }

    /// The work of a step, in pictures that go through the denoiser forward and back; good for the ratio of two recipes' times where the
    /// same learns in both: what text encoders that learn and DoRA add depends on the base.
    ///
    /// Forward alone is a third of it; gradient checkpointing and the comparison with the base, of DCO and KL, each go forward once more.
    ///
    /// ```
    /// use mudi_domain::recipe::{Recipe, Regularization};
    /// let plain = Recipe {
    ///     batch: 2, accumulation: 3, regularization: Regularization::None, gradient_checkpointing: false, ..Recipe::default()
    /// };
    /// assert_eq!(plain.step_work(), 6.0);
    /// let prior = Recipe { regularization: Regularization::Prior, ..plain.clone() };
    /// assert_eq!(prior.step_work(), 12.0);
    /// let dco = Recipe { regularization: Regularization::Dco, ..plain };
    /// assert_eq!(dco.step_work(), 8.0);
    /// ```
    #[must_use]
    pub fn step_work(&self) -> f64 {
        let pictures = f64::from(self.batch) * f64::from(self.accumulation);
        let (times, more) = match self.regularization {
            Regularization::Prior => (2.0, 0.0),
            Regularization::Dco | Regularization::Kl => (1.0, 1.0),
            Regularization::None => (1.0, 0.0),
        };
        let more = if self.gradient_checkpointing { more + 1.0 } else { more };
        pictures * times * (3.0 + more) / 3.0
    }

    /// The learning rate of `step`, counted from 1.
    ///
    /// ```
    /// use mudi_domain::recipe::{LearningSchedule, Recipe};
    /// let recipe = Recipe {
    ///     learning_rate: 1.0, steps: 10, warmup_steps: 2, learning_schedule: LearningSchedule::Linear, ..Recipe::default()
    /// };
    /// let rates: Vec<f64> = [1, 2, 3, 7, 10].iter().map(|&step| recipe.learning_rate_at(step)).collect();
    /// assert_eq!(rates, [0.5, 1.0, 1.0, 0.5, 0.125]);
    /// ```
    #[must_use]
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        self.scheduled(self.learning_rate, step)
    }

    /// Whether the text encoders learn, too.
    #[must_use]
    pub fn trains_text_encoders(&self) -> bool {
        self.text_encoder_learning_rate > 0.0
    }

    /// The text encoders' learning rate of `step`, counted from 1; 0 where they do not learn.
    #[must_use]
    pub fn text_encoder_learning_rate_at(&self, step: u64) -> f64 {
        self.scheduled(self.text_encoder_learning_rate, step)
    }

    fn scheduled(&self, rate: f64, step: u64) -> f64 {
        let (warmup, steps) = (u64::from(self.warmup_steps), u64::from(self.steps));
        if step <= warmup {
            return rate * step as f64 / warmup as f64;
        }
        let gone = (step - warmup - 1) as f64 / (steps.saturating_sub(warmup)).max(1) as f64;
        let share = match self.learning_schedule {
            LearningSchedule::Constant => 1.0,
            LearningSchedule::Linear => 1.0 - gone,
            LearningSchedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * gone).cos()),
        };
        rate * share.max(0.0)
    }
}
