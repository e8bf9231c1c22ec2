//! What else can be done with a photo: its mask found again or taken away, and the photo moved to another subject.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Photo, PhotoChange, SubjectSummary};

use super::subject::Shelf;
use crate::api;
use crate::frame::{Deletions, Toasts, the_project};
use crate::widgets::{Dialog, Icon, Sign};

/// The photo of which more is shown; there is one for the page.
#[derive(Clone, Copy)]
pub(super) struct More {
    photo: RwSignal<Option<Photo>>,
    open: RwSignal<bool>,
}

impl More {
    /// None.
    pub(super) fn new() -> Self {
        Self { photo: RwSignal::new(None), open: RwSignal::new(false) }
    }

    /// Shows what can be done with `photo`.
    pub(super) fn show(self, photo: Photo) {
        self.photo.set(Some(photo));
        self.open.set(true);
    }
}

/// The dialog.
#[component]
pub(super) fn MoreDialog(shelf: Shelf) -> impl IntoView {
    let the = the_project();
    let (toasts, deletions) = (expect_context::<Toasts>(), expect_context::<Deletions>());
    let open = shelf.more.open;
    let button = move |sign: Sign, words: String, act: Box<dyn Fn()>| {
        view! {
            <button
                class="button"
                on:click=move |_| {
                    open.set(false);
                    act();
                }
            >
                <Icon sign />
                {words}
            </button>
        }
    };
    let take_to = move |photo: &Photo, other: &SubjectSummary| {
        let path = the.path_now(&format!("photos/{}", photo.id));
        let change = PhotoChange { caption: None, subject: Some(other.id.clone()) };
        let told = format!("“{}” is now a photo of “{}”.", photo.name, other.name);
        let version = photo.version;
        spawn_local(async move {
            match api::patch::<Photo>(&path, version, &change).await {
                Ok(_) => toasts.say(told),
                Err(error) => toasts.fault(&error),
            }
            shelf.changed.try_run(());
        });
    };
    let body = move || {
        let photo = shelf.more.photo.get()?;
        let mask = photo
            .mask
            .clone()
            .filter(|_| !deletions.hides(&the.path_now(&format!("photos/{}/mask", photo.id))));
        let (find, help) = match mask {
            Some(_) => ("Find the mask again", "The mask that is there stays until another one is found."),
            None => ("Find the mask", "The subject is looked for, and cut out."),
        };
        let wanted = photo.clone();
        let find = button(
            Sign::Brush,
            find.to_owned(),
            Box::new(move || shelf.jobs.ask_again(std::slice::from_ref(&wanted))),
        );
        let whose = photo.clone();
        let remove = mask.map(|tag| {
            let remove = move || {
                let path = the.path_now(&format!("photos/{}/mask", whose.id));
                let told = format!("The mask of “{}” is removed.", whose.name);
                deletions.delete_version(path, Some(tag.clone()), told, shelf.changed);
            };
            button(Sign::Eraser, "Remove the mask".to_owned(), Box::new(remove))
        });
        let others =
            shelf.subjects.value().unwrap_or_default().into_iter().filter(|other| other.id != photo.subject);
        let moves = others.map(|other| {
            let (words, photo) = (format!("Move to “{}”", other.name), photo.clone());
            button(Sign::Next, words, Box::new(move || take_to(&photo, &other)))
        });
        Some(view! {
            <div class="stack more">
                <p class="quiet">{photo.name.clone()}</p>
                {find}
                <p class="help">{help}</p>
                {remove}
                {moves.collect_view()}
            </div>
        })
    };
    view! {
        <Dialog open title="More of this photo">{body}</Dialog>
    }
}
