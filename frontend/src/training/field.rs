//! One parameter of the table as a field of the form.

use leptos::prelude::*;
use mudi_domain::recipe::{Kind, PARAMETERS, Parameter, Recipe};

use crate::recipes;
use crate::widgets::option;

/// The texts of all parameters, by name, in the order of the table.
#[derive(Clone, Copy)]
pub(super) struct Texts {
    all: RwSignal<Vec<(&'static str, String)>>,
    /// Called when somebody has changed one.
    changed: Callback<()>,
}

impl Texts {
    /// Those of a recipe; `changed` is called when somebody has changed one.
    pub(super) fn new(recipe: &Recipe, changed: Callback<()>) -> Self {
        Self { all: RwSignal::new(texts(recipe)), changed }
    }

    /// Takes those of another recipe.
    pub(super) fn take(self, recipe: &Recipe) {
        self.all.set(texts(recipe));
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<(&'static str, String)> {
        self.all.get()
    }

    /// Takes those of `kept` whose names the table still has.
    pub(super) fn restore(self, kept: Vec<(String, String)>) {
        self.all.update(|texts| {
            for (name, text) in kept {
                if let Some(found) = texts.iter_mut().find(|(known, _)| *known == name) {
                    found.1 = text;
                }
            }
        });
    }

    /// The text of a parameter.
    pub(super) fn get(self, name: &str) -> String {
        self.all.with(|texts| {
            texts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone()).unwrap_or_default()
        })
    }

    /// The recipe that the texts make; otherwise what is wrong with them.
    pub(super) fn recipe(self) -> Result<Recipe, String> {
        let read = |texts: &Vec<(&str, String)>| {
            recipes::read(texts.iter().map(|(name, text)| (*name, text.as_str())))
        };
        self.all.with(read).map_err(|(_, why)| why)
    }

    /// Gives a parameter another text.
    pub(super) fn set(self, name: &str, text: String) {
        self.all.update(|texts| {
            if let Some(found) = texts.iter_mut().find(|(known, _)| *known == name) {
                found.1 = text;
            }
        });
        self.changed.run(());
    }
}

fn texts(recipe: &Recipe) -> Vec<(&'static str, String)> {
    let text = |name: &str| recipe.get(name).unwrap_or_default();
    PARAMETERS.iter().map(|parameter| (parameter.name, text(parameter.name))).collect()
}

/// A field, with its help and its range.
#[component]
pub(super) fn Field(parameter: &'static Parameter, texts: Texts) -> impl IntoView {
    let name = parameter.name;
    let id = format!("recipe-{name}");
    let help = format!("{id}-help");
    let text = Memo::new(move |_| texts.get(name));
    let fault = Memo::new(move |_| parameter.kind.check(text.get().trim()).err());
    let changed = move || text.get() != parameter.default;
    let write = move |event: web_sys::Event| texts.set(name, event_target_value(&event));
    let invalid = move || fault.with(Option::is_some).then_some("true");
    let field = match parameter.kind {
        Kind::Flag => view! {
            <label class="check">
                <input
                    id=id.clone()
                    type="checkbox"
                    aria-describedby=help.clone()
                    prop:checked=move || text.get() == "true"
                    on:change=move |event| texts.set(name, event_target_checked(&event).to_string())
                />
                {recipes::label(name)}
            </label>
        }
        .into_any(),
        Kind::Choice(words) => view! {
            <select id=id.clone() aria-describedby=help.clone() on:change=write>
                {words.iter().map(|word| option(text.into(), word, (*word).to_owned())).collect_view()}
            </select>
        }
        .into_any(),
        _ => {
            let mode = match parameter.kind {
                Kind::Integer { .. } => "numeric",
                Kind::Number { .. } => "decimal",
                _ => "text",
            };
            view! {
                <input
                    id=id.clone()
                    inputmode=mode
                    autocomplete="off"
                    aria-describedby=help.clone()
                    aria-invalid=invalid
                    prop:value=text
                    on:input=write
                />
            }
            .into_any()
        }
    };
    let titled = !matches!(parameter.kind, Kind::Flag);
    view! {
        <div class="field">
            {titled.then(|| view! { <label for=id>{recipes::label(name)}</label> })}
            {field}
            <p class="help" id=help>
                {parameter.help} {range(&parameter.kind)}
            </p>
            <p class="fault" role="status">{move || fault.get().map(|needed| format!("Here {needed}."))}</p>
            {move || {
                changed()
                    .then(|| {
                        let title = format!("Back to {}", if parameter.default.is_empty() { "nothing" } else { parameter.default });
                        view! {
                            <button type="button" class="link small" on:click=move |_| texts.set(name, parameter.default.to_owned())>
                                {title}
                                <span class="visually-hidden">{format!(" for {}", recipes::label(name))}</span>
                            </button>
                        }
                    })
            }}
        </div>
    }
}

/// The range in words.
fn range(kind: &Kind) -> String {
    match kind {
        Kind::Integer { min, max } => format!(" {min} to {max}."),
        Kind::Number { min, max } => format!(" {min} to {max}."),
        _ => String::new(),
    }
}
