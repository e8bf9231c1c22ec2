//! Short messages at the edge of the page, some of which can be undone.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use leptos::ev::{self, KeyboardEvent};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::Element;

use crate::api::ApiError;
use crate::browser;
use crate::widgets::{Icon, Sign};

/// How long a message stays, in tenths of a second.
const LASTS: u32 = 70;
/// How long one with a fault stays.
const FAULT_LASTS: u32 = 140;
/// What the browser remembers of faults while another program is loaded.
const HANDED_OVER: &str = "mudi-faults";
/// The button of the newest message that takes back what it tells.
pub(super) const NEWEST_UNDO: &str = ".toast:last-child .undo";
/// What has an undo of its own.
const WRITTEN: &str = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select";

/// What a message does. It is nobody's part of the page: whoever asked for it may be gone when it is pressed.
type Act = Arc<dyn Fn() + Send + Sync>;

/// A message.
#[derive(Clone)]
struct Toast {
    id: u32,
    text: String,
    bad: bool,
    /// Takes back what the message tells.
    undo: Option<Act>,
    /// Called when it goes without having been undone.
    gone: Option<Act>,
}

/// The messages; there is one list for the page.
#[derive(Clone, Copy)]
pub(crate) struct Toasts {
    list: RwSignal<Vec<Toast>>,
    count: StoredValue<u32>,
    /// Whether somebody points at the messages or has the focus there: then they stay.
    held: RwSignal<bool>,
}

impl Toasts {
    /// What the program before has handed over, and else nothing.
    pub(crate) fn provide() -> Self {
        let toasts =
            Self { list: RwSignal::new(Vec::new()), count: StoredValue::new(0), held: RwSignal::new(false) };
        provide_context(toasts);
        let faults: Option<Vec<String>> =
            browser::tab_takes(HANDED_OVER).and_then(|text| serde_json::from_str(&text).ok());
        faults.into_iter().flatten().for_each(|text| toasts.complain(text));
        toasts
    }

    /// Has the program that is loaded next in the place of this one tell the faults that nobody may have read yet.
    pub(crate) fn hand_over(self) {
        let faults: Vec<String> = self.list.with_untracked(|list| {
            list.iter().filter(|toast| toast.bad).map(|toast| toast.text.clone()).collect()
        });
        if !faults.is_empty() {
            // Texts always serialize.
            browser::tab_remembers(HANDED_OVER, &serde_json::to_string(&faults).unwrap_or_default());
        }
    }

    /// Tells that something went well.
    pub(crate) fn say(self, text: impl Into<String>) {
        self.add(text.into(), false, None, None);
    }

    /// Tells of a fault.
    pub(crate) fn fault(self, error: &ApiError) {
        self.add(error.to_string(), true, None, None);
    }

    /// Tells of a fault in words.
    pub(crate) fn complain(self, text: impl Into<String>) {
        self.add(text.into(), true, None, None);
    }

    /// Tells of something that can be undone until the message goes; then `gone` is called.
    pub(crate) fn undoable(
        self,
        text: impl Into<String>,
        undo: impl Fn() + Send + Sync + 'static,
        gone: impl Fn() + Send + Sync + 'static,
    ) {
        self.add(text.into(), false, Some(Arc::new(undo)), Some(Arc::new(gone)));
    }

    /// Has those go that can be undone, as if their time were over.
    pub(super) fn close_undoable(self) {
        let open = self.list.with_untracked(|list| {
            list.iter().filter(|toast| toast.gone.is_some()).map(|toast| toast.id).collect::<Vec<_>>()
        });
        for id in open {
            self.close(id, false);
        }
    }

    fn add(self, text: String, bad: bool, undo: Option<Act>, gone: Option<Act>) {
        self.count.update_value(|count| *count += 1);
        let id = self.count.get_value();
        self.list.update(|list| list.push(Toast { id, text, bad, undo, gone }));
        spawn_local(async move {
            let mut left = if bad { FAULT_LASTS } else { LASTS };
            while left > 0 {
                TimeoutFuture::new(100).await;
                if !self.held.get_untracked() {
                    left -= 1;
                }
            }
            self.close(id, false);
        });
    }

    /// Takes back the newest of what can be taken back; whether there was any.
    fn undo_newest(self) -> bool {
        let newest = self.list.with_untracked(|list| {
            list.iter().rev().find(|toast| toast.undo.is_some()).map(|toast| toast.id)
        });
        newest.inspect(|id| self.press(*id, true)).is_some()
    }

    /// Closes one whose button was pressed. The button is gone with it, so it is looked anew whether the others are held.
    fn press(self, id: u32, undone: bool) {
        self.close(id, undone);
        spawn_local(async move {
            TimeoutFuture::new(0).await;
            let within = browser::document().query_selector(".toasts:is(:hover, :focus-within) .toast");
            self.held.set(within.is_ok_and(|found| found.is_some()));
            if browser::focused().is_none() {
                browser::focus("#main");
            }
        });
    }

    fn close(self, id: u32, undone: bool) {
        let mut found = None;
        self.list.update(|list| {
            if let Some(place) = list.iter().position(|toast| toast.id == id) {
                found = Some(list.remove(place));
            }
            if list.is_empty() {
                self.held.set(false);
            }
        });
        let Some(toast) = found else { return };
        let call = if undone { toast.undo } else { toast.gone };
        if let Some(call) = call {
            call();
        }
    }
}

/// Whether somebody asks for the newest message's undo: with the keys that undo in fields too, outside of them. The editors, whose keys these are
/// as well, are in another program, in which nothing is deleted this way.
fn takes_back(event: &KeyboardEvent) -> bool {
    let keys = (event.ctrl_key() || event.meta_key()) && !event.shift_key() && !event.alt_key();
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let written = target.is_some_and(|target| target.closest(WRITTEN).is_ok_and(|found| found.is_some()));
    keys && browser::key(event).eq_ignore_ascii_case("z") && !written
}

/// Where the messages are.
#[component]
pub(crate) fn ToastList() -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let keys = window_event_listener(ev::keydown, move |event| {
        if takes_back(&event) && toasts.undo_newest() {
            event.prevent_default();
        }
    });
    on_cleanup(move || keys.remove());
    view! {
        <div
            class="toasts"
            role="status"
            aria-live="polite"
            on:mouseenter=move |_| toasts.held.set(true)
            on:mouseleave=move |_| toasts.held.set(false)
            on:focusin=move |_| toasts.held.set(true)
            on:focusout=move |_| toasts.held.set(false)
        >
            <For each=move || toasts.list.get() key=|toast| toast.id let:toast>
                <div class="toast" class:bad=toast.bad>
                    <p>{toast.text}</p>
                    {toast
                        .undo
                        .map(|_| {
                            view! {
                                <button
                                    class="button undo"
                                    aria-keyshortcuts="Control+Z Meta+Z"
                                    on:click=move |_| toasts.press(toast.id, true)
                                >
                                    "Undo"
                                </button>
                            }
                        })}
                    <button class="button plain square" on:click=move |_| toasts.press(toast.id, false)>
                        <Icon sign=Sign::Close />
                        <span class="visually-hidden">"Dismiss"</span>
                    </button>
                </div>
            </For>
        </div>
    }
}
