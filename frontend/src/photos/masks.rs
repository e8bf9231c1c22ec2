//! Masks that the server makes by itself: it looks for each subject's class, and cuts it out.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Job, JobEvent, JobKind, NewMasks};

use super::subject::Shelf;
use crate::api;
use crate::frame::{Deletions, Toasts, the_project};
use crate::text;
use crate::training::{OpenJobs, Progress};

/// The jobs that make masks, while they last.
#[derive(Clone, Copy)]
pub(super) struct MaskJobs {
    jobs: OpenJobs,
    /// Whether another one is being asked for.
    pub(super) asking: RwSignal<bool>,
}

impl MaskJobs {
    /// Those of the project that are not over.
    pub(super) fn new() -> Self {
        Self { jobs: OpenJobs::new(&[JobKind::Segment]), asking: RwSignal::new(false) }
    }

    /// Whether there is any.
    pub(super) fn some(self) -> bool {
        !self.jobs.all().is_empty()
    }

    /// Asks for the masks that are missing.
    pub(super) fn ask(self) {
        let (the, toasts, deletions) =
            (the_project(), expect_context::<Toasts>(), expect_context::<Deletions>());
        self.asking.set(true);
        spawn_local(async move {
            // What was deleted is not looked at. Where it is still there, it has been told.
            if deletions.settle().await {
                match api::post::<Job>(&the.path_now("masks"), &NewMasks::default()).await {
                    Ok(job) => self.jobs.add(job),
                    Err(error) => toasts.fault(&error),
                }
            }
            self.asking.try_set(false);
        });
    }
}

/// How far the jobs are that make masks.
#[component]
pub(super) fn MaskProgress(jobs: MaskJobs, shelf: Shelf) -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let work = move |job: Job| {
        let faults = StoredValue::new(Vec::<String>::new());
        let work = jobs.jobs.follow(job, move |event| match event {
            JobEvent::Mask { fault, .. } => {
                faults.try_update_value(|faults| faults.extend(fault.clone()));
                shelf.photos.reload();
            }
            JobEvent::State { state, .. } if state.is_over() => {
                let faults = faults.try_update_value(std::mem::take).unwrap_or_default();
                if let Some(first) = faults.first() {
                    toasts.complain(format!(
                        "{} without a mask still: {first}",
                        text::count(faults.len(), "photo")
                    ));
                }
                shelf.photos.reload();
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
            <For each=move || jobs.jobs.all() key=|job| job.id children=work />
        </ul>
    }
}
