//! The page of pictures.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use mudi_domain::api::{Access, Base, Image, Job, JobEvent, JobKind, Page, Stored};
use mudi_domain::layout::{Layout, suited_gamma};
use mudi_domain::prompt;
use uuid::Uuid;

use super::form::{Form, Offer};
use super::gallery::Gallery;
use super::live::LivePictures;
use super::wish::{Start, Wish};
use crate::api::{self, Answer, Loaded};
use crate::frame::the_project;
use crate::recipes::noun;
use crate::training::{OpenJobs, Progress};
use crate::widgets::{PageTitle, shown};

/// Pictures: asked for, watched, looked at.
#[component]
pub(crate) fn Generate() -> impl IntoView {
    let the = the_project();
    let wish = Wish::new();
    let query = use_query_map();
    let named = |name: &str| query.with_untracked(|query| query.get(name));
    let id = |name: &str| named(name).and_then(|id| id.parse::<Uuid>().ok());
    let (wanted, layout) = (id("run"), id("layout"));
    let gamma = named("gamma").and_then(|gamma| gamma.parse().ok());
    let offer = Loaded::new(move || {
        let path = the.path("");
        async move {
            let answer: Answer<Offer> = async {
                Ok(Offer {
                    bases: api::get::<Page<Base>>("/api/bases").await?.items,
                    runs: api::list(&format!("{path}/runs")).await?,
                    subjects: api::get::<Page<_>>(&format!("{path}/subjects")).await?.items,
                    layouts: api::list::<Stored<Layout>>(&format!("{path}/layouts")).await?,
                })
            }
            .await;
            answer
        }
    });
    let images = Loaded::new(move || {
        let path = the.path("images");
        async move { api::list::<Image>(&path).await }
    });
    let jobs = OpenJobs::new(&[JobKind::Generate, JobKind::Evaluate]);
    // What the form begins with: run and layout of the address, or the newest run; all subjects in the prompt.
    let begun = StoredValue::new(false);
    Effect::new(move |_| {
        let Some(offer) = offer.value() else { return };
        if begun.get_value() {
            return;
        }
        begun.set_value(true);
        let newest = offer.done().next().map(|run| run.id);
        if newest.is_some() {
            wish.start.set(Start::Random);
            wish.gamma.set(suited_gamma(offer.subjects.len()));
        }
        wish.run.set(wanted.filter(|id| offer.done().any(|run| run.id == *id)).or(newest));
        wish.base.set(offer.bases.first().map(|base| base.name.clone()).unwrap_or_default());
        wish.negative.set(offer.negative_for(wish));
        if let Some(layout) = offer.layouts.iter().find(|known| Some(known.id) == layout) {
            wish.start.set(Start::Saved(layout.id));
            wish.gamma.set(gamma.unwrap_or(suited_gamma(layout.value.subjects.len())));
        }
        let names: Vec<String> = offer.subjects.iter().map(|subject| format!("a {}", subject.name)).collect();
        if !names.is_empty() {
            wish.prompt.set(prompt::together(&names, "", noun(&offer.base_of(wish))));
        }
    });
    let runs = Signal::derive(move || offer.value().map(|offer| offer.runs).unwrap_or_default());
    let asked = Callback::new(move |job: Job| jobs.add(job));
    let work = move |job: Job| {
        let work = jobs.follow(job, move |event| match event {
            JobEvent::Image { .. } | JobEvent::Score { .. } => images.reload(),
            JobEvent::State { state, .. } if state.is_over() => images.reload(),
            _ => {}
        });
        view! {
            <li class="card">
                <Progress work />
                <LivePictures work />
            </li>
        }
    };
    view! {
        <div class="page">
            <div class="page-head">
                <div>
                    <PageTitle text="Generate" />
                    <p class="quiet">"Pictures of the subjects together. The same seed and the same words make the same picture."</p>
                </div>
            </div>
            <div class="two-columns" class:alone=move || !the.allows(Access::Editor)>
                <div class="side">
                    {move || {
                        the.allows(Access::Editor)
                            .then(|| shown(offer, move |offer| view! { <Form offer wish asked /> }))
                    }}
                </div>
                <div class="stack wide-gap">
                    <ul class="stack jobs">
                        <For each=move || jobs.all() key=|job| job.id children=work />
                    </ul>
                    {move || {
                        match images.answer() {
                            Some(Err(error)) => {
                                view! { <crate::widgets::Failed error again=move |()| images.reload() /> }.into_any()
                            }
                            _ => ().into_any(),
                        }
                    }}
                    <Gallery images runs jobs wish asked />
                </div>
            </div>
        </div>
    }
}
