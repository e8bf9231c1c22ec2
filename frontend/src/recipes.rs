//! Recipes as the page offers them: three choices, every parameter, and what differs between two runs.

use mudi_domain::api::Base;
use mudi_domain::prompt::{self, Noun};
use mudi_domain::recipe::{PARAMETERS, Parameter, Recipe};

/// One of the three choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is good for.
    pub help: &'static str,
    steps: u32,
}

/// The three choices.
pub const PRESETS: [Preset; 3] = [
    Preset { name: "Quick look", help: "To see whether photos and masks are right.", steps: 300 },
    Preset { name: "Balanced", help: "What the paper takes for subjects that are easily told.", steps: 1200 },
    Preset { name: "Thorough", help: "For fine detail: fur, patterns, faces.", steps: 1600 },
];

/// The model that ships with the studio, in miniature: it has a recipe of its own, and learns in half the steps.
const SMALL: &str = "pocket";

/// What prompts for a base model count subjects as.
#[must_use]
pub fn noun(base: &str) -> Noun {
    if base == SMALL { Noun::Toys } else { Noun::Objects }
}

/// The base that is chosen by itself: the first that draws more than toys, where there is one.
#[must_use]
pub fn preferred(bases: &[Base]) -> String {
    bases.iter().min_by_key(|base| base.toys_only).map(|base| base.name.clone()).unwrap_or_default()
}

impl Preset {
    /// The recipe of this choice for a base model and subjects of these names, with samples on the way that show all of them.
    #[must_use]
    pub fn recipe(self, base: &str, names: &[String]) -> Recipe {
        let mut recipe = if base == SMALL {
            Recipe::for_pocket(self.steps / 2, names.len())
        } else {
            Recipe { steps: self.steps, ..Recipe::default() }.for_subjects(names.len())
        };
        recipe.checkpoint_every = 50;
        if !names.is_empty() {
            recipe.sample_every = recipe.steps / 3;
            recipe.sample_prompts = vec![prompt::together(names, "", noun(base)).replace('|', " ")];
        }
        recipe
    }
}

/// A parameter's name as a label: `learning-rate` is `Learning rate`.
#[must_use]
pub fn label(name: &str) -> String {
    let mut words = name.replace('-', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// The parameters in which two recipes differ, with both values.
#[must_use]
pub fn differences(a: &Recipe, b: &Recipe) -> Vec<(&'static Parameter, String, String)> {
    let text = |recipe: &Recipe, parameter: &Parameter| recipe.get(parameter.name).unwrap_or_default();
    let pairs = PARAMETERS.iter().map(|parameter| (parameter, text(a, parameter), text(b, parameter)));
    pairs.filter(|(_, a, b)| a != b).collect()
}

/// A recipe from texts by name; what is wrong, and with which parameter, where it is none.
///
/// # Errors
/// The parameter's name, empty where several contradict each other, and the fault in words.
pub fn read<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Recipe, (String, String)> {
    let mut recipe = Recipe::default();
    for (name, text) in texts {
        recipe.set(name, text).map_err(|error| (name.to_owned(), error.to_string()))?;
    }
    recipe.validate().map_err(|error| (String::new(), error.to_string()))?;
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_a_recipe_that_can_be_trained() {
        for base in ["pocket", "sdxl"] {
            for preset in PRESETS {
                let recipe = preset.recipe(base, &["a|b".to_owned()]);
                assert_eq!(recipe.validate(), Ok(()), "{base}: {}", preset.name);
                assert!(recipe.sample_every > 0 && recipe.sample_every < recipe.steps);
                assert_eq!(preset.recipe(base, &[]).sample_every, 0);
            }
        }
        assert_eq!(PRESETS[1].recipe("sdxl", &[]).learning_rate, Recipe::default().learning_rate);
        assert_eq!(PRESETS[1].recipe("pocket", &[]).targets, Recipe::for_pocket(1, 2).targets);
    }

    #[test]
    fn many_subjects_see_more_collages_and_are_counted_in_samples() {
        let names: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let (two, four) = (PRESETS[1].recipe("sdxl", &names[..2]), PRESETS[1].recipe("sdxl", &names));
        assert!(four.segmix_probability > two.segmix_probability);
        assert_eq!(two.sample_prompts, ["A photo of a and b."]);
        assert_eq!(four.sample_prompts, ["4 objects: A photo of a, b, c and d."]);
        assert_eq!(PRESETS[1].recipe("pocket", &names).sample_prompts, ["4 toys: A photo of a, b, c and d."]);
    }

    #[test]
    fn a_base_that_draws_more_than_toys_is_preferred() {
        let base = |name: &str, toys_only| Base { name: name.to_owned(), negative: String::new(), toys_only };
        let (small, first, second) = (base(SMALL, true), base("sd15", false), base("sdxl", false));
        assert_eq!(preferred(&[small.clone(), first, second]), "sd15");
        assert_eq!(preferred(&[small.clone(), base("worse", true)]), SMALL);
        assert_eq!(preferred(&[]), "");
    }

    #[test]
    fn differences_name_both_values() {
        let (a, b) = (Recipe::default(), Recipe { rank: 8, ..Recipe::default() });
        let found = differences(&a, &b);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.name, found[0].1.as_str(), found[0].2.as_str()), ("rank", "32", "8"));
        assert!(differences(&a, &a).is_empty());
        assert_eq!(label("learning-rate"), "Learning rate");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read([("rank", "8")]).map(|recipe| recipe.rank), Ok(8));
        assert_eq!(read([("rank", "0")]).map_err(|fault| fault.0), Err("rank".to_owned()));
        let (name, fault) = read([("sample-every", "5")]).expect_err("samples of nothing");
        assert!(name.is_empty() && fault.contains("sample-prompts"), "{fault}");
    }
}
