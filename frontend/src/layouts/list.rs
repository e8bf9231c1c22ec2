//! The layouts of a project.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use leptos_router::hooks::use_navigate;
use mudi_domain::api::{Access, NewStored, Page, Photo, Stored, SubjectSummary};
use mudi_domain::layout::Layout;
use mudi_domain::subject::SubjectId;
use uuid::Uuid;

use super::law::law;
use crate::api::{self, Answer, Loaded};
use crate::clock::Clock;
use crate::frame::{Deletions, Toasts, the_project};
use crate::photos;
use crate::widgets::{Empty, Icon, PageTitle, Sign, shown};

/// What the page shows.
#[derive(Clone, PartialEq)]
struct Known {
    layouts: Vec<Stored<Layout>>,
    subjects: Vec<SubjectSummary>,
    photos: Vec<Photo>,
}

/// The layouts of a project: made, opened, deleted.
#[component]
pub(crate) fn LayoutList() -> impl IntoView {
    let the = the_project();
    let loaded = Loaded::new(move || {
        let path = the.path("");
        async move {
            let answer: Answer<Known> = async {
                Ok(Known {
                    layouts: api::list(&format!("{path}/layouts")).await?,
                    subjects: api::get::<Page<SubjectSummary>>(&format!("{path}/subjects")).await?.items,
                    photos: api::list(&format!("{path}/photos")).await?,
                })
            }
            .await;
            answer
        }
    });
    let again = Callback::new(move |()| loaded.reload());
    view! {
        <div class="page">
            <div class="page-head">
                <div>
                    <PageTitle text="Layouts" />
                    <p class="quiet">"Where each subject shall be. Pictures that start from a layout keep the subjects apart."</p>
                </div>
                <div class="actions">
                    {move || the.allows(Access::Player).then(|| play_button(the.id.get()))}
                    {move || loaded.value().filter(|_| the.allows(Access::Editor)).map(|known| new_button(&known))}
                </div>
            </div>
            {shown(
                loaded,
                move |Known { layouts, subjects, .. }| {
                    if layouts.is_empty() {
                        return view! {
                            <Empty title="No layouts yet">
                                <p>"A layout is a collage of the subjects’ cut-outs: drag them to their places, and generate from there."</p>
                            </Empty>
                        }
                            .into_any();
                    }
                    let subjects = StoredValue::new(subjects);
                    view! {
                        <ul class="grid">
                            {layouts
                                .into_iter()
                                .rev()
                                .map(|layout| view! { <Card layout subjects=subjects.get_value() changed=again /> })
                                .collect_view()}
                        </ul>
                    }
                        .into_any()
                },
            )}
        </div>
    }
}

/// Opens the place that links to play with open.
fn play_button(project: Uuid) -> AnyView {
    view! {
        <A href=format!("/projects/{project}/play") attr:class="button">
            <Icon sign=Sign::Play />
            "Play"
        </A>
    }
    .into_any()
}

/// A photo with a mask of each subject that has any, the first one.
fn masked(known: &Known) -> Vec<(SubjectId, Option<usize>)> {
    let found = |subject: &SubjectSummary| {
        let mut photos = known.photos.iter().filter(|photo| photo.subject == subject.id);
        let first = photos.find(|photo| photo.is_masked())?;
        Some((subject.id.clone(), Some(first.number as usize)))
    };
    known.subjects.iter().filter_map(found).collect()
}

/// Makes a layout of all subjects, side by side, and opens it; or leads to where what it takes is made.
fn new_button(known: &Known) -> AnyView {
    let the = the_project();
    let masked = masked(known);
    if masked.is_empty() {
        let place = format!("/projects/{}/photos", the.id.get_untracked());
        return view! { <A href=place attr:class="button primary">"First: photos with masks"</A> }.into_any();
    }
    let toasts = expect_context::<Toasts>();
    let navigate = StoredValue::new(use_navigate());
    let name = format!("Layout {}", known.layouts.len() + 1);
    let new = StoredValue::new((name, masked));
    let busy = RwSignal::new(false);
    let make = move |_| {
        busy.set(true);
        let ((name, masked), project) = (new.get_value(), the.id.get_untracked());
        let path = the.path_now("");
        spawn_local(async move {
            let (_, aspect) = law(&path).await;
            let new = NewStored { name, value: Layout::side_by_side(aspect, &masked) };
            match api::post::<Stored<Layout>>(&api::of(project, "layouts"), &new).await {
                Ok(made) => {
                    let place = format!("/projects/{project}/layouts/{}", made.id);
                    navigate.try_with_value(|navigate| navigate(&place, Default::default()));
                }
                Err(error) => toasts.fault(&error),
            }
            busy.try_set(false);
        });
    };
    view! {
        <button class="button primary" disabled=busy on:click=make>
            <Icon sign=Sign::Plus />
            "New layout"
        </button>
    }
    .into_any()
}

#[component]
fn Card(layout: Stored<Layout>, subjects: Vec<SubjectSummary>, changed: Callback<()>) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let (clock, created) = (expect_context::<Clock>(), layout.created);
    let path = the.path_now(&format!("layouts/{}", layout.id));
    let hidden = path.clone();
    let place = format!("/projects/{}/layouts/{}", the.id.get_untracked(), layout.id);
    let name = layout.name.clone();
    let remove = move |_| deletions.delete(path.clone(), format!("“{name}” is deleted."), changed);
    let label = format!("Delete {}", layout.name);
    let boxes = layout.value.subjects.iter().map(|placement| {
        let index = subjects.iter().position(|subject| subject.id == placement.subject).unwrap_or_default();
        let percent = |part: f64| part * 100.0;
        let (width, height) =
            (percent(placement.width), percent(placement.height.unwrap_or(placement.width)));
        view! {
            <rect
                x=percent(placement.x)
                y=percent(placement.y)
                width=width
                height=height
                rx="6"
                style=("fill", photos::color(index))
                fill-opacity="0.75"
            ></rect>
        }
    });
    let boxes = boxes.collect_view();
    let ratio = layout.value.aspect.ratio();
    view! {
        <li class="card stack" hidden=move || deletions.hides(&hidden)>
            <A href=place attr:class="project-link">
                <svg viewBox=format!("0 0 {} 100", ratio * 100.0) class="layout-sketch" style=("--ratio", ratio.to_string()) aria-hidden="true">
                    {boxes}
                </svg>
                <span class="project-name">{layout.name.clone()}</span>
            </A>
            <div class="card-head">
                <span class="quiet small">{move || clock.ago(created)}</span>
                {the
                    .allows(Access::Editor)
                    .then(|| {
                        view! {
                            <button class="button plain square" title="Delete" aria-label=label on:click=remove>
                                <Icon sign=Sign::Trash />
                            </button>
                        }
                    })}
            </div>
        </li>
    }
}
