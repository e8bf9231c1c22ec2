//! The page of pictures.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use mudi_domain::api::{Access, Base, Job, JobKind, Page, Stored};
use mudi_domain::layout::{Layout, suited_gamma};
use uuid::Uuid;

use super::form::Form;
use super::gallery::Gallery;
use super::live::LivePictures;
use super::offer::Offer;
use super::pictures::Pictures;
use super::place::Place;
use super::wish::{Nobodys, Start, Wish};
use crate::api::{self, Answer, Loaded};
use crate::browser;
use crate::frame::the_project;
use crate::recipes::preferred;
use crate::training::{OpenJobs, Progress};
use crate::widgets::{Failed, PageTitle, shown};

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
    // What is written into the form keeps the focus where a deletion elsewhere has lists read anew.
    let offer = Loaded::to_edit(move || {
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
    let pictures = Pictures::new();
    let jobs = OpenJobs::new(&[JobKind::Generate, JobKind::Evaluate]);
    // What the form begins with: the newest run, and all subjects in the prompt; else what this tab has kept of it. Run and layout of
    // the address come before both.
    let kept_as = format!("mudi-generate-{}", the.id.get_untracked());
    let key = kept_as.clone();
    let begun = RwSignal::new(false);
    // The model that is chosen by itself.
    let by_itself = StoredValue::new((None::<Uuid>, String::new()));
    let place = Place::new();
    Effect::new(move |_| {
        let Some(offer) = offer.value() else { return };
        if begun.get_untracked() {
            return;
        }
        begun.set(true);
        let newest = offer.done().next().map(|run| run.id);
        let base = preferred(&offer.bases);
        wish.run.set(newest);
        wish.base.set(base.clone());
        // As many as the run has learnt.
        let known = untrack(|| offer.subjects_of(wish).len());
        if newest.is_some() {
            wish.start.set(Start::Random);
            wish.gamma.set(suited_gamma(known));
        }
        by_itself.set_value((newest, base.clone()));
        let is_saved = |id| offer.layouts.iter().any(|layout| layout.id == id);
        let kept = browser::tab_remembered(&key);
        // A model that nobody has chosen gives way to a newer run.
        let untouched = Nobodys { model: true, prompt: true, negative: true };
        let nobodys = kept.and_then(|kept| wish.restore(&kept, is_saved)).unwrap_or(untouched);
        if nobodys.model {
            match (wish.run.get_untracked(), newest) {
                (None, Some(_)) => wish.start_from(Start::Random, |_| known),
                (Some(_), None) => wish.start.set(Start::Noise),
                _ => {}
            }
            wish.draw_with(newest, Some(base), |wish| offer.suited(wish));
        }
        // The suggestion may be another one by now.
        let [prompt, negative] = offer.suited(wish);
        if nobodys.prompt {
            wish.prompt.set(prompt);
        }
        if nobodys.negative {
            wish.negative.set(negative);
        }
        if let Some(run) = wanted.filter(|id| offer.done().any(|run| run.id == *id)) {
            wish.draw_with(Some(run), None, |wish| offer.suited(wish));
        }
        if let Some(layout) = offer.layouts.iter().find(|known| Some(known.id) == layout) {
            wish.start.set(Start::Saved(layout.id));
            wish.aspect.set(None);
            wish.gamma.set(gamma.unwrap_or(suited_gamma(layout.value.subjects.len())));
        }
        // Loaded again, the page shows what was chosen since.
        if wanted.or(layout).is_some() {
            place.show(place.picture.get_untracked(), true);
        }
    });
    Effect::new(move |_| {
        if begun.get() {
            // Whoever keeps the seed wants the same again, and so of the same model.
            let model = !wish.locked.get()
                && by_itself.with_value(|(run, base)| match wish.run.get() {
                    None => run.is_none() && wish.base.with(|chosen| chosen == base),
                    chosen => chosen == *run,
                });
            let [prompt, negative] = offer.value_now().map(|offer| offer.suited(wish)).unwrap_or_default();
            let nobodys = Nobodys {
                model,
                prompt: wish.prompt.with(|written| *written == prompt),
                negative: wish.negative.with(|written| *written == negative),
            };
            browser::tab_remembers(&kept_as, &wish.kept(nobodys));
        }
    });
    let runs = Signal::derive(move || offer.value().map(|offer| offer.runs).unwrap_or_default());
    let asked = Callback::new(move |job: Job| jobs.add(job));
    let work = move |job: Job| {
        let work = jobs.follow(job, move |event| pictures.hear(event));
        view! {
            <li class="card">
                <Progress work revived=jobs.revived() dismiss=jobs.dismissing(work) />
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
                        <For each=move || jobs.all() key=OpenJobs::key children=work />
                    </ul>
                    {move || pictures.fault().map(|error| view! { <Failed error again=move |()| pictures.reload() /> })}
                    <Gallery pictures place runs jobs wish asked />
                </div>
            </div>
        </div>
    }
}
