//! A button that asks for a zip file and sends it.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::{Icon, Sign};
use crate::api;
use crate::frame::Toasts;
use crate::saves::Sending;

/// Sends the file that is chosen to the API, and says how far it is.
#[component]
pub(crate) fn ZipButton(
    /// What the button says.
    words: &'static str,
    /// Where the file goes.
    #[prop(into)]
    path: Signal<String>,
    /// Gets the server's answer. Its text, as it came: every type would bring a copy of all this otherwise.
    sent: Callback<String>,
) -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let input = NodeRef::<html::Input>::new();
    let said = RwSignal::new(None::<String>);
    let choose = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let file = input.files().and_then(|files| files.get(0));
        // The same file can be chosen again.
        input.set_value("");
        let Some(file) = file else { return };
        said.set(Some("Sending…".to_owned()));
        // Whoever does not see the button hears of it.
        toasts.say("The file is being sent.");
        let path = path.get_untracked();
        // Another program would end it.
        let sending = Sending::to(&path);
        spawn_local(async move {
            let progress = Box::new(move |_, words| drop(said.try_set(Some(words))));
            let answer = api::upload_text(&path, &file, &api::Sent::default(), progress).await;
            drop(sending);
            said.try_set(None);
            match answer {
                Ok((_, text)) => drop(sent.try_run(text)),
                Err(error) => toasts.fault(&error),
            }
        });
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
            on:click=move |_| {
                if let Some(input) = input.get_untracked().filter(|_| said.with_untracked(Option::is_none)) {
                    input.click();
                }
            }
        >
            <Icon sign=Sign::Upload />
            <span>{move || said.get().unwrap_or_else(|| words.to_owned())}</span>
        </button>
    }
}
