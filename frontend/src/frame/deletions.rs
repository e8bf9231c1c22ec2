//! Deleting with a way back: what is deleted disappears at once, and the server is told when the message goes.
//!
//! Until then it is on the server, so that undoing restores every byte. Where the page is closed before, the server is
//! told while it closes; where the browser dies, nothing was deleted.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use send_wrapper::SendWrapper;
use web_sys::HtmlElement;

use super::Toasts;
use super::toasts::NEWEST_UNDO;
use crate::api::{self, Connection};
use crate::browser;

/// How often it is looked whether the server has deleted everything, in milliseconds.
const BEAT: u32 = 50;
/// How long lists have to be read anew before what is deleted would be seen in them again, in milliseconds.
const LISTED: u32 = 2000;

/// What is being deleted; there is one list for the page.
#[derive(Clone, Copy)]
pub(crate) struct Deletions {
    /// Paths that are shown no more.
    hidden: RwSignal<Vec<String>>,
    /// Those of them that are still to be deleted, and which version of each, where only that may be.
    pending: StoredValue<Vec<(String, Option<String>)>>,
    /// Counts what the server did not delete.
    failed: StoredValue<u32>,
    /// Has lists read anew.
    returned: RwSignal<u32>,
    toasts: Toasts,
}

impl Deletions {
    /// Nothing is being deleted.
    pub(crate) fn provide() {
        let deletions = Self {
            hidden: RwSignal::new(Vec::new()),
            pending: StoredValue::new(Vec::new()),
            failed: StoredValue::new(0),
            returned: expect_context::<Connection>().returned,
            toasts: expect_context(),
        };
        provide_context(deletions);
        let leaving = window_event_listener(ev::Custom::<web_sys::Event>::new("pagehide"), move |_| {
            for (path, tag) in deletions.pending.get_value() {
                last_words(&path, tag.as_deref());
            }
        });
        on_cleanup(move || leaving.remove());
    }

    /// Whether `path` is to be shown no more.
    pub(crate) fn hides(self, path: &str) -> bool {
        self.hidden.with(|hidden| hidden.iter().any(|hidden| hidden == path))
    }

    /// Deletes `path` unless it is undone; `then` is called afterwards. Where the part of the page that owns it is gone, all lists are
    /// read anew instead: it may be there once more.
    pub(crate) fn delete(self, path: String, text: impl Into<String>, then: Callback<()>) {
        self.delete_version(path, None, text, then);
    }

    /// The same of what has the `ETag` `tag`, without quotes: what somebody changes until then stays.
    pub(crate) fn delete_version(
        self,
        path: String,
        tag: Option<String>,
        text: impl Into<String>,
        then: Callback<()>,
    ) {
        self.delete_these(vec![(path, tag)], text, Arc::new(move || then.try_run(()).is_some()));
    }

    /// The same of all of `paths` together; `then` says whether the part of the page is there still.
    pub(crate) fn delete_all(
        self,
        paths: Vec<String>,
        text: impl Into<String>,
        then: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        self.delete_these(paths.into_iter().map(|path| (path, None)).collect(), text, Arc::new(then));
    }

    fn delete_these(
        self,
        mut these: Vec<(String, Option<String>)>,
        text: impl Into<String>,
        then: Arc<dyn Fn() -> bool + Send + Sync>,
    ) {
        these.retain(|(path, _)| !untrack(|| self.hides(path)));
        if these.is_empty() {
            return;
        }
        let before = browser::focused();
        // Whoever points elsewhere by mouse is not kept at the message, which stays while it has the focus.
        let by_key = before.as_ref().is_some_and(|focused| focused.matches(":focus-visible") == Ok(true));
        self.hidden.update(|hidden| hidden.extend(these.iter().map(|(path, _)| path.clone())));
        self.pending.update_value(|pending| pending.extend(these.iter().cloned()));
        let (restored, before) = (these.clone(), SendWrapper::new(before));
        let undo = move || {
            self.forget(&restored);
            self.show(&restored);
            refocus((*before).clone());
        };
        let gone = move || {
            let (these, then) = (these.clone(), then.clone());
            spawn_local(async move {
                let mut fault = None;
                for (path, tag) in &these {
                    if let Err(error) = api::delete_version(path, tag.as_deref()).await {
                        self.failed.update_value(|failed| *failed += 1);
                        fault = Some(error);
                    }
                }
                self.forget(&these);
                if !then() {
                    self.returned.update(|times| *times += 1);
                }
                match fault {
                    Some(error) => self.toasts.fault(&error),
                    None => TimeoutFuture::new(LISTED).await,
                }
                self.show(&these);
            });
        };
        self.toasts.undoable(text, undo, gone);
        if by_key {
            to_undo();
        }
    }

    /// Has everything deleted now: what is begun next works with what is on the server. Whether all is gone.
    pub(crate) async fn settle(self) -> bool {
        let before = self.failed.get_value();
        self.toasts.close_undoable();
        while !self.pending.with_value(Vec::is_empty) {
            TimeoutFuture::new(BEAT).await;
        }
        self.failed.get_value() == before
    }

    /// Nothing more is to be done about these.
    fn forget(self, these: &[(String, Option<String>)]) {
        self.pending.update_value(|pending| pending.retain(|one| !these.contains(one)));
    }

    /// Shows these again, where they are in lists.
    fn show(self, these: &[(String, Option<String>)]) {
        self.hidden.update(|hidden| hidden.retain(|hidden| !these.iter().any(|(path, _)| hidden == path)));
    }
}

/// Puts the focus on the newest message's undo, where what had it goes. The messages are last in the page, and gone long before one
/// is there by Tab.
fn to_undo() {
    spawn_local(async move {
        TimeoutFuture::new(0).await;
        if browser::focused().is_none() {
            browser::focus(NEWEST_UNDO);
        }
    });
}

/// Gives the focus back to what had it, where nothing else has it now.
fn refocus(before: Option<HtmlElement>) {
    spawn_local(async move {
        TimeoutFuture::new(0).await;
        if let (Some(before), None) = (before, browser::focused()) {
            // What refuses it is not there any more.
            let _ = before.focus();
        }
    });
}

/// Deletes `path` by a request that outlives the page.
fn last_words(path: &str, tag: Option<&str>) {
    let options = api::outliving();
    options.set_method("DELETE");
    if let (Some(tag), Ok(headers)) = (tag, web_sys::Headers::new()) {
        // Where it is not said which version goes, the server deletes nothing.
        let _ = headers.set("If-Match", &format!("\"{tag}\""));
        options.set_headers(&headers);
    }
    // Nobody is there any more to hear the answer.
    let _ = browser::window().fetch_with_str_and_init(path, &options);
}
