//! A button that asks for a zip file and sends it.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::de::DeserializeOwned;

use super::{Icon, Sign};
use crate::api;
use crate::frame::Toasts;

/// Sends the file that is chosen to the API, and says how far it is.
#[component]
pub(crate) fn ZipButton<T: DeserializeOwned + 'static>(
    /// What the button says.
    words: &'static str,
    /// Where the file goes.
    #[prop(into)]
    path: Signal<String>,
    /// Told what the server answers.
    sent: Callback<T>,
) -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let input = NodeRef::<html::Input>::new();
    let share = RwSignal::new(None::<f64>);
    let choose = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let file = input.files().and_then(|files| files.get(0));
        // The same file can be chosen again.
        input.set_value("");
        let Some(file) = file else { return };
        share.set(Some(0.0));
        let path = path.get_untracked();
        spawn_local(async move {
            let progress = move |sent| {
                share.try_set(Some(sent));
            };
            let answer = api::upload::<T>(&path, &file, &api::Sent::default(), progress).await;
            share.try_set(None);
            match answer {
                Ok((_, value)) => drop(sent.try_run(value)),
                Err(error) => toasts.fault(&error),
            }
        });
    };
    let said = move || match share.get() {
        None => words.to_owned(),
        Some(share) if share >= 1.0 => "Being looked at…".to_owned(),
        Some(share) => format!("Sending, {:.0} %", share * 100.0),
    };
    view! {
        <input
            type="file"
            accept=".zip,application/zip"
            hidden
            aria-label=words
            node_ref=input
            on:change=choose
        />
        <button
            type="button"
            class="button"
            disabled=move || share.get().is_some()
            on:click=move |_| {
                if let Some(input) = input.get_untracked() {
                    input.click();
                }
            }
        >
            <Icon sign=Sign::Upload />
            <span aria-live="polite">{said}</span>
        </button>
    }
}
