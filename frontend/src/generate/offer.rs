//! What the form of pictures offers, and what the chosen model makes of it.

use leptos::prelude::*;
use mudi_domain::api::{Base, JobState, Run, RunSubject, Stored, SubjectSummary};
use mudi_domain::layout::Layout;
use mudi_domain::prompt;

use super::wish::Wish;
use crate::recipes::noun;

/// What the form offers.
#[derive(Clone, PartialEq)]
pub(super) struct Offer {
    pub(super) bases: Vec<Base>,
    pub(super) runs: Vec<Run>,
    pub(super) subjects: Vec<SubjectSummary>,
    pub(super) layouts: Vec<Stored<Layout>>,
}

impl Offer {
    /// The runs whose weights are there, newest first.
    pub(super) fn done(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().rev().filter(|run| run.state == JobState::Done)
    }

    /// The run that is drawn with.
    fn run_of(&self, wish: Wish) -> Option<&Run> {
        let id = wish.run.get();
        self.done().find(|run| Some(run.id) == id)
    }

    /// The subjects as the chosen model knows them: a run by the names that it was trained on, a base alone by none but today's.
    pub(super) fn subjects_of(&self, wish: Wish) -> Vec<Known> {
        let today = self.subjects.iter().enumerate();
        let Some(run) = self.run_of(wish) else {
            return today
                .map(|(place, subject)| Known { place, name: subject.name.clone(), today: None })
                .collect();
        };
        let known = |subject: &RunSubject| {
            let now = today.clone().find(|(_, now)| now.id == subject.id);
            let renamed = now.filter(|(_, now)| now.name != subject.name);
            let (name, today) = (subject.name.clone(), renamed.map(|(_, now)| now.name.clone()));
            Known { place: now.map_or(0, |(place, _)| place), name, today }
        };
        run.subjects.iter().map(known).collect()
    }

    /// The names of subjects that the chosen run was not trained on.
    pub(super) fn strangers(&self, wish: Wish) -> Vec<String> {
        let Some(run) = self.run_of(wish) else { return Vec::new() };
        let strange = |subject: &&SubjectSummary| !run.subjects.iter().any(|known| known.id == subject.id);
        self.subjects.iter().filter(strange).map(|subject| format!("“{}”", subject.name)).collect()
    }

    /// The prompt that asks for all subjects, and the negative prompt that suits the base.
    pub(super) fn suited(&self, wish: Wish) -> [String; 2] {
        untrack(|| {
            let base = self.run_of(wish).map_or_else(|| wish.base.get(), |run| run.base.clone());
            let names = self.subjects_of(wish).into_iter().map(|known| format!("a {}", known.name));
            let names: Vec<String> = names.collect();
            let prompt =
                if names.is_empty() { String::new() } else { prompt::together(&names, "", noun(&base)) };
            let negative =
                self.bases.iter().find(|known| known.name == base).map(|base| base.negative.clone());
            [prompt, negative.unwrap_or_default()]
        })
    }

    /// What is to be said of the chosen model where it is not there any more.
    pub(super) fn missing(&self, wish: Wish) -> Option<String> {
        if wish.run.get().is_some() {
            return self.run_of(wish).is_none().then(|| "A run that is deleted".to_owned());
        }
        let base = wish.base.get();
        let there = base.is_empty() || self.bases.iter().any(|known| known.name == base);
        (!there).then(|| format!("{base} alone, which is not on this server"))
    }
}

/// A subject as a model knows it.
pub(super) struct Known {
    /// Its place among the project's.
    pub(super) place: usize,
    /// What prompts call it.
    pub(super) name: String,
    /// What the project calls it, where that is something else.
    pub(super) today: Option<String>,
}
