//! A project at a glance: what somebody sees who opens a link, and where to go on.

use leptos::prelude::*;
use leptos_router::components::A;
use mudi_domain::api::{Access, Image, JobState, Page, Photo, Run, SubjectSummary};
use uuid::Uuid;

use crate::api::{self, Answer, Loaded};
use crate::frame::{Toasts, the_project};
use crate::generate::thumbnail_path;
use crate::photos;
use crate::text;
use crate::training::StateTag;
use crate::widgets::{Icon, PageTitle, Sign, shown};

/// Pictures that are shown, the newest.
const PICTURES: usize = 12;
/// Photos that are shown of each subject.
const PHOTOS: usize = 4;

/// What the page shows.
#[derive(Clone, PartialEq)]
struct Glance {
    subjects: Vec<SubjectSummary>,
    photos: Vec<Photo>,
    runs: Vec<Run>,
    /// The newest.
    images: Page<Image>,
}

/// A project at a glance.
#[component]
pub(crate) fn Overview() -> impl IntoView {
    let (the, toasts) = (the_project(), expect_context::<Toasts>());
    let name = Signal::derive(move || {
        the.project.value().map_or_else(|| "Project".to_owned(), |project| project.name)
    });
    let loaded = Loaded::new(move || {
        let path = the.path("");
        async move {
            let answer: Answer<Glance> = async {
                Ok(Glance {
                    subjects: api::get::<Page<SubjectSummary>>(&format!("{path}/subjects")).await?.items,
                    photos: api::list(&format!("{path}/photos")).await?,
                    runs: api::list(&format!("{path}/runs")).await?,
                    images: api::get(&format!("{path}/images?newest=true&limit={PICTURES}")).await?,
                })
            }
            .await;
            answer
        }
    });
    view! {
        <div class="page">
            <div class="page-head">
                <div>
                    <PageTitle text=name />
                    {move || {
                        (!the.allows(Access::Editor) && the.allows(Access::Viewer))
                            .then(|| {
                                let what = if the.allows(Access::Player) { "play with" } else { "look at" };
                                view! { <p class="quiet">{format!("You have a link to {what} this project.")}</p> }
                            })
                    }}
                </div>
                <div class="actions">
                    {move || {
                        let place = format!("/projects/{}/play", the.id.get());
                        (the.allows(Access::Player) && !the.allows(Access::Editor))
                            .then(|| {
                                view! {
                                    <A href=place attr:class="button primary">
                                        <Icon sign=Sign::Play />
                                        "Play"
                                    </A>
                                }
                            })
                    }}
                    {move || {
                        let file = the.path("archive");
                        // Of a large project it takes a while before the browser has anything to show.
                        let told = move |_| toasts.say("The file is being packed; the browser saves it when it is ready.");
                        the.allows(Access::Owner)
                            .then(|| {
                                view! {
                                    <a class="button" href=file download="" rel="external" on:click=told>
                                        <Icon sign=Sign::Download />
                                        "The project as a file"
                                    </a>
                                }
                            })
                    }}
                </div>
            </div>
            {shown(
                loaded,
                move |glance| {
                    let project = the.id.get();
                    let steps = the.allows(Access::Editor).then(|| steps(project, &glance));
                    view! {
                        {steps}
                        <div class="stack wide-gap">
                            {pictures(project, &glance)} {subjects(project, &glance)} {runs(project, &glance)}
                        </div>
                    }
                },
            )}
        </div>
    }
}

