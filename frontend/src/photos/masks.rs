//! Masks that the server makes by itself: it looks for each subject's class, and cuts it out.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Job, JobEvent, JobKind, NewMasks, Photo};

use super::subject::Shelf;
use crate::api;
use crate::frame::{Deletions, TheProject, Toasts, the_project};
use crate::text;
use crate::training::{OpenJobs, Progress};
use crate::widgets::Dialog;

/// The jobs that make masks, while they last.
#[derive(Clone, Copy)]
pub(super) struct MaskJobs {
    jobs: OpenJobs,
    /// Whether another one is being asked for.
    pub(super) asking: RwSignal<bool>,
    the: TheProject,
    toasts: Toasts,
    deletions: Deletions,
}

impl MaskJobs {
    /// Those of the project that are not over, or have failed.
    pub(super) fn new() -> Self {
        Self {
            jobs: OpenJobs::new(&[JobKind::Segment]),
            asking: RwSignal::new(false),
            the: the_project(),
            toasts: expect_context(),
            deletions: expect_context(),
        }
    }

    /// Whether there is any that is not over.
    pub(super) fn some(self) -> bool {
        !self.jobs.open().is_empty()
    }

    /// Asks for the masks that are missing.
    pub(super) fn ask(self) {
        self.ask_for(NewMasks::default());
    }

    /// Asks for the masks of these photos: for new ones, too, in the place of those that they have.
    pub(super) fn ask_again(self, photos: &[Photo]) {
        self.ask_for(NewMasks {
            photos: photos.iter().map(|photo| photo.id).collect(),
            anew: photos.iter().filter_map(|photo| photo.mask.clone()).collect(),
        });
    }

    fn ask_for(self, wanted: NewMasks) {
        self.asking.set(true);
        let path = self.the.path_now("masks");
        spawn_local(async move {
            // What was deleted is not looked at. Where it is still there, it has been told.
            if self.deletions.settle().await {
                match api::post::<Job>(&path, &wanted).await {
                    Ok(job) => self.jobs.add(job),
                    Err(error) => self.toasts.fault(&error),
                }
            }
            self.asking.try_set(false);
        });
    }
}

/// Asks before masks that are there are found again.
#[component]
pub(super) fn FindAgain(
    open: RwSignal<bool>,
    jobs: MaskJobs,
    /// Whose masks.
    #[prop(into)]
    photos: Signal<Vec<Photo>>,
    /// Which these are, in words.
    #[prop(optional, into)]
    whose: String,
) -> impl IntoView {
    let whose = StoredValue::new(whose);
    let which = move || photos.with(|photos| text::count(photos.len(), "photo")) + &whose.get_value();
    view! {
        <Dialog open title="Find all masks again">
            <p>
                {which} ". Each mask stays until another one is found. What somebody has drawn or mended by hand is replaced, too."
            </p>
            <div class="dialog-foot">
                <button class="button" on:click=move |_| open.set(false)>"Keep them"</button>
                <button
                    class="button danger"
                    on:click=move |_| {
                        open.set(false);
                        photos.with_untracked(|photos| jobs.ask_again(photos));
                    }
                >
                    "Find them again"
                </button>
            </div>
        </Dialog>
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
                        "{} without a new mask: {first}",
                        text::count(faults.len(), "photo")
                    ));
                }
                shelf.photos.reload();
            }
            _ => {}
        });
        view! {
            <li class="card">
                <Progress work revived=jobs.jobs.revived() dismiss=jobs.jobs.dismissing(work) />
            </li>
        }
    };
    view! {
        <ul class="stack jobs">
            <For each=move || jobs.jobs.all() key=OpenJobs::key children=work />
        </ul>
    }
}
