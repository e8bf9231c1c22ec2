//! A sheet of keys.

use leptos::prelude::*;
use mudi_editor::Shortcut;

/// What each key does.
#[component]
pub(crate) fn Sheet(lines: &'static [Shortcut]) -> impl IntoView {
    let lines = lines
        .iter()
        .map(|line| {
            view! {
                <div>
                    <dt><kbd>{line.keys}</kbd></dt>
                    <dd>{line.does}</dd>
                </div>
            }
        })
        .collect_view();
    view! { <dl class="keys">{lines}</dl> }
}
