//! The page of photos.

use leptos::ev;
use leptos::prelude::*;
use leptos_router::components::A;
use mudi_domain::api::{Access, Photo, SubjectSummary};
use wasm_bindgen::JsCast;
use web_sys::{ClipboardEvent, DragEvent, Element, Event, Node};

use super::masks::{FindAgain, MaskJobs, MaskProgress};
use super::more::{More, MoreDialog};
use super::name::NameForm;
use super::subject::{Shelf, SubjectSection};
use super::uploads::Uploads;
use crate::api::{self, Loaded};
use crate::browser;
use crate::frame::{Toasts, the_project};
use crate::text;
use crate::widgets::{Asked, Dialog, Empty, Failed, Icon, PageTitle, Sign, ToysOnly, Waiting, ZipButton};

/// Subjects, their photos, masks and captions.
#[component]
pub(crate) fn Photos() -> impl IntoView {
    let the = the_project();
    let subjects = Loaded::new(move || {
        let path = the.path("subjects");
        async move { api::get::<mudi_domain::api::Page<SubjectSummary>>(&path).await.map(|page| page.items) }
    });
    let photos = Loaded::new(move || {
        let path = the.path("photos");
        async move { api::list::<Photo>(&path).await }
    });
    let arrived = Callback::new(move |()| {
        photos.reload();
        subjects.reload();
    });
    let jobs = MaskJobs::new();
    let uploads = Uploads::new(arrived);
    let shelf = Shelf { subjects, photos, uploads, jobs, more: More::new(), changed: arrived };
    let (adding, finding) = (RwSignal::new(false), RwSignal::new(false));
    pasting(shelf);
    dropping(shelf);
    let places = Memo::new(move |_| {
        let all = subjects.value().unwrap_or_default();
        all.into_iter().enumerate().collect::<Vec<(usize, SubjectSummary)>>()
    });
    // Whether there is any subject; photos that arrive change nothing of that.
    let some = Memo::new(move |_| places.with(|places| !places.is_empty()));
    let may_edit = move || the.allows(Access::Editor);
    let add = move || {
        view! {
            <button class="button primary" on:click=move |_| adding.set(true)>
                <Icon sign=Sign::Plus />
                "Add a subject"
            </button>
        }
    };
    // Only what changes here makes the sections anew: a list that is loaded again keeps them.
    let state = Memo::new(move |_| match photos.answer() {
        Some(Err(error)) => Some(Err(error)),
        _ => subjects.answer().map(|answer| answer.map(|list| list.is_empty())),
    });
    let body = move || {
        match state.get() {
        None => view! { <Waiting /> }.into_any(),
        Some(Err(error)) => view! { <Failed error again=arrived /> }.into_any(),
        Some(Ok(true)) => view! {
            <Empty title="Who is it about?">
                <p>
                    "A subject is one thing or one being that the model shall learn: this dog, that vase. Add two or more, each with three to six photos in which it stands alone."
                </p>
                {move || may_edit().then(add)}
            </Empty>
        }
        .into_any(),
        Some(Ok(false)) => view! {
            <div class="stack">
                <For
                    each=move || places.get()
                    key=|(place, subject)| (*place, subject.id.clone(), subject.version)
                    children=move |(place, subject)| view! { <SubjectSection subject place shelf /> }
                />
            </div>
        }
        .into_any(),
    }
    };
    view! {
        <div class="page">
            <div class="page-head">
                <div>
                    <PageTitle text="Photos" />
                    <p class="quiet">
                        "Three to six photos of each subject, in different places. Masks tell the subject from its surroundings."
                    </p>
                </div>
                <div class="actions">
                    {move || may_edit().then(|| data_folder(arrived, some))}
                    {move || (may_edit() && some.get()).then(add)}
                </div>
            </div>
            {move || next_step(shelf, finding, &the.id.get().to_string(), may_edit())}
            <MaskProgress jobs shelf />
            {body}
            <MoreDialog shelf />
            <FindAgain open=finding jobs photos=Memo::new(move |_| photos.value().unwrap_or_default()) />
            <Dialog open=adding title="Add a subject">
                <NameForm
                    all=subjects.value_now().unwrap_or_default()
                    done=Callback::new(move |()| {
                        adding.set(false);
                        subjects.reload();
                        // The button that asked for the first one goes with its page.
                        browser::focus_when_lost(".add-photos button".to_owned());
                    })
                />
            </Dialog>
        </div>
    }
}

