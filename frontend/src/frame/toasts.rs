//! Short messages at the edge of the page, some of which can be undone.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::ApiError;
use crate::browser;
use crate::widgets::{Icon, Sign};

/// How long a message stays, in tenths of a second.
const LASTS: u32 = 70;
/// How long one with a fault stays.
const FAULT_LASTS: u32 = 140;
/// What the browser remembers of faults while the other program is loaded.
const HANDED_OVER: &str = "mudi-faults";

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

/// Where the messages are.
#[component]
pub(crate) fn ToastList() -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let hold = move |held: bool| move |_| toasts.held.set(held);
    view! {
        <div
            class="toasts"
            role="status"
            aria-live="polite"
            on:mouseenter=move |_| toasts.held.set(true)
            on:mouseleave=move |_| toasts.held.set(false)
            on:focusin=move |_| toasts.held.set(true)
            on:focusout=move |_| hold(false)(())
        >
            <For each=move || toasts.list.get() key=|toast| toast.id let:toast>
                <div class="toast" class:bad=toast.bad>
                    <p>{toast.text}</p>
                    {toast
                        .undo
                        .map(|_| {
                            view! {
                                <button class="button" on:click=move |_| toasts.close(toast.id, true)>
                                    "Undo"
                                </button>
                            }
                        })}
                    <button class="button plain square" on:click=move |_| toasts.close(toast.id, false)>
                        <Icon sign=Sign::Close />
                        <span class="visually-hidden">"Dismiss"</span>
                    </button>
                </div>
            </For>
        </div>
    }
}
