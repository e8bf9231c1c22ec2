//! The layouts of a project.

use leptos::prelude::*;

use crate::widgets::PageTitle;

/// The layouts of a project.
#[component]
pub(crate) fn LayoutList() -> impl IntoView {
    view! {
        <div class="page">
            <PageTitle text="Layouts" />
        </div>
    }
}
