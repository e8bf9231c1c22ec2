//! A subject: its name, its photos, and the ways in which further ones come in.

use leptos::html;
use leptos::prelude::*;
use mudi_domain::api::{Access, Photo, SubjectSummary};
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, HtmlInputElement};

use super::card::PhotoCard;
use super::color;
use super::masks::{FindAgain, MaskJobs};
use super::more::More;
use super::name::NameForm;
use super::upload_list::UploadList;
use super::uploads::{Uploads, carries_files};
use crate::api::Loaded;
use crate::browser;
use crate::frame::{Deletions, the_project};
use crate::text;
use crate::widgets::{Dialog, Icon, Sign};

/// What the parts of the page share.
#[derive(Clone, Copy)]
pub(super) struct Shelf {
    pub(super) subjects: Loaded<Vec<SubjectSummary>>,
    pub(super) photos: Loaded<Vec<Photo>>,
    pub(super) uploads: Uploads,
    pub(super) jobs: MaskJobs,
    pub(super) more: More,
    /// Reads both lists anew.
    pub(super) changed: Callback<()>,
}

/// A subject with its photos; `place` is its place among the subjects.
#[component]
pub(super) fn SubjectSection(subject: SubjectSummary, place: usize, shelf: Shelf) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let may_edit = the.allows(Access::Editor);
    let renaming = RwSignal::new(false);
    let finding = RwSignal::new(false);
    let over = RwSignal::new(false);
    let (identifier, class) = subject.name.split_once(' ').unwrap_or((subject.name.as_str(), ""));
    let (identifier, class) = (identifier.to_owned(), class.to_owned());
    let id = StoredValue::new(subject.id.clone());
    let path = the.path_now(&format!("subjects/{}", subject.id));
    let hidden = path.clone();
    // The page's own: this section is made anew when its place or its name changes.
    let reload = shelf.changed;
    let remove = {
        let name = subject.name.clone();
        move |_| deletions.delete(path.clone(), format!("“{name}” and its photos are deleted."), reload)
    };
    let photos = Memo::new(move |_| {
        let all = shelf.photos.value().unwrap_or_default();
        all.into_iter().filter(|photo| id.with_value(|id| photo.subject == *id)).collect::<Vec<_>>()
    });
    // While a photo goes it is shown as it was last.
    let latest = move |first: Photo| {
        Memo::new(move |last: Option<&Photo>| {
            let now = photos.with(|photos| photos.iter().find(|photo| photo.id == first.id).cloned());
            now.or_else(|| last.cloned()).unwrap_or_else(|| first.clone())
        })
    };
    let count = move || {
        let (all, masks) =
            photos.with(|photos| (photos.len(), photos.iter().filter(|photo| photo.is_masked()).count()));
        match all - masks {
            0 => text::count(all, "photo"),
            missing => format!("{}, {missing} without a mask", text::count(all, "photo")),
        }
    };
    let take = move |files: Option<web_sys::FileList>| {
        if let Some(files) = files {
            id.with_value(|id| shelf.uploads.add(id, &files));
        }
    };
    let dropped = move |event: DragEvent| {
        // Text goes where it is dropped.
        if !carries_files(&event) {
            return;
        }
        // Otherwise the browser would open the file in the place of the page.
        event.prevent_default();
        over.set(false);
        if may_edit {
            take(event.data_transfer().and_then(|data| data.files()));
        }
    };
    let dragged = move |event: DragEvent| {
        if carries_files(&event) {
            event.prevent_default();
            over.set(may_edit);
        }
    };
    let heading = StoredValue::new(format!("subject-{}", subject.id));
    let name = StoredValue::new(subject.name.clone());
    let known = StoredValue::new(subject.clone());
    let tools = may_edit.then(|| {
        let label = |what: &str| format!("{what} “{}”", subject.name);
        view! {
            <button
                class="button plain square"
                title="Find all masks again"
                aria-label=label("Find all masks again of")
                aria-haspopup="dialog"
                hidden=move || photos.with(|photos| photos.iter().all(|photo| photo.mask.is_none()))
                on:click=move |_| finding.set(true)
            >
                <Icon sign=Sign::Brush />
            </button>
            <button class="button plain square" title="Rename" aria-label=label("Rename") on:click=move |_| renaming.set(true)>
                <Icon sign=Sign::Pencil />
            </button>
            <button class="button plain square" title="Delete" aria-label=label("Delete") on:click=remove>
                <Icon sign=Sign::Trash />
            </button>
        }
    });
    view! {
        <section
            class="card subject"
            class:over=over
            style=("--dot", color(place))
            aria-labelledby=heading.get_value()
            hidden=move || deletions.hides(&hidden)
            data-subject=subject.id.to_string()
            // Whoever presses somewhere in it pastes here.
            tabindex="-1"
            on:dragover=dragged
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
        >
            <div class="card-head">
                <h2 class="subject-name" id=heading.get_value()>
                    <span class="dot" aria-hidden="true"></span>
                    <code>{identifier}</code>
                    " "
                    {class}
                </h2>
                <span class="row">
                    <span class="quiet small">{count}</span>
                    <span class="row tight">{tools}</span>
                </span>
            </div>
            <ul class="photos">
                <For
                    each=move || photos.get()
                    key=|photo| photo.id
                    children=move |photo| view! { <PhotoCard photo=latest(photo) name=name.get_value() more=shelf.more changed=reload /> }
                />
                {may_edit.then(|| view! { <AddPhotos name=name.get_value() take=Callback::new(take) /> })}
            </ul>
            <UploadList uploads=shelf.uploads subject=subject.id.clone() />
            <FindAgain open=finding jobs=shelf.jobs photos whose=format!(" of “{}”", name.get_value()) />
            <Dialog open=renaming title="Rename the subject">
                <NameForm
                    subject=Some(known.get_value())
                    all=shelf.subjects.value_now().unwrap_or_default()
                    done=Callback::new(move |()| {
                        renaming.set(false);
                        reload.run(());
                        id.with_value(|id| browser::focus_when_lost(format!("[data-subject='{id}'] [title=Rename]")));
                    })
                />
            </Dialog>
        </section>
    }
}

/// The ways in which photos come in.
#[component]
fn AddPhotos(name: String, take: Callback<Option<web_sys::FileList>>) -> impl IntoView {
    let (files, camera) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    let press = |input: NodeRef<html::Input>| {
        move |_| {
            if let Some(input) = input.get_untracked() {
                input.click();
            }
        }
    };
    let chosen = move |event: web_sys::Event| {
        let input = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
        if let Some(input) = input {
            take.run(input.files());
            // The same file can be chosen again.
            input.set_value("");
        }
    };
    view! {
        <li class="add-photos">
            <input
                node_ref=files
                type="file"
                class="visually-hidden"
                tabindex="-1"
                accept="image/jpeg,image/png,image/webp"
                multiple
                aria-label=format!("Photo files of {name}")
                on:change=chosen
            />
            <input
                node_ref=camera
                type="file"
                class="visually-hidden"
                tabindex="-1"
                accept="image/*"
                capture="environment"
                aria-label=format!("New photo of {name}")
                on:change=chosen
            />
            <button class="button" on:click=press(files)>
                <Icon sign=Sign::Upload />
                "Add photos"
                <span class="visually-hidden">{format!(" of {name}")}</span>
            </button>
            <button class="button plain only-touch" on:click=press(camera)>
                <Icon sign=Sign::Camera />
                "Take a photo"
                <span class="visually-hidden">{format!(" of {name}")}</span>
            </button>
            <p class="help">"Or drop them here, or paste."</p>
        </li>
    }
}
