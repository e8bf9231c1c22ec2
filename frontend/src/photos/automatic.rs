//! Masks that the server makes by itself, from the names of the subjects.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use mudi_domain::api::{Access, Job, JobEvent, JobKind, NewMasks, Photo};
use uuid::Uuid;

use crate::api::{self, Loaded};
use crate::frame::{Toasts, the_project};
use crate::training::{Progress, Work};
use crate::widgets::{Icon, Sign};

/// What asks for masks, and shows how far they are and which photos got none.
#[derive(Clone, Copy)]
pub(super) struct Automatic {
    photos: Loaded<Vec<Photo>>,
    jobs: Loaded<Vec<Job>>,
    /// Photos for which no mask could be made, and why.
    faults: RwSignal<Vec<(Uuid, String)>>,
}

impl Automatic {
    /// Finds the jobs that make masks already.
    pub(super) fn new(photos: Loaded<Vec<Photo>>) -> Self {
        let the = the_project();
        let jobs = Loaded::new(move || {
            let path = the.path("jobs");
            async move {
                let open = |job: &Job| job.kind == JobKind::Segment && !job.state.is_over();
                api::list::<Job>(&path).await.map(|jobs| jobs.into_iter().filter(open).collect::<Vec<_>>())
            }
        });
        Self { photos, jobs, faults: RwSignal::new(Vec::new()) }
    }

    /// The button that asks for them, unless they are being made.
    pub(super) fn button(self) -> Option<impl IntoView + use<>> {
        let the = the_project();
        let toasts = expect_context::<Toasts>();
        let idle = self.jobs.value().is_some_and(|jobs| jobs.is_empty());
        let ask = move |_| {
            let path = the.path_now("masks");
            self.faults.set(Vec::new());
            spawn_local(async move {
                match api::post::<Job>(&path, &NewMasks::default()).await {
                    Ok(_) => self.jobs.reload(),
                    Err(error) => toasts.fault(&error),
                }
            });
        };
        (idle && the.allows(Access::Editor)).then(|| {
            view! {
                <button class="button primary" on:click=ask>
                    <Icon sign=Sign::Generate />
                    "Make the masks"
                </button>
            }
        })
    }

    fn heard(self, event: &JobEvent) {
        match event {
            JobEvent::Mask { photo, fault } => match fault {
                Some(fault) => self.faults.update(|faults| {
                    faults.retain(|(known, _)| known != photo);
                    faults.push((*photo, fault.clone()));
                }),
                None => self.photos.reload(),
            },
            JobEvent::State { state, .. } if state.is_over() => {
                self.photos.reload();
                self.jobs.reload();
            }
            _ => {}
        }
    }
}

/// How far the masks are, and which photos got none.
#[component]
pub(super) fn AutomaticProgress(automatic: Automatic) -> impl IntoView {
    let the = the_project();
    let work = move |job: Job| {
        let work = Work::follow(job, move |event| automatic.heard(event));
        view! {
            <li class="card">
                <Progress work />
            </li>
        }
    };
    let fault = move |(photo, fault): (Uuid, String)| {
        let named =
            automatic.photos.value().unwrap_or_default().into_iter().find(|known| known.id == photo)?;
        let place = format!("/projects/{}/photos/{photo}/mask", the.id.get());
        named.mask.is_none().then(|| {
            view! {
                <li>
                    <A href=place>{named.name}</A>
                    ": "
                    {fault}
                </li>
            }
        })
    };
    let faults = move || {
        let lines: Vec<_> = automatic.faults.get().into_iter().filter_map(fault).collect();
        (!lines.is_empty()).then(|| {
            view! {
                <div class="notice warns" role="status">
                    <ul class="stack">{lines}</ul>
                </div>
            }
        })
    };
    view! {
        <ul class="stack jobs">
            <For each=move || automatic.jobs.value().unwrap_or_default() key=|job| job.id children=work />
        </ul>
        {faults}
    }
}
