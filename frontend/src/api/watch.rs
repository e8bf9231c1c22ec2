//! Whether the server answers, and whether somebody is signed in.

use std::cell::Cell;

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// How long the page waits before it asks again whether the server is back, in milliseconds.
const AGAIN: u32 = 1500;

/// What requests have found out. There is one for the page.
#[derive(Clone, Copy)]
pub(crate) struct Connection {
    /// Whether the server did not answer last.
    pub(crate) offline: RwSignal<bool>,
    /// Counts how often the server came back; lists read it to be loaded again.
    pub(crate) returned: RwSignal<u32>,
    /// Counts answers that somebody has to sign in for.
    pub(crate) refused: RwSignal<u32>,
}

thread_local! {
    static CONNECTION: Cell<Option<Connection>> = const { Cell::new(None) };
}

impl Connection {
    /// Makes the page's own, which it provides to its parts.
    pub(crate) fn provide() -> Self {
        let connection =
            Self { offline: RwSignal::new(false), returned: RwSignal::new(0), refused: RwSignal::new(0) };
        CONNECTION.set(Some(connection));
        provide_context(connection);
        connection
    }

    /// No answer came: from now on the page asks until one does.
    pub(super) fn lost() {
        let Some(connection) = CONNECTION.get() else { return };
        if connection.offline.get_untracked() {
            return;
        }
        connection.offline.set(true);
        spawn_local(async move {
            while connection.offline.get_untracked() {
                TimeoutFuture::new(AGAIN).await;
                let answer = gloo_net::http::Request::get("/healthz").send().await;
                if answer.is_ok_and(|answer| answer.ok()) {
                    Self::found();
                }
            }
        });
    }

    /// Something broke that tells no more: asks whether the server is still there.
    pub(super) fn doubt() {
        spawn_local(async {
            match gloo_net::http::Request::get("/healthz").send().await {
                Ok(answer) if answer.ok() => Self::found(),
                _ => Self::lost(),
            }
        });
    }

    /// An answer came.
    pub(super) fn found() {
        let Some(connection) = CONNECTION.get() else { return };
        if connection.offline.get_untracked() {
            connection.offline.set(false);
            connection.returned.update(|times| *times += 1);
        }
    }

    /// The server wants somebody to sign in.
    pub(super) fn signed_out() {
        if let Some(connection) = CONNECTION.get() {
            connection.refused.update(|times| *times += 1);
        }
    }
}
