//! The layouts of a project.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use leptos_router::hooks::use_navigate;
use mudi_domain::api::{Access, NewStored, Page, Stored, SubjectSummary};
use mudi_domain::layout::Layout;
use uuid::Uuid;

use crate::api::{self, Answer, Loaded};
use crate::browser;
use crate::frame::{Deletions, Toasts, the_project};
use crate::photos;
use crate::text;
use crate::widgets::{Empty, Icon, PageTitle, Sign, shown};

/// The layouts of a project: made, opened, deleted.
#[component]
pub(crate) fn LayoutList() -> impl IntoView {
    let the = the_project();
    let loaded = Loaded::new(move || {
        let path = the.path("");
        async move {
            let answer: Answer<(Vec<Stored<Layout>>, Vec<SubjectSummary>)> = async {
                let layouts = api::list(&format!("{path}/layouts")).await?;
                let subjects: Page<SubjectSummary> = api::get(&format!("{path}/subjects")).await?;
                Ok((layouts, subjects.items))
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
                    {move || loaded.value().filter(|_| the.allows(Access::Editor)).map(|(layouts, subjects)| new_button(&layouts, &subjects))}
                </div>
            </div>
            {shown(
                loaded,
                move |(layouts, subjects)| {
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

/// Makes a layout of all subjects, side by side, and opens it.
fn new_button(layouts: &[Stored<Layout>], subjects: &[SubjectSummary]) -> AnyView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let navigate = StoredValue::new(use_navigate());
    let with_photos = subjects.iter().filter(|subject| subject.photos > 0);
    let with_photos: Vec<_> = with_photos.map(|subject| (subject.id.clone(), None)).collect();
    let layout = Layout::side_by_side(&with_photos);
    let none = layout.subjects.is_empty();
    let new = StoredValue::new(NewStored { name: format!("Layout {}", layouts.len() + 1), value: layout });
    let make = move |_| {
        spawn_local(async move {
            let new = new.get_value();
            match api::post::<Stored<Layout>>(&the.path_now("layouts"), &new).await {
                Ok(made) => {
                    let place = format!("/projects/{}/layouts/{}", the.id.get_untracked(), made.id);
                    navigate.with_value(|navigate| navigate(&place, Default::default()));
                }
                Err(error) => toasts.fault(&error),
            }
        });
    };
    let why = if none { "Add subjects and photos first" } else { "" };
    view! {
        <button class="button primary" disabled=none title=why on:click=make>
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
    let path = the.path_now(&format!("layouts/{}", layout.id));
    let hidden = path.clone();
    let place = format!("/projects/{}/layouts/{}", the.id.get_untracked(), layout.id);
    let name = layout.name.clone();
    let remove = move |_| deletions.delete(path.clone(), format!("“{name}” is deleted."), changed);
    let label = format!("Delete {}", layout.name);
    let boxes = layout.value.subjects.iter().map(|placement| {
        let index = subjects.iter().position(|subject| subject.id == placement.subject).unwrap_or_default();
        let percent = |part: f64| (part * 100.0).clamp(-100.0, 200.0);
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
    view! {
        <li class="card stack" hidden=move || deletions.hides(&hidden)>
            <A href=place attr:class="project-link">
                <svg viewBox="0 0 100 100" class="layout-sketch" aria-hidden="true">
                    {boxes}
                </svg>
                <span class="project-name">{layout.name.clone()}</span>
            </A>
            <div class="card-head">
                <span class="quiet small">{text::ago(browser::now() - layout.created)}</span>
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
