//! What can be chosen from a list.

use leptos::prelude::*;
use mudi_domain::aspect::Aspect;

use crate::text;

/// An option that is chosen while `now` is its `key`.
pub(crate) fn option(now: Signal<String>, key: &str, name: String) -> AnyView {
    let (value, key) = (key.to_owned(), key.to_owned());
    view! { <option value=value prop:selected=move || now.with(|now| *now == key)>{name}</option> }.into_any()
}

/// A field of options; `set` is told the key of the one that is chosen.
pub(crate) fn choice(
    id: &'static str,
    label: &'static str,
    options: Vec<AnyView>,
    set: Callback<String>,
) -> AnyView {
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <select id=id on:change=move |event| set.run(event_target_value(&event))>{options}</select>
        </div>
    }
    .into_any()
}

/// All proportions of pictures; `now` is how the one is written that is chosen.
pub(crate) fn shapes(now: Signal<String>) -> Vec<AnyView> {
    Aspect::ALL.into_iter().map(|aspect| option(now, aspect.word(), text::shape(aspect))).collect()
}
