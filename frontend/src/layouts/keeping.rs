//! Saving a layout, and what to do where somebody else has changed it meanwhile.

use gloo_timers::callback::Interval;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{NewStored, Stored};
use mudi_domain::layout::Layout;
use mudi_editor::layout::Message;
use uuid::Uuid;

use super::bench::Bench;
use super::designer::document;
use super::draft::Draft;
use crate::api::{self, Answer, ApiError};
use crate::browser;
use crate::frame::Toasts;
use crate::saves::Sending;

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
    /// Somebody else has deleted it.
    Missing,
    /// Whoever arranges may not any more: another try would change nothing.
    Refused,
    /// Why the last try failed.
    Failed(String),
}

/// What is known of the layout on the server.
#[derive(Clone, Copy)]
pub(super) struct Keeping {
    pub(super) name: RwSignal<String>,
    pub(super) state: RwSignal<State>,
    /// What an earlier page did not save, until a person has chosen.
    pub(super) left: RwSignal<Option<NewStored<Layout>>>,
    version: StoredValue<i64>,
    /// What the server has.
    known: StoredValue<NewStored<Layout>>,
    draft: Draft,
    /// Where its API is.
    path: StoredValue<String>,
    last: StoredValue<f64>,
    not_before: StoredValue<f64>,
    /// What is shown when the page is left during a save, which goes on without it.
    end: StoredValue<ArcStoredValue<Option<NewStored<Layout>>>>,
    /// What was sent since the server answered last: it may have that.
    unanswered: StoredValue<Vec<NewStored<Layout>>>,
    toasts: Toasts,
}

impl Keeping {
    pub(super) fn new(stored: &Stored<Layout>, path: String) -> Self {
        let known = NewStored { name: stored.name.clone(), value: stored.value.clone() };
        let draft = Draft(stored.id);
        Self {
            name: RwSignal::new(stored.name.clone()),
            state: RwSignal::new(State::Saved),
            left: RwSignal::new(draft.left(&known)),
            version: StoredValue::new(stored.version),
            known: StoredValue::new(known),
            draft,
            path: StoredValue::new(path),
            last: StoredValue::new(0.0),
            not_before: StoredValue::new(0.0),
            end: StoredValue::new(ArcStoredValue::new(None)),
            unanswered: StoredValue::new(Vec::new()),
            toasts: expect_context(),
        }
    }

    /// Gives it the name that is being typed, since the page may be left before that is done; an empty one changes nothing.
    pub(super) fn rename(self, name: &str) {
        let name = name.trim();
        if !name.is_empty() && self.name.with_untracked(|known| known != name) {
            self.name.set(name.to_owned());
        }
    }

    fn learn(self, stored: Stored<Layout>) {
        self.version.set_value(stored.version);
        self.known.set_value(NewStored { name: stored.name, value: stored.value });
    }

    /// Whether the page is still there.
    fn is_here(self) -> bool {
        self.state.try_get_untracked().is_some()
    }
}

/// Saves what is done, for as long as the page is there.
pub(super) fn keep(bench: Bench, keeping: Keeping) {
    Effect::new(move |_| {
        bench.shown.track();
        keeping.name.track();
        keeping.left.track();
        compare(bench, keeping);
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
        if matches!(
            keeping.state.try_get_untracked(),
            Some(State::Failed(_) | State::Conflict | State::Missing | State::Refused)
        ) {
            event.prevent_default();
        }
    });
    on_cleanup(move || {
        [hidden, leaving, asked].into_iter().for_each(WindowListenerHandle::remove);
        leave(bench, keeping);
    });
}

/// Compares what is shown with what the server has, and keeps in the browser what that has not.
fn compare(bench: Bench, keeping: Keeping) {
    let Some(document) = document(bench, &keeping.name.get_untracked()) else { return };
    let differs = keeping.known.with_value(|known| *known != document);
    let state = keeping.state.get_untracked();
    // What an earlier page has left is not written over before a person has chosen.
    if keeping.left.with_untracked(Option::is_none) {
        if differs || state == State::Saving {
            keeping.draft.keep(&document);
        } else {
            keeping.draft.forget();
        }
    }
    if differs && matches!(state, State::Saved | State::Failed(_)) {
        keeping.state.set(State::Unsaved);
    } else if !differs && state == State::Unsaved {
        keeping.state.set(State::Saved);
    }
}