/// The way from photos to pictures, and how far it has been gone.
fn steps(project: Uuid, glance: &Glance) -> impl IntoView + use<> {
    let masks = glance.photos.iter().filter(|photo| photo.is_masked()).count();
    let photos = glance.photos.len();
    let done = glance.runs.iter().filter(|run| run.state == JobState::Done).count();
    let steps = [
        (
            "photos",
            Sign::Photos,
            "Photos",
            format!("{} of {}", text::count(photos, "photo"), text::count(glance.subjects.len(), "subject")),
            photos > 0 && glance.subjects.len() > 1,
        ),
        ("photos", Sign::Brush, "Masks", format!("{masks} of {photos}"), photos > 0 && masks == photos),
        ("train", Sign::Train, "Train", format!("{} done", text::count(done, "run")), done > 0),
        (
            "generate",
            Sign::Generate,
            "Generate",
            match glance.images.next {
                Some(_) => format!("more than {PICTURES} pictures"),
                None => text::count(glance.images.items.len(), "picture"),
            },
            !glance.images.items.is_empty(),
        ),
    ];
    let next = steps.iter().position(|(.., done)| !done);
    let item = move |(index, (place, sign, name, words, done)): (
        usize,
        (&'static str, Sign, &'static str, String, bool),
    )| {
        let hint = if Some(index) == next {
            "Next"
        } else if done {
            "Done"
        } else {
            ""
        };
        view! {
            <li class="step" class:next=Some(index) == next>
                <A href=format!("/projects/{project}/{place}")>
                    <Icon sign />
                    <strong>{name}</strong>
                    <span class="quiet small">{words}</span>
                    <span class="step-hint small">{hint}</span>
                </A>
            </li>
        }
    };
    view! { <ol class="steps" aria-label="From photos to pictures">{steps.into_iter().enumerate().map(item).collect_view()}</ol> }
}

fn pictures(project: Uuid, glance: &Glance) -> impl IntoView + use<> {
    let newest = glance.images.items.clone();
    (!newest.is_empty()).then(|| {
        let picture = move |image: Image| {
            let words = image.parameters["prompt"].as_str().unwrap_or("A picture").to_owned();
            view! {
                <li>
                    <A href=format!("/projects/{project}/generate?picture={}", image.id) attr:class="picture-open">
                        <img src=thumbnail_path(project, &image) alt=words loading="lazy" width=image.width height=image.height />
                    </A>
                </li>
            }
        };
        view! {
            <section class="stack" aria-labelledby="newest">
                <h2 id="newest">"Newest pictures"</h2>
                <ul class="pictures">{newest.into_iter().map(picture).collect_view()}</ul>
            </section>
        }
    })
}

fn subjects(project: Uuid, glance: &Glance) -> impl IntoView + use<> {
    let some = !glance.subjects.is_empty();
    let cards = glance.subjects.iter().enumerate().map(|(place, subject)| {
        let own = glance.photos.iter().filter(|photo| photo.subject == subject.id).take(PHOTOS);
        let photos = own.map(|photo| {
            let source = api::of(project, &format!("photos/{}/thumbnail", photo.id));
            view! { <img src=source alt="" loading="lazy" /> }
        });
        let photos = photos.collect_view();
        let (identifier, class) = subject.name.split_once(' ').unwrap_or((subject.name.as_str(), ""));
        view! {
            <li class="card project" style=("--dot", photos::color(place))>
                <span class="project-pictures">{photos}</span>
                <h3 class="subject-name">
                    <span class="dot" aria-hidden="true"></span>
                    <code>{identifier.to_owned()}</code>
                    {class.to_owned()}
                </h3>
                <p class="quiet small">{text::count(subject.photos as usize, "photo")}</p>
            </li>
        }
    });
    let cards = cards.collect_view();
    some.then(|| {
        view! {
            <section class="stack" aria-labelledby="subjects">
                <h2 id="subjects">"Subjects"</h2>
                <ul class="grid">{cards}</ul>
            </section>
        }
    })
}

fn runs(project: Uuid, glance: &Glance) -> impl IntoView + use<> {
    let rows = glance.runs.iter().rev().take(3).cloned().map(|run| {
        let state = run.state;
        view! {
            <li class="card card-head">
                <h3>
                    <A href=format!("/projects/{project}/train/{}", run.id)>{run.name}</A>
                </h3>
                <StateTag state=Signal::derive(move || state) />
            </li>
        }
    });
    let rows = rows.collect_view();
    (!glance.runs.is_empty()).then(|| {
        view! {
            <section class="stack" aria-labelledby="runs">
                <h2 id="runs">"Runs"</h2>
                <ul class="stack">{rows}</ul>
            </section>
        }
    })
}
