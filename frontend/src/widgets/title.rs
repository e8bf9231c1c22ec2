//! A page's heading.

use leptos::prelude::*;

use crate::browser;

/// The heading of a page, which is also the window's title, and what the focus goes to when the page is opened.
#[component]
pub(crate) fn PageTitle(
    /// The heading.
    #[prop(into)]
    text: Signal<String>,
) -> impl IntoView {
    Effect::new(move |before: Option<()>| {
        browser::document().set_title(&format!("{} · MuDI Studio", text.get()));
        // A reader of the screen hears where it is; on the first page the focus stays at the top.
        if before.is_none() && browser::document().body().is_some_and(|body| body.class_name() == "opened") {
            browser::focus("h1");
        }
        if let Some(body) = browser::document().body() {
            body.set_class_name("opened");
        }
    });
    view! { <h1 tabindex="-1">{move || text.get()}</h1> }
}
