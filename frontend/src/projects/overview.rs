//! A project at a glance.

use leptos::prelude::*;

use crate::frame::the_project;
use crate::widgets::PageTitle;

/// A project at a glance.
#[component]
pub(crate) fn Overview() -> impl IntoView {
    let the = the_project();
    let name = Signal::derive(move || the.project.value().map(|project| project.name).unwrap_or_default());
    view! {
        <div class="page">
            <PageTitle text=name />
        </div>
    }
}
