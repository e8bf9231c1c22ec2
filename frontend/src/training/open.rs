//! The jobs of some kinds that are not over yet, each followed to its end, which is told.

use std::collections::BTreeSet;

use leptos::prelude::*;
use mudi_domain::api::{Job, JobEvent, JobFault, JobKind, JobState};
use uuid::Uuid;

use super::progress::Work;
use crate::api::{self, Loaded};
use crate::frame::{Toasts, the_project};

/// The jobs that a page shows while they last.
#[derive(Clone, Copy)]
pub(crate) struct OpenJobs {
    list: Loaded<Vec<Job>>,
    /// Those whose end has not been told. They stay in the list until it is, however soon they fail.
    followed: StoredValue<BTreeSet<Uuid>>,
    toasts: Toasts,
}

impl OpenJobs {
    /// Those of the project that are of one of these kinds.
    pub(crate) fn new(kinds: &'static [JobKind]) -> Self {
        let the = the_project();
        let followed = StoredValue::new(BTreeSet::<Uuid>::new());
        let list = Loaded::new(move || {
            let path = the.path("jobs");
            async move {
                let untold =
                    |id: Uuid| followed.try_with_value(|followed| followed.contains(&id)) == Some(true);
                let open = |job: &Job| kinds.contains(&job.kind) && (!job.state.is_over() || untold(job.id));
                api::list::<Job>(&path).await.map(|jobs| jobs.into_iter().filter(open).collect::<Vec<_>>())
            }
        });
        Self { list, followed, toasts: expect_context() }
    }

    /// They, oldest first.
    pub(crate) fn all(self) -> Vec<Job> {
        self.list.value().unwrap_or_default()
    }

    /// Takes up a job that was just asked for.
    pub(crate) fn add(self, job: Job) {
        self.followed.try_update_value(|followed| followed.insert(job.id));
        self.list.change(|jobs| jobs.push(job));
        self.list.reload();
    }

    /// Follows one of them; `heard` is told each of its events.
    pub(crate) fn follow(self, job: Job, heard: impl Fn(&JobEvent) + Clone + 'static) -> Work {
        let (id, state, fault) = (job.id, job.state, job.fault.clone());
        self.followed.try_update_value(|followed| followed.insert(id));
        let hear = move |event: &JobEvent| {
            heard(event);
            if let JobEvent::State { state, fault } = event {
                self.end(id, *state, fault.as_ref());
            }
        };
        let over = state.is_over().then(|| hear.clone());
        let work = Work::follow(job, hear);
        if let Some(hear) = over {
            hear(&JobEvent::State { state, fault });
        }
        work
    }

    /// Tells of a job's end, once: its events may tell of it more often.
    fn end(self, id: Uuid, state: JobState, fault: Option<&JobFault>) {
        let first = || self.followed.try_update_value(|followed| followed.remove(&id)) == Some(true);
        if !state.is_over() || !first() {
            return;
        }
        if let (JobState::Failed, Some(fault)) = (state, fault) {
            self.toasts.complain(fault.detail.clone());
        }
        self.list.reload();
    }
}
