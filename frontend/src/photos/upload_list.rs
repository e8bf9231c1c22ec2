//! The files on their way to a subject, as the page shows them.

use leptos::prelude::*;
use mudi_domain::subject::SubjectId;

use super::uploads::{State, Upload, Uploads};
use crate::text;
use crate::widgets::{Icon, Sign};

/// The files, each of which can be given up.
#[component]
pub(super) fn UploadList(uploads: Uploads, subject: SubjectId) -> impl IntoView {
    uploads.show(uploads.path(&subject));
    let item = move |upload: Upload| {
        let (name, size) = (upload.name, text::bytes(upload.file.size()));
        let (id, state) = (upload.id, RwSignal::from(upload.state));
        let words = move || match state.get() {
            State::Waiting => "Waits for its turn".to_owned(),
            State::Sending(_, words) => words,
            State::Again(None) => "The connection broke; trying again".to_owned(),
            State::Again(Some(why)) => format!("{why}; trying again"),
            State::Refused(why) => why,
        };
        let refused = Memo::new(move |_| state.with(|state| matches!(state, State::Refused(_))));
        let share = move || match state.get() {
            State::Sending(share, _) => share,
            _ => 0.0,
        };
        // How far it is, nobody wants to be told at each step.
        let told =
            move || if state.with(|state| matches!(state, State::Sending(..))) { "off" } else { "polite" };
        let give_up = move || if refused.get() { "Dismiss" } else { "Cancel" };
        let shown = name.clone();
        view! {
            <li class="upload" class:bad=refused>
                <div class="upload-words">
                    <span class="upload-name">{name.clone()}</span>
                    <span class="quiet small">{size}</span>
                    <span class="small" aria-live=told>{words}</span>
                </div>
                {move || {
                    (!refused.get())
                        .then(|| view! { <progress class="bar" aria-label=format!("Upload of {name}") max="1" prop:value=share></progress> })
                }}
                <button class="button plain square" title=give_up on:click=move |_| uploads.give_up(id)>
                    <Icon sign=Sign::Close />
                    <span class="visually-hidden">{give_up} " " {shown}</span>
                </button>
            </li>
        }
    };
    let path = StoredValue::new(uploads.path(&subject));
    let open = Memo::new(move |_| path.with_value(|path| uploads.open(path)));
    view! {
        <ul class="uploads">
            <For each=move || path.with_value(|path| uploads.to(path)) key=|upload| upload.id children=item />
        </ul>
        {move || {
            let count = open.get();
            (count > 1)
                .then(|| {
                    view! {
                        <button class="button cancel-all" on:click=move |_| path.with_value(|path| uploads.give_up_all(path))>
                            {format!("Cancel all {count}")}
                        </button>
                    }
                })
        }}
    }
}
