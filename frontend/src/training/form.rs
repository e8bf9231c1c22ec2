//! A new run: three choices for most, every parameter for whoever wants it.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_navigate;
use mudi_domain::api::{Base, NewRun, Run, Stored, SubjectSummary};
use mudi_domain::recipe::{PARAMETERS, Parameter, Recipe};
use uuid::Uuid;

use super::draft::Draft;
use super::field::{Field, Texts};
use super::kept::{KeepRecipe, KeptRecipes};
use super::outlook::Outlook;
use crate::api::{self, ApiError, Loaded};
use crate::frame::{Deletions, the_project};
use crate::recipes::{self, PRESETS};
use crate::widgets::{ToyBase, busy_already, option};

/// What the parameters were taken from; nothing once one was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chosen {
    /// One of the three, by its place.
    Preset(usize),
    /// One that the project keeps.
    Kept(Uuid),
}

/// Asks for a run's name, base and recipe, and starts it.
#[component]
pub(super) fn NewRunForm(
    /// The server's base models; at least one.
    bases: Vec<Base>,
    /// The project's subjects.
    subjects: Vec<SubjectSummary>,
    /// The runs so far.
    runs: Vec<Run>,
) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let navigate = StoredValue::new(use_navigate());
    let names: Vec<String> = subjects.iter().map(|subject| subject.name.clone()).collect();
    let names = StoredValue::new(names);
    let last = runs.last().map(|run| run.base.clone());
    let known = |name: &String| bases.iter().any(|base| base.name == *name);
    let draft = Draft::of(the.id.get_untracked());
    let (written, wanted, preset, kept_texts) =
        draft.read().unwrap_or((String::new(), String::new(), Some(0), Vec::new()));
    let first = Some(wanted).filter(known).or(last.filter(known));
    let first = first.unwrap_or_else(|| recipes::preferred(&bases));
    let toys = bases.iter().filter(|base| base.toys_only).map(|base| base.name.clone()).collect::<Vec<_>>();
    let base = RwSignal::new(first.clone());
    let usual = format!("Run {}", runs.len() + 1);
    let name = RwSignal::new(if written.is_empty() { usual.clone() } else { written });
    let preset = preset.filter(|place| *place < PRESETS.len());
    let chosen = RwSignal::new(preset.map(Chosen::Preset));
    let own = Callback::new(move |()| chosen.set(None));
    let all = Texts::new(&PRESETS[preset.unwrap_or(0)].recipe(&first, &names.get_value()), own);
    all.restore(kept_texts);
    let keep = move |name: &str| {
        let preset = match chosen.get() {
            Some(Chosen::Preset(place)) => Some(place),
            _ => None,
        };
        draft.keep(name, &base.get(), preset, all);
    };
    Effect::new(move |_| name.with(|name| keep(if *name == usual { "" } else { name })));
    let (busy, fault) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let choose = move |place: usize| {
        chosen.set(Some(Chosen::Preset(place)));
        all.take(&PRESETS[place].recipe(&base.get_untracked(), &names.get_value()));
    };
    let kept = Loaded::new(move || {
        let path = the.path("recipes");
        async move { api::list::<Stored<Recipe>>(&path).await }
    });
    let kept_chosen = Signal::derive(move || match chosen.get() {
        Some(Chosen::Kept(id)) => Some(id),
        _ => None,
    });
    let choose_kept = Callback::new(move |stored: Stored<Recipe>| {
        chosen.set(Some(Chosen::Kept(stored.id)));
        all.take(&stored.value);
    });
    let preset = move |(place, preset): (usize, recipes::Preset)| {
        view! {
            <label class="choice">
                <input
                    type="radio"
                    name="preset"
                    prop:checked=move || chosen.get() == Some(Chosen::Preset(place))
                    on:change=move |_| choose(place)
                />
                <strong>{preset.name}</strong>
                <span class="help">{preset.help}</span>
            </label>
        }
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let recipe = match untrack(|| all.recipe()) {
            Ok(recipe) => recipe,
            Err(why) => return fault.set(Some(why)),
        };
        let new = NewRun { name: name.get_untracked(), base: base.get_untracked(), recipe };
        let (project, path) = (the.id.get_untracked(), the.path_now("runs"));
        if busy_already(busy) {
            return;
        }
        fault.set(None);
        spawn_local(async move {
            // What was deleted is not trained on.
            let made: Result<Run, String> = if deletions.settle().await {
                api::post(&path, &new).await.map_err(|error: ApiError| error.to_string())
            } else {
                Err("What you have deleted is still there, so the run was not started.".to_owned())
            };
            busy.try_set(false);
            match made {
                Ok(run) => {
                    // The next one has another name.
                    if base.try_get_untracked().is_some() {
                        untrack(|| keep(""));
                    }
                    let place = format!("/projects/{project}/train/{}", run.id);
                    navigate.try_with_value(|navigate| navigate(&place, Default::default()));
                }
                Err(why) => drop(fault.try_set(Some(why))),
            }
        });
    };
    let options =
        bases.into_iter().map(|known| option(base.into(), &known.name, known.name.clone())).collect_view();
    let steps = move || all.get("steps");
    view! {
        <form class="card form" on:submit=submit aria-labelledby="new-run">
            <h2 id="new-run">"New run"</h2>
            <fieldset>
                <legend class="visually-hidden">"How thorough"</legend>
                <div class="stack">
                    <div class="choices">{PRESETS.into_iter().enumerate().map(preset).collect_view()}</div>
                    <KeptRecipes kept chosen=kept_chosen choose=choose_kept />
                </div>
            </fieldset>
            <div class="columns">
                <div class="field">
                    <label for="run-name">"Name"</label>
                    <input
                        id="run-name"
                        required
                        maxlength="200"
                        autocomplete="off"
                        prop:value=name
                        on:input=move |event| name.set(event_target_value(&event))
                    />
                </div>
                <div class="field">
                    <label for="run-base">"Base model"</label>
                    <select
                        id="run-base"
                        on:change=move |event| {
                            base.set(event_target_value(&event));
                            // What a preset says depends on the base; what somebody wrote is theirs.
                            if let Some(Chosen::Preset(place)) = chosen.get_untracked() {
                                choose(place);
                            }
                        }
                    >
                        {options}
                    </select>
                    <ToyBase base toys />
                </div>
            </div>
            <details>
                <summary>"Every parameter"</summary>
                <div class="stack">
                    {groups().into_iter().map(|group| view! { <Group group all /> }).collect_view()}
                    <KeepRecipe texts=all kept />
                </div>
            </details>
            <Outlook base texts=all />
            <p class="fault" role="alert">{fault}</p>
            <div class="dialog-foot">
                <button class="button primary">
                    {move || if busy.get() { "Starting…".to_owned() } else { format!("Train {} steps", steps()) }}
                </button>
            </div>
        </form>
    }
}

/// The headings of the table, in its order.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = PARAMETERS.iter().map(|parameter| parameter.group).collect();
    groups.dedup();
    groups
}

#[component]
fn Group(group: &'static str, all: Texts) -> impl IntoView {
    let of = move |parameter: &&'static Parameter| parameter.group == group;
    view! {
        <fieldset class="group">
            <legend>{group}</legend>
            <div class="columns">
                {PARAMETERS.iter().filter(of).map(|parameter| view! { <Field parameter texts=all /> }).collect_view()}
            </div>
        </fieldset>
    }
}
