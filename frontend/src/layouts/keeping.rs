//! Saving a layout, and what to do where somebody else has changed it meanwhile.

use gloo_timers::callback::Interval;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{NewStored, Stored};
use mudi_domain::layout::Layout;
use mudi_editor::layout::Message;
use uuid::Uuid;

use super::bench::Bench;
use super::designer::document;
use crate::api;
use crate::browser;

/// How often it is looked whether there is something to save, in milliseconds.
const BEAT: u32 = 250;
/// How long after the last change it is saved.
const CALM: f64 = 800.0;
/// How long after a failure it is tried again.
const AGAIN: f64 = 5000.0;

/// Whether the server has what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Saved,
    Unsaved,
    Saving,
    /// Somebody else has changed the layout since it was read.
    Conflict,
    /// Why the last try failed.
    Failed(String),
}

/// What is known of the layout on the server.
#[derive(Clone, Copy)]
pub(super) struct Keeping {
    /// Its id; none before it is saved first.
    pub(super) id: RwSignal<Option<Uuid>>,
    pub(super) name: RwSignal<String>,
    pub(super) state: RwSignal<State>,
    version: StoredValue<i64>,
    /// What the server has.
    known: StoredValue<Option<NewStored<Layout>>>,
    list: StoredValue<String>,
    last: StoredValue<f64>,
    not_before: StoredValue<f64>,
}

impl Keeping {
    pub(super) fn new(stored: Option<&Stored<Layout>>) -> Self {
        let name = stored.map_or_else(|| "New layout".to_owned(), |stored| stored.name.clone());
        let known = stored.map(|stored| NewStored { name: stored.name.clone(), value: stored.value.clone() });
        Self {
            id: RwSignal::new(stored.map(|stored| stored.id)),
            name: RwSignal::new(name),
            state: RwSignal::new(State::Saved),
            version: StoredValue::new(stored.map_or(0, |stored| stored.version)),
            known: StoredValue::new(known),
            list: StoredValue::new(String::new()),
            last: StoredValue::new(0.0),
            not_before: StoredValue::new(0.0),
        }
    }

    /// Gives it another name; an empty one changes nothing.
    pub(super) fn rename(self, name: &str) {
        let name = name.trim();
        if name.is_empty() {
            self.name.notify();
        } else {
            self.name.set(name.to_owned());
        }
    }

    fn learn(self, stored: Stored<Layout>) {
        self.id.try_set(Some(stored.id));
        self.version.try_set_value(stored.version);
        self.known.try_set_value(Some(NewStored { name: stored.name, value: stored.value }));
    }
}

/// Saves what is done to the list of layouts at `list`, for as long as the page is there. `made` is told the id of a new one.
pub(super) fn keep(bench: Bench, keeping: Keeping, list: String, made: Callback<Uuid>) {
    keeping.list.set_value(list);
    Effect::new(move |_| {
        bench.shown.track();
        keeping.name.track();
        let Some(document) = document(bench, &keeping.name.get_untracked()) else { return };
        let differs = keeping.known.with_value(|known| known.as_ref() != Some(&document));
        let state = keeping.state.get_untracked();
        if differs && matches!(state, State::Saved | State::Failed(_)) {
            keeping.state.set(State::Unsaved);
        } else if !differs && state == State::Unsaved {
            keeping.state.set(State::Saved);
        }
        keeping.last.set_value(browser::ticks());
    });
    let _beat = StoredValue::new_local(Interval::new(BEAT, move || {
        let now = browser::ticks();
        let calm = keeping.last.try_get_value().is_some_and(|last| now - last >= CALM);
        let may = keeping.not_before.try_get_value().is_some_and(|time| now >= time);
        if calm && may {
            save(bench, keeping, made);
        }
    }));
    on_cleanup(move || save(bench, keeping, made));
}

fn save(bench: Bench, keeping: Keeping, made: Callback<Uuid>) {
    if !matches!(keeping.state.try_get_untracked(), Some(State::Unsaved | State::Failed(_))) {
        return;
    }
    let Some(document) = document(bench, &keeping.name.get_untracked()) else { return };
    keeping.state.set(State::Saving);
    let (id, version, list) =
        (keeping.id.get_untracked(), keeping.version.get_value(), keeping.list.get_value());
    spawn_local(async move {
        let saved: api::Answer<Stored<Layout>> = match id {
            Some(id) => api::put(&format!("{list}/{id}"), version, &document).await,
            None => api::post(&list, &document).await,
        };
        // The page may be gone.
        if keeping.state.try_get_untracked().is_none() {
            return;
        }
        match saved {
            Ok(stored) => {
                let new = stored.id;
                keeping.learn(stored);
                let now = self::document(bench, &keeping.name.get_untracked());
                let same = keeping.known.with_value(|known| *known == now);
                keeping.state.set(if same || now.is_none() { State::Saved } else { State::Unsaved });
                if id.is_none() {
                    made.run(new);
                }
            }
            Err(error) if error.code() == "stale" => keeping.state.set(State::Conflict),
            Err(error) => {
                keeping.not_before.set_value(browser::ticks() + AGAIN);
                keeping.state.set(State::Failed(error.to_string()));
            }
        }
    });
}

async fn read(keeping: Keeping) -> Option<api::Answer<Stored<Layout>>> {
    let path = format!("{}/{}", keeping.list.try_get_value()?, keeping.id.get_untracked()?);
    Some(api::get(&path).await)
}

/// One's own layout takes the place of the other one.
pub(super) async fn overwrite(keeping: Keeping) {
    match read(keeping).await {
        Some(Ok(stored)) => {
            keeping.learn(stored);
            keeping.state.set(State::Unsaved);
        }
        Some(Err(error)) => keeping.state.set(State::Failed(error.to_string())),
        None => {}
    }
}

/// The other layout takes the place of one's own; undo brings that back.
pub(super) async fn take_theirs(bench: Bench, keeping: Keeping) {
    match read(keeping).await {
        Some(Ok(stored)) => {
            keeping.state.set(State::Saved);
            keeping.name.set(stored.name.clone());
            let value = stored.value.clone();
            keeping.learn(stored);
            bench.send(Message::Replace(value));
        }
        Some(Err(error)) => keeping.state.set(State::Failed(error.to_string())),
        None => {}
    }
}
