//! The page of runs: a new one, and those that there are.

use gloo_timers::callback::Interval;
use leptos::prelude::*;
use leptos_router::components::A;
use mudi_domain::api::{Access, Base, Page, Photo, Run, SubjectSummary};

use super::form::NewRunForm;
use super::history::History;
use crate::api::{self, Answer, Loaded};
use crate::browser;
use crate::frame::the_project;
use crate::text;
use crate::widgets::{Empty, PageTitle, shown};

/// How often it is asked how far runs are while one is not over, in milliseconds.
const AGAIN: u32 = 4000;

/// What a new run needs to know.
#[derive(Clone, PartialEq)]
struct Ready {
    bases: Vec<Base>,
    subjects: Vec<SubjectSummary>,
    photos: Vec<Photo>,
    /// Those that there were when the page was opened.
    runs: Vec<Run>,
}

/// Runs: started, watched, compared.
#[component]
pub(crate) fn Training() -> impl IntoView {
    let the = the_project();
    let ready = Loaded::to_edit(move || {
        let path = the.path("");
        async move {
            let answer: Answer<Ready> = async {
                Ok(Ready {
                    bases: api::get::<Page<Base>>("/api/bases").await?.items,
                    subjects: api::get::<Page<SubjectSummary>>(&format!("{path}/subjects")).await?.items,
                    photos: api::list(&format!("{path}/photos")).await?,
                    runs: api::list(&format!("{path}/runs")).await?,
                })
            }
            .await;
            answer
        }
    });
    // By itself, so that the form keeps what is written into it when a run is deleted.
    let runs = Loaded::new(move || {
        let path = the.path("runs");
        async move { api::list::<Run>(&path).await }
    });
    let again = Callback::new(move |()| runs.reload());
    let _beat = StoredValue::new_local(Interval::new(AGAIN, move || {
        let going = || runs.value_now().is_some_and(|runs| runs.iter().any(|run| !run.state.is_over()));
        if !browser::document().hidden() && going() {
            runs.reload();
        }
    }));
    view! {
        <div class="page">
            <div class="page-head">
                <div>
                    <PageTitle text="Train" />
                    <p class="quiet">
                        "A run learns the subjects from their photos and from collages of them, so that each keeps what is its own."
                    </p>
                </div>
            </div>
            <div class="stack wide-gap">
                {shown(
                    ready,
                    move |ready| {
                        the.allows(Access::Editor).then(|| form(&the.id.get().to_string(), &ready))
                    },
                )} {shown(runs, move |runs| view! { <History runs changed=again /> })}
            </div>
        </div>
    }
}

/// The form, or what has to be done before there is one.
fn form(project: &str, ready: &Ready) -> AnyView {
    let without = ready.photos.iter().filter(|photo| !photo.is_masked()).count();
    let words = if ready.photos.is_empty() {
        "There are no photos yet. Add some of two subjects or more.".to_owned()
    } else if without > 0 {
        format!(
            "{} without a mask. Every photo needs one: it tells the subject from its surroundings.",
            text::count(without, "photo")
        )
    } else if ready.bases.is_empty() {
        return view! {
            <p class="notice">
                "The server has no base model. Whoever hosts it puts one into its folder of models, in diffusers’ layout; then load this page again."
            </p>
        }
        .into_any();
    } else {
        let (bases, subjects, runs) = (ready.bases.clone(), ready.subjects.clone(), ready.runs.clone());
        return view! { <NewRunForm bases subjects runs /> }.into_any();
    };
    let place = format!("/projects/{project}/photos");
    view! {
        <Empty title="Not yet">
            <p>{words}</p>
            <A href=place attr:class="button primary">"Go to the photos"</A>
        </Empty>
    }
    .into_any()
}
