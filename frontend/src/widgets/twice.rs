//! A button of what cannot be undone: it asks once more, in its own place.

use leptos::html;
use leptos::prelude::*;

/// The button, and after it was pressed the question.
#[component]
pub(crate) fn Twice(
    /// What the button shows.
    children: ChildrenFn,
    /// What it does, for whoever does not see what it belongs to.
    #[prop(into)]
    label: String,
    /// Further classes of the button.
    #[prop(optional)]
    class: &'static str,
    /// What is asked.
    question: &'static str,
    /// What does it.
    yes: &'static str,
    /// What leaves everything as it is.
    no: &'static str,
    /// Called when it is to be done.
    act: Callback<()>,
) -> impl IntoView {
    let sure = RwSignal::new(false);
    let asked = StoredValue::new(false);
    let (first, keep) = (NodeRef::<html::Button>::new(), NodeRef::<html::Button>::new());
    // The button that had the focus goes; the one in its place gets it, and a second press of the same key does no harm.
    Effect::new(move |_| {
        let shown = if sure.get() { keep.get() } else { first.get() };
        if let Some(button) = shown.filter(|_| asked.get_value()) {
            let _ = button.focus();
        }
    });
    let turn = move |now: bool| {
        asked.set_value(true);
        sure.set(now);
    };
    move || {
        if sure.get() {
            view! {
                <div class="actions" role="group" aria-label=question>
                    <button class="button danger" on:click=move |_| act.run(())>{yes}</button>
                    <button class="button" node_ref=keep on:click=move |_| turn(false)>{no}</button>
                </div>
            }
            .into_any()
        } else {
            view! {
                <button class=format!("button {class}") node_ref=first aria-label=label.clone() on:click=move |_| turn(true)>
                    {children()}
                </button>
            }
            .into_any()
        }
    }
}
