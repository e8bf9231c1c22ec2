//! What stands where there is nothing yet, nothing at all, or a fault.

use leptos::prelude::*;

use crate::api::{ApiError, Loaded};

/// Something is on its way.
#[component]
pub(crate) fn Waiting(
    /// What it is, for those who may wait long.
    #[prop(optional)]
    what: &'static str,
) -> impl IntoView {
    let (class, words) = if what.is_empty() { ("visually-hidden", "Loading") } else { ("quiet", what) };
    view! {
        <div class="waiting" role="status">
            <p class=class>{words}</p>
            <div class="shimmer" aria-hidden="true"></div>
            <div class="shimmer" aria-hidden="true"></div>
            <div class="shimmer" aria-hidden="true"></div>
        </div>
    }
}

/// A fault, and what can be done.
#[component]
pub(crate) fn Failed(
    /// The fault.
    error: ApiError,
    /// Tries again.
    #[prop(into)]
    again: Callback<()>,
) -> impl IntoView {
    view! {
        <div class="notice bad" role="alert">
            <p>{error.to_string()}</p>
            <button class="button" on:click=move |_| again.run(())>"Try again"</button>
        </div>
    }
}

/// Why the last save of an editor has failed, in whole: its header has no room for that. It lies over the canvas, lets through whatever
/// is drawn there, and moves nothing.
#[component]
pub(crate) fn SaveFault(
    /// None where it has not.
    why: Signal<Option<String>>,
) -> impl IntoView {
    // Whoever does not see the page has it from the header.
    move || {
        why.get().map(|why| {
            view! {
                <div class="save-fault notice bad" aria-hidden="true">
                    <p>"Not saved: " {why} ". It is tried again every few seconds; until then your work is kept in this browser."</p>
                </div>
            }
        })
    }
}

/// There is nothing, and how to change that.
#[component]
pub(crate) fn Empty(
    /// What is missing.
    #[prop(into)]
    title: String,
    /// What to do.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="empty">
            <h2>{title}</h2>
            {children()}
        </div>
    }
}

/// What `view` makes of a loaded value, and what stands in its place before and without it.
pub(crate) fn shown<T, V>(loaded: Loaded<T>, view: impl Fn(T) -> V + Send + Sync + 'static) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    V: IntoView + 'static,
{
    shown_after("", loaded, view)
}

/// The same, where it is told meanwhile `what` is loaded.
pub(crate) fn shown_after<T, V>(
    what: &'static str,
    loaded: Loaded<T>,
    view: impl Fn(T) -> V + Send + Sync + 'static,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let (count, view) = (StoredValue::new(0_u32), StoredValue::new(view));
    // Each value is shown from scratch: what an earlier one was shown by may hold signals that are gone.
    let answers = move || {
        let answer = loaded.answer();
        count.update_value(|count| *count += 1);
        std::iter::once((count.get_value(), answer))
    };
    let show = move |(_, answer): (u32, Option<Result<T, ApiError>>)| match answer {
        None => view! { <Waiting what /> }.into_any(),
        Some(Err(error)) => view! { <Failed error again=move |()| loaded.reload() /> }.into_any(),
        Some(Ok(value)) => view.with_value(|view| view(value)).into_any(),
    };
    view! { <For each=answers key=|(count, _)| *count children=show /> }
}
