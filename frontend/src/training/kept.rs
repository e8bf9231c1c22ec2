//! Recipes that the project keeps: chosen like the three that ship.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{NewStored, Stored};
use mudi_domain::recipe::Recipe;
use uuid::Uuid;

use super::field::Texts;
use crate::api::{self, ApiError, Loaded};
use crate::frame::{Deletions, Toasts, the_project};
use crate::widgets::{Icon, Sign};

/// The project's recipes, as choices; `choose` is told which one.
#[component]
pub(super) fn KeptRecipes(
    kept: Loaded<Vec<Stored<Recipe>>>,
    /// The one that is chosen.
    chosen: Signal<Option<Uuid>>,
    choose: Callback<Stored<Recipe>>,
) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let again = Callback::new(move |()| kept.reload());
    let choice = move |stored: Stored<Recipe>| {
        let (id, name) = (stored.id, stored.name.clone());
        let path = the.path_now(&format!("recipes/{id}"));
        let hidden = path.clone();
        let label = format!("Delete the recipe {name}");
        let help = format!("{} steps, {}.", stored.value.steps, stored.value.method.word());
        let remove =
            move |_| deletions.delete(path.clone(), format!("The recipe “{name}” is deleted."), again);
        let name = stored.name.clone();
        view! {
            <div class="row" hidden=move || deletions.hides(&hidden)>
                <label class="choice grows">
                    <input
                        type="radio"
                        name="preset"
                        prop:checked=move || chosen.get() == Some(id)
                        on:change=move |_| choose.run(stored.clone())
                    />
                    <strong>{name}</strong>
                    <span class="help">{help}</span>
                </label>
                <button type="button" class="button plain square" title="Delete" aria-label=label on:click=remove>
                    <Icon sign=Sign::Trash />
                </button>
            </div>
        }
    };
    view! {
        {move || {
            let kept = kept.value().unwrap_or_default();
            (!kept.is_empty())
                .then(|| view! { <div class="choices">{kept.into_iter().map(choice).collect_view()}</div> })
        }}
    }
}

/// Keeps the parameters that the form shows, under a name.
#[component]
pub(super) fn KeepRecipe(texts: Texts, kept: Loaded<Vec<Stored<Recipe>>>) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let name = RwSignal::new(String::new());
    let fault = RwSignal::new(None::<String>);
    let keep = move || {
        let value = match untrack(|| texts.recipe()) {
            Ok(recipe) => recipe,
            Err(why) => return fault.set(Some(why)),
        };
        let called = name.get_untracked().trim().to_owned();
        if called.is_empty() {
            return fault.set(Some("Give the recipe a name.".to_owned()));
        }
        fault.set(None);
        spawn_local(async move {
            let new = NewStored { name: called, value };
            let made: Result<Stored<Recipe>, ApiError> = api::post(&the.path_now("recipes"), &new).await;
            match made {
                Ok(made) => {
                    name.try_set(String::new());
                    toasts.say(format!("The recipe “{}” is kept.", made.name));
                    kept.reload();
                }
                Err(error) => drop(fault.try_set(Some(error.to_string()))),
            }
        });
    };
    // Enter in a field of a form presses its button, which would start a run.
    let key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            keep();
        }
    };
    view! {
        <div class="field">
            <label for="recipe-name">"Keep these parameters as a recipe"</label>
            <div class="row">
                <input
                    id="recipe-name"
                    maxlength="200"
                    autocomplete="off"
                    placeholder="Its name"
                    prop:value=name
                    on:input=move |event| name.set(event_target_value(&event))
                    on:keydown=key
                />
                <button type="button" class="button" on:click=move |_| keep()>
                    "Keep"
                </button>
            </div>
            <p class="fault" role="status">{fault}</p>
        </div>
    }
}
