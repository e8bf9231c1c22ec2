//! Deleting with a way back: what is deleted disappears at once, and the server is told when the message goes.
//!
//! Until then it is on the server, so that undoing restores every byte. Where the page is closed before, the server is
//! told while it closes; where the browser dies, nothing was deleted.

use gloo_timers::future::TimeoutFuture;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::Toasts;
use crate::api;
use crate::browser;

/// How often it is looked whether the server has deleted everything, in milliseconds.
const BEAT: u32 = 50;

/// What is being deleted; there is one list for the page.
#[derive(Clone, Copy)]
pub(crate) struct Deletions {
    /// Paths that are hidden and still to be deleted.
    pending: RwSignal<Vec<String>>,
    /// Counts what the server did not delete.
    failed: StoredValue<u32>,
    toasts: Toasts,
}

impl Deletions {
    /// Nothing is being deleted.
    pub(crate) fn provide() {
        let deletions = Self {
            pending: RwSignal::new(Vec::new()),
            failed: StoredValue::new(0),
            toasts: expect_context(),
        };
        provide_context(deletions);
        let leaving = window_event_listener(ev::Custom::<web_sys::Event>::new("pagehide"), move |_| {
            for path in deletions.pending.get_untracked() {
                last_words(&path);
            }
        });
        on_cleanup(move || leaving.remove());
    }

    /// Whether `path` is to be shown no more.
    pub(crate) fn hides(self, path: &str) -> bool {
        self.pending.with(|pending| pending.iter().any(|hidden| hidden == path))
    }

    /// Deletes `path` unless it is undone; `then` is called afterwards, where the part of the page that owns it is still there.
    pub(crate) fn delete(self, path: String, text: impl Into<String>, then: Callback<()>) {
        if self.pending.with_untracked(|pending| pending.contains(&path)) {
            return;
        }
        self.pending.update(|pending| pending.push(path.clone()));
        let restored = path.clone();
        let undo = move || self.forget(&restored);
        let gone = move || {
            let path = path.clone();
            spawn_local(async move {
                if let Err(error) = api::delete(&path).await {
                    self.failed.update_value(|failed| *failed += 1);
                    self.toasts.fault(&error);
                }
                then.try_run(());
                self.forget(&path);
            });
        };
        self.toasts.undoable(text, undo, gone);
    }

    /// Has everything deleted now: what is begun next works with what is on the server. Whether all is gone.
    pub(crate) async fn settle(self) -> bool {
        let before = self.failed.get_value();
        self.toasts.close_undoable();
        while !self.pending.with_untracked(Vec::is_empty) {
            TimeoutFuture::new(BEAT).await;
        }
        self.failed.get_value() == before
    }

    fn forget(self, path: &str) {
        self.pending.update(|pending| pending.retain(|hidden| hidden != path));
    }
}

/// Deletes `path` by a request that outlives the page.
fn last_words(path: &str) {
    let options = api::outliving();
    options.set_method("DELETE");
    // Nobody is there any more to hear the answer.
    let _ = browser::window().fetch_with_str_and_init(path, &options);
}
