//! Several pictures at once, to be deleted together.

use std::collections::BTreeSet;

use leptos::prelude::*;
use uuid::Uuid;

use super::pictures::Pictures;
use crate::api;
use crate::browser;
use crate::frame::{Deletions, the_project};
use crate::text;
use crate::widgets::{Icon, Sign};

/// Which pictures are selected, while somebody selects some.
#[derive(Clone, Copy)]
pub(super) struct Selection {
    on: RwSignal<bool>,
    ids: RwSignal<BTreeSet<Uuid>>,
}

impl Selection {
    /// Nobody selects any.
    pub(super) fn new() -> Self {
        Self { on: RwSignal::new(false), ids: RwSignal::new(BTreeSet::new()) }
    }

    /// Whether somebody selects pictures.
    pub(super) fn is_on(self) -> bool {
        self.on.get()
    }

    /// Whether a picture is selected.
    pub(super) fn has(self, id: Uuid) -> bool {
        self.ids.with(|ids| ids.contains(&id))
    }

    /// Selects a picture, or no more.
    pub(super) fn toggle(self, id: Uuid) {
        self.ids.update(|ids| {
            if !ids.remove(&id) {
                ids.insert(id);
            }
        });
    }

    fn end(self) {
        self.on.set(false);
        self.ids.set(BTreeSet::new());
    }

    /// The button that begins and ends it.
    pub(super) fn button(self) -> impl IntoView {
        let press = move |_| if self.on.get_untracked() { self.end() } else { self.on.set(true) };
        view! {
            <button class="button select-some" aria-pressed=move || self.on.get().to_string() on:click=press>
                "Select pictures"
            </button>
        }
    }

    /// What can be done with those that are selected.
    pub(super) fn bar(self, pictures: Pictures) -> impl IntoView {
        let (the, deletions) = (the_project(), expect_context::<Deletions>());
        let cancel = move |_| {
            self.end();
            browser::focus_soon(".select-some");
        };
        let remove = move |_| {
            let ids: Vec<Uuid> = self.ids.get_untracked().into_iter().collect();
            let project = the.id.get_untracked();
            let paths: Vec<String> = ids.iter().map(|id| api::of(project, &format!("images/{id}"))).collect();
            let words = match ids.len() {
                1 => "The picture is deleted.".to_owned(),
                count => format!("{} are deleted.", text::count(count, "picture")),
            };
            self.end();
            deletions.delete_all(paths, words, move || pictures.changed(&ids));
        };
        move || {
            self.on.get().then(|| {
                let count = move || self.ids.with(BTreeSet::len);
                view! {
                    <div class="compare-bar">
                        <span role="status">{move || format!("{} selected", text::count(count(), "picture"))}</span>
                        <button class="button danger" disabled=move || count() == 0 on:click=remove>
                            <Icon sign=Sign::Trash />
                            "Delete"
                        </button>
                        <button class="button plain" on:click=cancel>"Cancel"</button>
                    </div>
                }
            })
        }
    }
}