/// A data folder of the paper's authors, zipped: in, and out where there is `some` subject. It is not made anew while one is sent.
fn data_folder(arrived: Callback<()>, some: Memo<bool>) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let sent =
        Callback::new(move |answer: String| match api::decoded::<mudi_domain::api::Page<Photo>>(&answer) {
            Ok(added) => {
                toasts.say(format!("{} added.", text::count(added.items.len(), "photo")));
                arrived.run(());
            }
            Err(error) => toasts.fault(&error),
        });
    let path = Signal::derive(move || the.path("dataset"));
    view! {
        {move || {
            some.get()
                .then(|| {
                    view! {
                        <a class="button" href=path download="" rel="external">
                            <Icon sign=Sign::Download />
                            "All as a zip"
                        </a>
                    }
                })
        }}
        <ZipButton words="Add a zip" path sent />
    }
}

/// What is still missing before the project can be trained.
fn next_step(
    shelf: Shelf,
    finding: RwSignal<bool>,
    project: &str,
    may_edit: bool,
) -> Option<impl IntoView + use<>> {
    let (subjects, photos, jobs) = (shelf.subjects.value()?, shelf.photos.value()?, shelf.jobs);
    if subjects.is_empty() || photos.is_empty() || !may_edit {
        return None;
    }
    let without: Vec<&Photo> = photos.iter().filter(|photo| !photo.is_masked()).collect();
    let Some(first) = without.first() else {
        return (subjects.len() > 1).then(|| {
            view! {
                <div class="notice">
                    <p>"Every photo has its mask."</p>
                    <A href=format!("/projects/{project}/train") attr:class="button">"Go on to train"</A>
                    <button class="button plain" aria-haspopup="dialog" on:click=move |_| finding.set(true)>
                        "Find all masks again"
                    </button>
                </div>
            }
            .into_any()
        });
    };
    let place = format!("/projects/{project}/photos/{}/mask", first.id);
    let words = format!(
        "{} without a mask. Every photo needs one before you can train.",
        text::count(without.len(), "photo")
    );
    let find = (!jobs.some()).then(|| {
        view! {
            <button class="button primary" disabled=jobs.asking on:click=move |_| jobs.ask()>
                <Icon sign=Sign::Brush />
                "Find the masks"
            </button>
        }
    });
    Some(
        view! {
            <div class="notice warns">
                <p>{words}</p>
                {find}
                <A href=place attr:class="button">"Draw the next one"</A>
                <ToysOnly asked=Asked::Masks />
            </div>
        }
        .into_any(),
    )
}

/// Whether something has happened within what `selector` finds.
fn within(event: &Event, selector: &str) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Node>().ok());
    // Of some browsers it is the text that was hit.
    let target = target.and_then(|node| node.dyn_ref::<Element>().cloned().or_else(|| node.parent_element()));
    target.is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}

/// Takes pasted pictures as photos of the subject that has the focus, or of the last one.
fn pasting(shelf: Shelf) {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let handle = window_event_listener(ev::paste, move |event: ClipboardEvent| {
        let Some(files) = event.clipboard_data().and_then(|data| data.files()) else { return };
        // What is written may come with a picture of itself, as out of a table.
        if files.length() == 0 || !the.allows(Access::Editor) || within(&event, "input, textarea, dialog") {
            return;
        }
        let subjects = shelf.subjects.value().unwrap_or_default();
        let focused =
            browser::document().active_element().and_then(|active| active.closest("[data-subject]").ok()?);
        let focused = focused.and_then(|section| section.get_attribute("data-subject"));
        let chosen = subjects.iter().find(|subject| Some(subject.id.as_str()) == focused.as_deref());
        let Some(subject) = chosen.or(subjects.last()) else {
            return toasts.complain("Add a subject first; then paste its photos.");
        };
        event.prevent_default();
        let count = shelf.uploads.add(&subject.id, &files);
        let pasted = format!("{} pasted for “{}”", text::count(count, "picture"), subject.name);
        toasts.say(match chosen {
            None if subjects.len() > 1 => {
                format!("{pasted}, the last subject. To paste for another one, press somewhere in it before.")
            }
            _ => format!("{pasted}."),
        });
    });
    on_cleanup(move || handle.remove());
}

/// Takes files that are dropped beside all subjects: where there is but one, they are its photos.
fn dropping(shelf: Shelf) {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let handle = window_event_listener(ev::drop, move |event: DragEvent| {
        let files = event.data_transfer().and_then(|data| data.files());
        let Some(files) = files.filter(|files| files.length() > 0) else { return };
        if !the.allows(Access::Editor) || within(&event, "[data-subject]") {
            return;
        }
        match shelf.subjects.value().unwrap_or_default().as_slice() {
            [] => toasts.complain("Add a subject first; then drop its photos on it."),
            [subject] => drop(shelf.uploads.add(&subject.id, &files)),
            _ => toasts.complain("Drop them on a subject: photos belong to one."),
        }
    });
    on_cleanup(move || handle.remove());
}