fn save(bench: Bench, keeping: Keeping) {
    if !matches!(keeping.state.try_get_untracked(), Some(State::Unsaved | State::Failed(_))) {
        return;
    }
    let Some(document) = document(bench, &keeping.name.get_untracked()) else { return };
    keeping.state.set(State::Saving);
    let (version, path, end) =
        (keeping.version.get_value(), keeping.path.get_value(), keeping.end.get_value());
    let (draft, toasts, sending) = (keeping.draft, keeping.toasts, Sending::to(&path));
    let unanswered = keeping.unanswered.get_value();
    spawn_local(async move {
        let mut sent = document;
        let mut saved: Answer<Stored<Layout>> = api::put(&path, version, &sent).await;
        if !unanswered.is_empty()
            && saved.as_ref().is_err_and(|error| error.code() == "stale")
            && let Ok(stored) = api::get::<Stored<Layout>>(&path).await
            && unanswered.iter().any(|sent| (&sent.name, &sent.value) == (&stored.name, &stored.value))
        {
            // Nobody else has changed it: it had arrived, and only the answer had not.
            saved = api::put(&path, stored.version, &sent).await;
        }
        keeping.unanswered.try_update_value(|unanswered| match &saved {
            Err(ApiError::Offline) if !unanswered.contains(&sent) => unanswered.push(sent.clone()),
            Err(ApiError::Offline) => {}
            _ => unanswered.clear(),
        });
        let end = end.try_update_value(Option::take).flatten().filter(|end| *end != sent);
        if let (Ok(stored), Some(end)) = (&saved, end) {
            let version = stored.version;
            sent = end;
            saved = api::put(&path, version, &sent).await;
        }
        match &saved {
            Ok(_) => draft.arrived(&sent),
            Err(error) if !keeping.is_here() => complain(toasts, &sent.name, &error.to_string()),
            Err(_) => {}
        }
        if keeping.is_here() {
            answered(bench, keeping, saved);
        }
        drop(sending);
    });
}

fn answered(bench: Bench, keeping: Keeping, saved: Answer<Stored<Layout>>) {
    match saved {
        Ok(stored) => {
            keeping.learn(stored);
            let now = document(bench, &keeping.name.get_untracked());
            let same = now.is_none_or(|now| keeping.known.with_value(|known| *known == now));
            keeping.state.set(if same { State::Saved } else { State::Unsaved });
        }
        Err(error) if error.code() == "stale" => keeping.state.set(State::Conflict),
        Err(error) if error.code() == "missing" => keeping.state.set(State::Missing),
        Err(error) if error.code() == "no_access" => keeping.state.set(State::Refused),
        Err(error) => {
            keeping.not_before.set_value(browser::ticks() + AGAIN);
            keeping.state.set(State::Failed(error.to_string()));
        }
    }
}

/// Another place comes: what is not saved yet is.
fn leave(bench: Bench, keeping: Keeping) {
    let name = keeping.name.get_untracked();
    match keeping.state.get_untracked() {
        State::Saving => keeping.end.with_value(|end| end.set_value(document(bench, &name))),
        State::Conflict => {
            complain(keeping.toasts, &name, "it was changed elsewhere, and you have not chosen");
        }
        State::Refused => {
            complain(keeping.toasts, &name, "your link does not let you change it any more");
        }
        _ => save(bench, keeping),
    }
}

fn complain(toasts: Toasts, name: &str, why: &str) {
    toasts.complain(format!(
        "The layout “{name}” is not saved: {why}. Your changes are kept in this browser; open the layout again to save them."
    ));
}

/// Reads what the server has; none where the page is left meanwhile.
async fn read(keeping: Keeping) -> Option<Answer<Stored<Layout>>> {
    let answer = api::get(&keeping.path.try_get_value()?).await;
    keeping.is_here().then_some(answer)
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

/// What an earlier page did not save takes the place of what is shown; undo brings that back.
pub(super) fn take_left(bench: Bench, keeping: Keeping) {
    if let Some(left) = keeping.left.get_untracked() {
        keeping.left.set(None);
        keeping.name.set(left.name);
        bench.send(Message::Replace(left.value));
    }
}

/// Saves what is shown as a new layout among those at `layouts`, in the place of the one that was deleted; its id.
pub(super) async fn save_anew(bench: Bench, keeping: Keeping, layouts: String) -> Option<Uuid> {
    let document = document(bench, &keeping.name.get_untracked())?;
    let (draft, toasts) = (keeping.draft, keeping.toasts);
    // It is asked for once.
    keeping.state.set(State::Saving);
    match api::post::<Stored<Layout>>(&layouts, &document).await {
        Ok(stored) => {
            draft.forget();
            Some(stored.id)
        }
        Err(error) => {
            toasts.fault(&error);
            keeping.state.try_set(State::Missing);
            None
        }
    }
}
