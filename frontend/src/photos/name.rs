//! Naming a subject: identifier and class, with suggestions, and warnings before names clash.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{NewSubject, Page, SubjectChange, SubjectSummary};
use mudi_domain::subject::{Subject, SubjectId};

use crate::api::{self, Answer, ApiError};
use crate::browser;
use crate::frame::the_project;
use crate::identifiers;
use crate::widgets::busy_already;

/// Identifiers that are suggested at once.
const SUGGESTED: usize = 5;

/// Adds a subject under a key that none has by now: others may have been added since the list was read.
async fn add(path: &str, made: &Subject) -> Answer<SubjectSummary> {
    let taken = api::get::<Page<SubjectSummary>>(path).await?.items;
    let id = SubjectId::new(&identifiers::free_id(&taken)).unwrap_or_else(|_| made.id().clone());
    api::post(path, &NewSubject { id, name: made.name().to_owned() }).await
}

/// Names a new subject, or one that is there.
#[component]
pub(super) fn NameForm(
    /// The subject, unless it is a new one.
    #[prop(optional_no_strip)]
    subject: Option<SubjectSummary>,
    /// All subjects of the project.
    all: Vec<SubjectSummary>,
    /// Called when it is named.
    done: Callback<()>,
) -> impl IntoView {
    let the = the_project();
    let (before_identifier, before_class) = match &subject {
        Some(subject) => subject.name.split_once(' ').unwrap_or((subject.name.as_str(), "")),
        None => ("", ""),
    };
    let (identifier, class) =
        (RwSignal::new(before_identifier.to_owned()), RwSignal::new(before_class.to_owned()));
    let (busy, fault) = (RwSignal::new(false), RwSignal::new(None::<ApiError>));
    let id = subject.as_ref().map(|subject| subject.id.clone());
    let suggested = identifiers::suggestions(&all, SUGGESTED);
    let others: Vec<String> =
        all.iter().filter(|other| Some(&other.id) != id.as_ref()).map(|other| other.name.clone()).collect();
    let warnings = Memo::new(move |_| {
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        identifiers::warnings(&identifier.get(), &class.get(), &others)
    });
    let subject = StoredValue::new(subject);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let name = format!("{} {}", identifier.get_untracked().trim(), class.get_untracked().trim());
        let made = SubjectId::new(&identifiers::free_id(&[])).and_then(|id| Subject::new(id, &name));
        let made = match made {
            Ok(made) => made,
            Err(_) => return browser::focus("#subject-class"),
        };
        if busy_already(busy) {
            return;
        }
        spawn_local(async move {
            let answer = match subject.get_value() {
                Some(known) => {
                    let path = the.path_now(&format!("subjects/{}", known.id));
                    let change = SubjectChange { name: made.name().to_owned() };
                    api::patch::<SubjectSummary>(&path, known.version, &change).await
                }
                None => add(&the.path_now("subjects"), &made).await,
            };
            busy.try_set(false);
            match answer {
                Ok(_) => drop(done.try_run(())),
                Err(error) => drop(fault.try_set(Some(error))),
            }
        });
    };
    let suggestion = move |word: &'static str| {
        view! {
            <button type="button" class="chip mono" on:click=move |_| identifier.set(word.to_owned())>
                {word}
            </button>
        }
    };
    view! {
        <form class="form" on:submit=submit>
            <div class="field">
                <label for="subject-identifier">"Identifier"</label>
                <input
                    id="subject-identifier"
                    class="mono"
                    required
                    autofocus
                    maxlength="40"
                    pattern="\\S+"
                    title="One word, without spaces"
                    autocomplete="off"
                    autocapitalize="none"
                    spellcheck="false"
                    aria-describedby="subject-identifier-help subject-warnings"
                    prop:value=identifier
                    on:input=move |event| identifier.set(event_target_value(&event))
                />
                <p class="help" id="subject-identifier-help">
                    "A rare word that means nothing yet. In prompts it will mean this one subject."
                </p>
                <div class="row" role="group" aria-label="Suggested identifiers">
                    {suggested.into_iter().map(suggestion).collect_view()}
                </div>
            </div>
            <div class="field">
                <label for="subject-class">"What it is"</label>
                <input
                    id="subject-class"
                    required
                    maxlength="150"
                    placeholder="brown teddy bear"
                    autocomplete="off"
                    aria-describedby="subject-class-help subject-warnings"
                    prop:value=class
                    on:input=move |event| class.set(event_target_value(&event))
                />
                <p class="help" id="subject-class-help">
                    "In plain words, and closely: “Weimaraner” rather than “dog”. The better the description, the less is mixed up."
                </p>
            </div>
            <ul id="subject-warnings" class="stack warn" aria-live="polite">
                {move || warnings.get().into_iter().map(|text| view! { <li>{text}</li> }).collect_view()}
            </ul>
            <p class="fault" role="alert">{move || fault.get().map(|error| error.to_string())}</p>
            <div class="dialog-foot">
                <button class="button primary" class:busy=busy>
                    {if subject.with_value(Option::is_some) { "Rename" } else { "Add subject" }}
                </button>
            </div>
        </form>
    }
}
