//! The form of a new run as it was left, for as long as the tab is open.

use leptos::prelude::*;
use uuid::Uuid;

use super::field::Texts;
use crate::browser;

/// What is kept: the name where it is not the usual one, the base, and which preset is chosen or else every parameter.
type Kept = (String, String, Option<usize>, Vec<(String, String)>);

/// Where the form of a project is kept.
#[derive(Clone, Copy)]
pub(super) struct Draft(StoredValue<String>);

impl Draft {
    /// That of a project.
    pub(super) fn of(project: Uuid) -> Self {
        Self(StoredValue::new(format!("mudi-train-{project}")))
    }

    /// What is kept. What another version of the page has kept is nothing.
    pub(super) fn read(self) -> Option<Kept> {
        serde_json::from_str(&browser::tab_remembered(&self.0.get_value())?).ok()
    }

    /// Keeps the form.
    pub(super) fn keep(self, name: &str, base: &str, preset: Option<usize>, texts: Texts) {
        // A preset is written anew: what it says depends on the subjects.
        let texts = if preset.is_some() { Vec::new() } else { texts.all() };
        // Texts and numbers always serialize.
        let kept = serde_json::to_string(&(name, base, preset, texts)).unwrap_or_default();
        browser::tab_remembers(&self.0.get_value(), &kept);
    }
}
