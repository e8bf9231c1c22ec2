//! Dialogs, made of the browser's own, which holds the focus and closes on Escape.

use leptos::html;
use leptos::prelude::*;

use super::{Icon, Sign};

/// A dialog that is there while `open` is.
#[component]
pub(crate) fn Dialog(
    /// Whether it is open.
    open: RwSignal<bool>,
    /// Its heading.
    #[prop(into)]
    title: String,
    /// Whether it takes the whole window.
    #[prop(optional)]
    wide: bool,
    /// What it holds, made anew each time.
    children: ChildrenFn,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let Some(element) = dialog.get() else { return };
        // A dialog that is open already stays so.
        match (open.get(), element.open()) {
            (true, false) => drop(element.show_modal()),
            (false, true) => element.close(),
            _ => {}
        }
    });
    let name = title.clone();
    view! {
        <dialog
            node_ref=dialog
            class=("wide", wide)
            aria-label=name
            on:close=move |_| {
                // It is told some moments later: what was opened again meanwhile stays.
                if dialog.try_get_untracked().flatten().is_some_and(|element| !element.open()) {
                    open.set(false);
                }
            }
        >
            {move || {
                let title = title.clone();
                let children = children.clone();
                open.get()
                    .then(move || {
                        view! {
                            <div class="dialog-head">
                                <h2>{title}</h2>
                                <button class="button plain square" on:click=move |_| open.set(false)>
                                    <Icon sign=Sign::Close />
                                    <span class="visually-hidden">"Close"</span>
                                </button>
                            </div>
                            {children()}
                        }
                    })
            }}
        </dialog>
    }
}
