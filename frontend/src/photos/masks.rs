//! Masks that the server makes by itself: it looks for each subject's class, and cuts it out.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Job, JobEvent, JobKind, NewMasks};

use super::subject::Shelf;
use crate::api::{self, Loaded};
use crate::frame::{Toasts, the_project};
use crate::text;
use crate::training::{Progress, Work};

/// The jobs that make masks, while they last.
#[derive(Clone, Copy)]
pub(super) struct MaskJobs(Loaded<Vec<Job>>);

impl MaskJobs {
    /// Those of the project that are not over.
    pub(super) fn new() -> Self {
        let the = the_project();
        Self(Loaded::new(move || {
            let path = the.path("jobs");
            async move {
                let open = |job: &Job| job.kind == JobKind::Segment && !job.state.is_over();
                api::list::<Job>(&path).await.map(|jobs| jobs.into_iter().filter(open).collect::<Vec<_>>())
            }
        }))
    }

    /// Whether there is any.
    pub(super) fn some(self) -> bool {
        self.0.value().is_some_and(|jobs| !jobs.is_empty())
    }

    /// Asks for the masks that are missing.
    pub(super) fn ask(self) {
        let (the, toasts) = (the_project(), expect_context::<Toasts>());
        spawn_local(async move {
            match api::post::<Job>(&the.path_now("masks"), &NewMasks::default()).await {
                Ok(_) => self.0.reload(),
                Err(error) => toasts.fault(&error),
            }
        });
    }
}

/// How far the jobs are that make masks.
#[component]
pub(super) fn MaskProgress(jobs: MaskJobs, shelf: Shelf) -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let work = move |job: Job| {
        let faults = StoredValue::new(Vec::<String>::new());
        let work = Work::follow(job, move |event| match event {
            JobEvent::Mask { fault, .. } => {
                faults.try_update_value(|faults| faults.extend(fault.clone()));
                shelf.photos.reload();
            }
            JobEvent::State { state, .. } if state.is_over() => {
                let faults = faults.try_get_value().unwrap_or_default();
                if let Some(first) = faults.first() {
                    toasts.complain(format!(
                        "{} without a mask still: {first}",
                        text::count(faults.len(), "photo")
                    ));
                }
                shelf.photos.reload();
                jobs.0.reload();
            }
            _ => {}
        });
        view! {
            <li class="card">
                <Progress work />
            </li>
        }
    };
    view! {
        <ul class="stack jobs">
            <For each=move || jobs.0.value().unwrap_or_default() key=|job| job.id children=work />
        </ul>
    }
}
