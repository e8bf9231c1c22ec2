//! Every text of a run, encoded before anything else is loaded: text encoders that do not learn need not stay in memory.

use std::collections::HashMap;

use itertools::Itertools as _;
use mudi_domain::prompt;
use mudi_domain::recipe::{Recipe, Regularization};
use mudi_engine_candle::weights::Precision;

use super::TrainError;
use super::further::OwnPicture;
use crate::base::{EncodedPrompts, Source, TextEncoders, Texts, Tokens};
use crate::dataset::Dataset;

/// The encoded texts of a run.
pub(super) struct Captions {
    /// Of training samples, by the base.
    samples: HashMap<String, EncodedPrompts>,
    /// The same not encoded yet, where text encoders learn.
    tokens: HashMap<String, Tokens>,
    /// Of pictures that the model makes: prior images by their caption, and sample prompts.
    priors: HashMap<String, Texts>,
    prompts: HashMap<String, Texts>,
}

/// The classes of a data set's subjects, each once.
pub(super) fn classes(dataset: &Dataset) -> Vec<&str> {
    let mut classes: Vec<&str> = dataset.subjects.iter().map(|data| data.subject.class()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// How many of so many subjects a collage may show, where their names do not stand in more orders than can be encoded.
pub(super) fn check_orders(subjects: usize, recipe: &Recipe) -> Result<usize, TrainError> {
    if let Some(possible) = Recipe::too_many_for_collages(subjects) {
        return Err(TrainError::ManySubjects { subjects, possible });
    }
    let (shown, possible) = (recipe.most_together(subjects), Recipe::most_encodable(subjects));
    if shown > possible {
        return Err(TrainError::ManyOrders { subjects, shown, possible });
    }
    Ok(shown)
}

/// Every choice of so many of `names` as a collage may show, in every order from left to right.
fn orders<'a>(names: &[&'a str], recipe: &Recipe) -> Result<Vec<Vec<&'a str>>, TrainError> {
    let most = check_orders(names.len(), recipe)?;
    Ok((2..=most).flat_map(|count| names.iter().copied().permutations(count)).collect())
}

impl Captions {
    /// Loads the text encoders and encodes every text that the run will need of the base. Lets the encoders go, or gives them back
    /// where they learn; sample prompts are encoded by them then.
    pub(super) fn encode(
        source: &Source,
        precision: Precision,
        dataset: &Dataset,
        own: &[OwnPicture],
        recipe: &Recipe,
    ) -> Result<(Self, Option<TextEncoders>), TrainError> {
        let photos = dataset.subjects.iter().flat_map(|data| &data.photos);
        let mut captions: Vec<String> = photos.map(|photo| photo.caption.clone()).collect();
        captions.extend(own.iter().map(|picture| picture.caption.clone()));
        if own.is_empty() && recipe.collage_probability() > 0.0 {
            let names: Vec<&str> = dataset.subjects.iter().map(|data| data.subject.name()).collect();
            for names in orders(&names, recipe)? {
                captions.push(prompt::collage(&names));
                if recipe.articles > 0.0 {
                    captions.push(prompt::collage_with_articles(&names));
                }
            }
        }
        let engine = source.engine();
        let encoders = TextEncoders::load(engine, source, precision)?;
        let mut priors = HashMap::new();
        if recipe.regularization == Regularization::Prior {
            for class in classes(dataset) {
                let caption = prompt::prior(class);
                priors.insert(caption.clone(), encoders.encode_pair(engine, &caption, "", 1.0)?);
                captions.push(caption);
            }
        }
        let mut prompts = HashMap::new();
        let learn = recipe.trains_text_encoders();
        if recipe.sample_every > 0 && !learn {
            let negative = source.negative_prompt()?;
            for text in &recipe.sample_prompts {
                prompts.insert(text.clone(), encoders.encode_pair(engine, text, negative, 1.0)?);
            }
        }
        captions.sort_unstable();
        captions.dedup();
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        let encoded = encoders.encode_captions(engine, &texts)?;
        let tokens = if learn { encoders.tokens(&texts)? } else { Vec::new() };
        let tokens = captions.iter().cloned().zip(tokens).collect();
        let samples = captions.into_iter().zip(encoded).collect();
        let encoders = learn.then_some(encoders);
        crate::allocator::give_back();
        Ok((Self { samples, tokens, priors, prompts }, encoders))
    }

    /// The tokens of a batch, where text encoders learn.
    pub(super) fn tokens(&self, captions: &[String]) -> Result<Option<Vec<Tokens>>, TrainError> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let of = |caption: &String| self.tokens.get(caption).cloned().ok_or_else(|| unknown(caption));
        captions.iter().map(of).collect::<Result<_, _>>().map(Some)
    }

    /// The texts of a batch by the base, one after the other.
    pub(super) fn batch(&self, captions: &[String]) -> Result<EncodedPrompts, TrainError> {
        let mut all: Option<EncodedPrompts> = None;
        for caption in captions {
            let own = self.samples.get(caption).ok_or_else(|| unknown(caption))?;
            match &mut all {
                None => all = Some(own.clone()),
                Some(all) => {
                    all.context.extend_from_slice(&own.context);
                    if let (Some(all), Some(own)) = (&mut all.pooled, &own.pooled) {
                        all.extend_from_slice(own);
                    }
                }
            }
        }
        all.ok_or_else(|| unknown(""))
    }

    /// The texts of the prior images of a caption.
    pub(super) fn prior(&self, caption: &str) -> Result<&Texts, TrainError> {
        self.priors.get(caption).ok_or_else(|| unknown(caption))
    }

    /// The texts of a sample prompt.
    pub(super) fn prompt(&self, prompt: &str) -> Result<&Texts, TrainError> {
        self.prompts.get(prompt).ok_or_else(|| unknown(prompt))
    }
}

fn unknown(caption: &str) -> TrainError {
    TrainError::Caption { caption: caption.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 21] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
        "u",
    ];

    fn of(names: usize, collage_subjects: u32) -> Result<Vec<Vec<&'static str>>, TrainError> {
        orders(&NAMES[..names], &Recipe { collage_subjects, ..Recipe::default() })
    }

    #[test]
    fn names_stand_in_every_order() {
        assert_eq!(of(3, 2).unwrap().len(), 6);
        let three = of(3, 3).unwrap();
        assert_eq!(three.len(), 12);
        assert!(three.contains(&vec!["c", "a"]) && three.contains(&vec!["c", "a", "b"]));
        assert!(of(1, 5).unwrap().is_empty());
    }

    #[test]
    fn more_orders_than_can_be_encoded_are_refused() {
        assert_eq!(of(8, 2).unwrap().len(), 56);
        assert_eq!(of(8, 4).unwrap_err().to_string().matches("up to 4 of 8 subjects").count(), 1);
        assert_eq!(of(20, 2).unwrap().len(), 380);
        assert!(of(21, 2).unwrap_err().to_string().contains("21 subjects"));
        assert!(of(8, 8).unwrap_err().to_string().contains("set collage-subjects to 3"));
    }
}
