//! What a run would need, said before it is started.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Forecast, Proposal};

use super::field::Texts;
use crate::api::{self, ApiError};
use crate::frame::the_project;
use crate::text;

/// How long nothing must change before the server is asked, in milliseconds.
const CALM: u32 = 350;

/// Memory and time of a run with the base and the parameters that the form shows.
#[component]
pub(super) fn Outlook(base: RwSignal<String>, texts: Texts) -> impl IntoView {
    let the = the_project();
    let forecast = RwSignal::new(None::<Forecast>);
    let asked = StoredValue::new(0_u32);
    Effect::new(move |_| {
        let base = base.get();
        let recipe = texts.recipe();
        let number = asked.get_value() + 1;
        asked.set_value(number);
        // What is no recipe has its fault beside the field.
        let Ok(recipe) = recipe else { return forecast.set(None) };
        spawn_local(async move {
            TimeoutFuture::new(CALM).await;
            let still = move || asked.try_get_value() == Some(number);
            if !still() {
                return;
            }
            let found: Result<Forecast, ApiError> =
                api::post(&the.path_now("forecast"), &Proposal { base, recipe }).await;
            if still() {
                // Without an answer the form works all the same; the run itself is checked again when it begins.
                forecast.try_set(found.ok());
            }
        });
    });
    let notes =
        move || forecast.with(|known| known.as_ref().map(|known| known.notes.clone())).unwrap_or_default();
    let refused = move || forecast.with(|known| known.as_ref().and_then(|known| known.refusal.clone()));
    view! {
        <div class="stack" role="status">
            <p class="quiet small">{move || forecast.with(|known| known.as_ref().map(words))}</p>
            {move || notes().into_iter().map(|note| view! { <p class="notice warns small">{note}</p> }).collect_view()}
            {move || refused().map(|why| view! { <div class="notice bad"><p>{why}</p></div> })}
        </div>
    }
}

fn words(forecast: &Forecast) -> String {
    let memory = match forecast.available {
        Some(free) => format!(
            "Needs about {} of memory; {} are free. ",
            text::bytes(forecast.memory as f64),
            text::bytes(free as f64)
        ),
        None => format!("Needs about {} of memory. ", text::bytes(forecast.memory as f64)),
    };
    match forecast.seconds {
        Some(seconds) => format!("{memory}Takes about {}, by earlier runs.", text::duration(seconds)),
        None => format!("{memory}How long it takes is known once a run on this base was done."),
    }
}
