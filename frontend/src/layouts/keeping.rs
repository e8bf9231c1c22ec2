//! Saving a layout, and what to do where somebody else has changed it meanwhile.

use gloo_timers::callback::Interval;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{NewStored, Stored};
use mudi_domain::layout::Layout;
use mudi_editor::layout::Message;

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
    pub(super) name: RwSignal<String>,
    pub(super) state: RwSignal<State>,
    version: StoredValue<i64>,
    /// What the server has.
    known: StoredValue<NewStored<Layout>>,
    /// Where its API is.
    path: StoredValue<String>,
    last: StoredValue<f64>,
    not_before: StoredValue<f64>,
}

impl Keeping {
    pub(super) fn new(stored: &Stored<Layout>, path: String) -> Self {
        Self {
            name: RwSignal::new(stored.name.clone()),
            state: RwSignal::new(State::Saved),
            version: StoredValue::new(stored.version),
            known: StoredValue::new(NewStored { name: stored.name.clone(), value: stored.value.clone() }),
            path: StoredValue::new(path),
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
        self.version.try_set_value(stored.version);
        self.known.try_set_value(NewStored { name: stored.name, value: stored.value });
    }
}

/// Saves what is done, for as long as the page is there.
pub(super) fn keep(bench: Bench, keeping: Keeping) {
    Effect::new(move |_| {
        bench.shown.track();
        keeping.name.track();
        let Some(document) = document(bench, &keeping.name.get_untracked()) else { return };
        let differs = keeping.known.with_value(|known| *known != document);
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
            save(bench, keeping);
        }
    }));
    // The page may never be seen again. What is sent then arrives where the page has gone, too.
    let hidden = window_event_listener(ev::visibilitychange, move |_| {
        if browser::document().hidden() {
            save(bench, keeping);
        }
    });
    let leaving =
        window_event_listener(ev::Custom::<web_sys::Event>::new("pagehide"), move |_| save(bench, keeping));
    let asked = window_event_listener(ev::beforeunload, move |event| {
        if matches!(keeping.state.try_get_untracked(), Some(State::Failed(_) | State::Conflict)) {
            event.prevent_default();
        }
    });
    on_cleanup(move || {
        hidden.remove();
        leaving.remove();
        asked.remove();
        save(bench, keeping);
    });
}

fn save(bench: Bench, keeping: Keeping) {
    if !matches!(keeping.state.try_get_untracked(), Some(State::Unsaved | State::Failed(_))) {
        return;
    }
    let Some(document) = document(bench, &keeping.name.get_untracked()) else { return };
    keeping.state.set(State::Saving);
    let (version, path) = (keeping.version.get_value(), keeping.path.get_value());
    spawn_local(async move {
        let saved: api::Answer<Stored<Layout>> = api::put(&path, version, &document).await;
        // The page may be gone.
        if keeping.state.try_get_untracked().is_none() {
            return;
        }
        match saved {
            Ok(stored) => {
                keeping.learn(stored);
                let now = self::document(bench, &keeping.name.get_untracked());
                let same = now.is_none_or(|now| keeping.known.with_value(|known| *known == now));
                keeping.state.set(if same { State::Saved } else { State::Unsaved });
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
    Some(api::get(&keeping.path.try_get_value()?).await)
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
