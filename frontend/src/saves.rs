//! What is on its way to the server. A browser ends the requests of a page that goes, so while there is any the page stays:
//! another program is loaded once all of it has arrived, and the browser asks before it closes the page.

use std::cell::RefCell;

use gloo_timers::future::TimeoutFuture;
use leptos::ev;
use leptos::prelude::*;

/// How often it is looked whether something has arrived, in milliseconds.
const BEAT: u32 = 20;

thread_local! {
    /// The paths of the API to which something is on its way.
    static ON_THE_WAY: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Something on its way: until this is dropped it has neither arrived nor failed.
pub(crate) struct Sending(String);

impl Sending {
    /// To `path`.
    pub(crate) fn to(path: &str) -> Self {
        ON_THE_WAY.with_borrow_mut(|paths| paths.push(path.to_owned()));
        Self(path.to_owned())
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        ON_THE_WAY.with_borrow_mut(|paths| {
            if let Some(place) = paths.iter().position(|path| *path == self.0) {
                paths.swap_remove(place);
            }
        });
    }
}

/// Whether anything is on its way.
pub(crate) fn any() -> bool {
    ON_THE_WAY.with_borrow(|paths| !paths.is_empty())
}

/// Waits until nothing is on its way to `path`.
pub(crate) async fn arrived(path: &str) {
    while ON_THE_WAY.with_borrow(|paths| paths.iter().any(|other| other == path)) {
        TimeoutFuture::new(BEAT).await;
    }
}

/// Waits until nothing is on its way at all.
pub(crate) async fn all_arrived() {
    while any() {
        TimeoutFuture::new(BEAT).await;
    }
}

/// Has the browser ask before it closes the page while anything is on its way.
pub(crate) fn guard() {
    let asked = window_event_listener(ev::beforeunload, |event| {
        if any() {
            event.prevent_default();
        }
    });
    on_cleanup(move || asked.remove());
}
