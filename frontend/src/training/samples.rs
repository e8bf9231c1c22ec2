//! What the model draws on the way, side by side.

use leptos::prelude::*;
use mudi_domain::api::Samples;
use uuid::Uuid;

use crate::api::Loaded;
use crate::frame::the_project;
use crate::widgets::Dialog;

/// The sheets of a run, oldest at the left.
#[component]
pub(super) fn SampleStrip(run: Uuid, samples: Loaded<Vec<Samples>>, prompts: Vec<String>) -> impl IntoView {
    let the = the_project();
    let (open, large) = (RwSignal::new(false), RwSignal::new(0_u64));
    let source = move |step: u64| the.path_now(&format!("runs/{run}/samples/{step}"));
    let sheet = move |Samples { step }: Samples| {
        view! {
            <li>
                <button class="sheet" on:click=move |_| { large.set(step); open.set(true); }>
                    <img src=source(step) alt=format!("Samples after {step} steps") loading="lazy" />
                    <span class="small">{format!("Step {step}")}</span>
                </button>
            </li>
        }
    };
    view! {
        <section class="card stack" aria-labelledby="samples">
            <h2 id="samples">"Samples on the way"</h2>
            <p class="quiet small">{prompts.join(" · ")}</p>
            {move || {
                let none = samples.value().unwrap_or_default().is_empty();
                none.then(|| view! { <p class="quiet">"The first ones are drawn when so many steps are made."</p> })
            }}
            <ul class="sheets">
                <For each=move || samples.value().unwrap_or_default() key=|sample| sample.step children=sheet />
            </ul>
            <Dialog open=open title="Samples" wide=true>
                <figure class="stack">
                    <img class="enlarged" src=source(large.get()) alt=format!("Samples after {} steps", large.get()) />
                    <figcaption class="quiet">{format!("After {} steps. Each row is a prompt, each column a seed.", large.get())}</figcaption>
                </figure>
            </Dialog>
        </section>
    }
}
