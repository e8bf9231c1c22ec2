//! Two pictures, one over the other, with a slider between them.

use leptos::prelude::*;
use mudi_domain::api::Image;

use super::gallery::{described, picture_path};
use crate::frame::the_project;

/// The first at the left of the slider, the second at the right.
#[component]
pub(super) fn Compare(first: Image, second: Image) -> impl IntoView {
    let the = the_project();
    let project = the.id.get_untracked();
    let split = RwSignal::new(50_u32);
    let words = (described(&first), described(&second));
    let shape = format!("{} / {}", first.width, first.height);
    view! {
        <div class="stack">
            <div class="compare" style=("--split", move || format!("{}%", split.get())) style=("--shape", shape)>
                <img src=picture_path(project, &second) alt=format!("Right: {}", words.1) />
                <img class="over" src=picture_path(project, &first) alt=format!("Left: {}", words.0) />
                <span class="compare-line" aria-hidden="true"></span>
                <input
                    type="range"
                    min="0"
                    max="100"
                    aria-label="Where the left picture ends"
                    prop:value=move || split.get().to_string()
                    on:input=move |event| split.set(event_target_value(&event).parse().unwrap_or(50))
                />
            </div>
            <div class="compare-words small quiet">
                <span>{words.0}</span>
                <span>{words.1}</span>
            </div>
        </div>
    }
}
