//! What the model is shown just now: photos, and collages of the cut-out subjects.

use leptos::prelude::*;
use mudi_domain::api::Seen;
use uuid::Uuid;

use crate::api::Loaded;
use crate::frame::the_project;

/// The pictures of one of the latest steps.
#[component]
pub(super) fn SeenNow(run: Uuid, seen: Loaded<Seen>) -> impl IntoView {
    let the = the_project();
    let sheet = move |Seen { step, captions }: Seen| {
        let source = the.path_now(&format!("runs/{run}/seen/{step}"));
        let words = captions.join(" · ");
        view! {
            <figure class="stack">
                <img class="seen-now" src=source alt=format!("What the model saw in step {step}: {words}") />
                <figcaption class="quiet small">{format!("Step {step}: {words}")}</figcaption>
            </figure>
        }
    };
    view! {
        {move || {
            seen.value()
                .filter(|seen| seen.step > 0)
                .map(|seen| {
                    view! {
                        <section class="card stack" aria-labelledby="seen">
                            <h2 id="seen">"What the model sees"</h2>
                            {sheet(seen)}
                        </section>
                    }
                })
        }}
    }
}
