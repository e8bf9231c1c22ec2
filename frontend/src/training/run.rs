//! One run: live while it is trained.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::use_params_map;
use mudi_domain::api::{Access, Job, JobEvent, JobState, Metric, Page, Run, Samples, Seen};
use mudi_domain::recipe::Recipe;
use uuid::Uuid;

use super::chart::LossChart;
use super::progress::{Progress, Work};
use super::samples::SampleStrip;
use super::seen::SeenNow;
use crate::api::{self, Answer, Loaded};
use crate::browser;
use crate::frame::the_project;
use crate::recipes;
use crate::widgets::{Icon, PageTitle, Sign, shown};

/// How often the page asks what the model sees, in milliseconds.
const LOOK: i64 = 3000;

/// The page of the run that the address names.
#[component]
pub(crate) fn RunPage() -> impl IntoView {
    let the = the_project();
    let params = use_params_map();
    let id = Memo::new(move |_| {
        params.with(|params| params.get("run").and_then(|id| id.parse::<Uuid>().ok()).unwrap_or_default())
    });
    // What follows the run goes on by itself when the server is back.
    let loaded = Loaded::to_edit(move || {
        let path = the.path("");
        let id = id.get();
        async move {
            let answer: Answer<(Run, Job, Vec<Metric>)> = async {
                let run: Run = api::get(&format!("{path}/runs/{id}")).await?;
                let job = api::get(&format!("{path}/jobs/{}", run.job)).await?;
                let metrics = api::get::<Page<Metric>>(&format!("{path}/runs/{id}/metrics")).await?;
                Ok((run, job, metrics.items))
            }
            .await;
            answer
        }
    });
    view! {
        <div class="page">
            {shown(
                loaded,
                move |(run, job, metrics)| {
                    view! { <Live run job metrics again=Callback::new(move |()| loaded.reload()) /> }
                },
            )}
        </div>
    }
}

#[component]
fn Live(
    run: Run,
    job: Job,
    metrics: Vec<Metric>,
    /// Reads all of it anew.
    again: Callback<()>,
) -> impl IntoView {
    let the = the_project();
    let id = run.id;
    let known: BTreeMap<u64, f64> = metrics.iter().map(|metric| (metric.step, metric.loss)).collect();
    let losses = RwSignal::new(known);
    let note = noter(losses);
    let samples = Loaded::new(move || {
        let path = the.path(&format!("runs/{id}/samples"));
        async move { api::get::<Page<Samples>>(&path).await.map(|page| page.items) }
    });
    let seen = Loaded::new(move || {
        let path = the.path(&format!("runs/{id}/seen"));
        async move { api::get::<Seen>(&path).await }
    });
    let looked = StoredValue::new(browser::now());
    let every = u64::from(run.recipe.sample_every).max(1);
    let asked = StoredValue::new(0_u64);
    let work = Work::follow(job, move |event| match event {
        JobEvent::Progress { step, loss: Some(loss), .. } => {
            note(*step, *loss);
            let now = browser::now();
            if looked.try_get_value().is_some_and(|looked| now - looked > LOOK) {
                looked.try_set_value(now);
                seen.reload();
            }
            // A sheet is drawn after its step, and shown with the next one.
            let sheets = step.saturating_sub(1) / every;
            if asked.try_get_value().is_some_and(|before| sheets > before) {
                asked.try_set_value(sheets);
                samples.reload();
            }
        }
        JobEvent::State { state, .. } if state.is_over() => {
            samples.reload();
            seen.reload();
        }
        _ => {}
    });
    let curve = Signal::derive(move || {
        losses.with(|losses| losses.iter().map(|(step, loss)| (*step, *loss)).collect())
    });
    let steps = u64::from(run.recipe.steps);
    let state = work.state();
    let root = format!("/projects/{}", the.id.get_untracked());
    let (generate, weights) =
        (format!("{root}/generate?run={id}"), the.path_now(&format!("runs/{id}/weights")));
    let done = move || {
        (state.get() == JobState::Done).then(|| {
            view! {
                <A href=generate.clone() attr:class="button primary">
                    <Icon sign=Sign::Generate />
                    "Generate with it"
                </A>
                {the
                    .allows(Access::Player)
                    .then(|| {
                        view! {
                            <a class="button" href=weights.clone() download="" rel="external">
                                <Icon sign=Sign::Download />
                                "Weights"
                            </a>
                        }
                    })}
            }
        })
    };
    let prompts = run.recipe.sample_prompts.clone();
    let sampled = run.recipe.sample_every > 0;
    view! {
        <div class="page-head">
            <div>
                <p class="small">
                    <A href=format!("{root}/train")>"All runs"</A>
                </p>
                <PageTitle text=run.name.clone() />
                <p class="quiet">
                    {format!("{} on {}, begun {}", run.recipe.method.word(), run.base, browser::date(run.created))}
                </p>
            </div>
            <div class="actions">{done}</div>
        </div>
        <section class="card stack" aria-label="Progress of the run">
            <Progress work revived=again />
            <LossChart losses=curve steps />
        </section>
        <SeenNow run=id seen />
        {sampled.then(|| view! { <SampleStrip run=id samples prompts /> })}
        <RecipeTable recipe=run.recipe />
    }
}

/// Puts losses among `losses`: those that come at once, as of steps long past, with the same frame.
fn noter(losses: RwSignal<BTreeMap<u64, f64>>) -> impl Fn(u64, f64) + Copy {
    let fresh = StoredValue::new(Vec::new());
    move |step, loss| {
        let first = fresh.try_update_value(|fresh| {
            fresh.push((step, loss));
            fresh.len() == 1
        });
        if first == Some(true) {
            request_animation_frame(move || {
                let fresh = fresh.try_update_value(std::mem::take).unwrap_or_default();
                losses.try_update(|losses| losses.extend(fresh));
            });
        }
    }
}

/// What a run's recipe has that the defaults have not.
#[component]
fn RecipeTable(recipe: Recipe) -> impl IntoView {
    let rows = recipes::differences(&Recipe::default(), &recipe);
    let same = rows.is_empty();
    view! {
        <section class="card stack" aria-labelledby="recipe">
            <h2 id="recipe">"Recipe"</h2>
            {same.then(|| view! { <p class="quiet">"Every parameter has its default."</p> })}
            {(!same)
                .then(|| {
                    view! {
                        <div class="scrolls" tabindex="0" role="region" aria-labelledby="recipe">
                            <table>
                                <thead>
                                    <tr>
                                        <th scope="col">"Parameter"</th>
                                        <th scope="col">"This run"</th>
                                        <th scope="col">"Default"</th>
                                    </tr>
                                </thead>
                                <tbody>
                                    {rows
                                        .into_iter()
                                        .map(|(parameter, default, own)| {
                                            view! {
                                                <tr>
                                                    <th scope="row">{recipes::label(parameter.name)}</th>
                                                    <td class="mono">{own}</td>
                                                    <td class="mono quiet">{default}</td>
                                                </tr>
                                            }
                                        })
                                        .collect_view()}
                                </tbody>
                            </table>
                        </div>
                    }
                })}
        </section>
    }
}
