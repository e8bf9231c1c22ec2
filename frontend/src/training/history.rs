//! The runs so far, newest first, each with what it has that the one before it had not.

use leptos::prelude::*;
use leptos_router::components::A;
use mudi_domain::api::{Access, Run};

use super::progress::StateTag;
use crate::clock::Clock;
use crate::frame::{Deletions, the_project};
use crate::recipes;
use crate::text;
use crate::widgets::{Icon, Sign};

/// The runs of a project.
#[component]
pub(super) fn History(runs: Vec<Run>, changed: Callback<()>) -> impl IntoView {
    if runs.is_empty() {
        return view! { <p class="quiet">"No runs yet."</p> }.into_any();
    }
    let before: Vec<Option<Run>> = std::iter::once(None).chain(runs.iter().cloned().map(Some)).collect();
    let rows = runs.into_iter().zip(before).rev();
    view! {
        <section class="stack" aria-labelledby="history">
            <h2 id="history">"Runs"</h2>
            <ul class="stack">
                {rows.map(|(run, before)| view! { <Row run before changed /> }).collect_view()}
            </ul>
        </section>
    }
    .into_any()
}

#[component]
fn Row(run: Run, before: Option<Run>, changed: Callback<()>) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let (clock, created) = (expect_context::<Clock>(), run.created);
    let path = the.path_now(&format!("runs/{}", run.id));
    let hidden = path.clone();
    let place = format!("/projects/{}/train/{}", the.id.get_untracked(), run.id);
    let name = run.name.clone();
    let may_delete = the.allows(Access::Editor) && run.state.is_over();
    let remove = move |_| {
        deletions.delete(path.clone(), format!("“{name}” and its weights are deleted."), changed);
    };
    let differs = before.map(|before| {
        let mut parts: Vec<String> = recipes::differences(&before.recipe, &run.recipe)
            .into_iter()
            .map(|(parameter, was, is)| {
                format!(
                    "{} {} (was {})",
                    recipes::label(parameter.name).to_lowercase(),
                    or_none(&is),
                    or_none(&was)
                )
            })
            .collect();
        if before.base != run.base {
            parts.insert(0, format!("base {} (was {})", run.base, before.base));
        }
        if before.photos != run.photos {
            parts.push(format!("{} (were {})", text::count(run.photos as usize, "photo"), before.photos));
        }
        if parts.is_empty() {
            format!("As “{}”.", before.name)
        } else {
            format!("Unlike “{}”: {}.", before.name, parts.join(", "))
        }
    });
    let (state, title) = (run.state, run.name.clone());
    let label = format!("Delete {title}");
    view! {
        <li class="card run-row" hidden=move || deletions.hides(&hidden)>
            <div class="card-head">
                <h3>
                    <A href=place>{title}</A>
                </h3>
                <div class="row">
                    <StateTag state=Signal::derive(move || state) />
                    <span class="quiet small">{move || clock.ago(created)}</span>
                    {may_delete
                        .then(|| {
                            view! {
                                <button class="button plain square" title="Delete" aria-label=label on:click=remove>
                                    <Icon sign=Sign::Trash />
                                </button>
                            }
                        })}
                </div>
            </div>
            <p class="quiet small">
                {format!(
                    "{}, {} steps, {} on {}. ",
                    run.recipe.method.word(),
                    run.recipe.steps,
                    text::count(run.photos as usize, "photo"),
                    run.base,
                )} {differs}
            </p>
        </li>
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
