//! A box over an editor: a person has to decide before anything more is saved.

use leptos::prelude::*;

use crate::browser;

/// What has happened (`what`, of which `more` is known), and in the children the buttons that settle it.
#[component]
pub(crate) fn Decision(
    label: &'static str,
    what: &'static str,
    more: &'static str,
    children: Children,
) -> impl IntoView {
    // It is the box that gets the focus: a key that was meant for the canvas shall choose nothing.
    browser::focus_soon(".decision");
    view! {
        <div class="decision notice warns" role="alertdialog" tabindex="-1" aria-label=label>
            <p>
                <strong>{what}</strong>
                " "
                {more}
            </p>
            <div class="actions">{children()}</div>
        </div>
    }
}
