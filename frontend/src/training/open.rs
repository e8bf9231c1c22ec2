//! The jobs of some kinds that are not over yet, each followed to its end, and those that have failed, until somebody has read why.

use std::collections::BTreeSet;

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Job, JobEvent, JobKind, JobState};
use uuid::Uuid;

use super::progress::Work;
use crate::api::{self, Loaded};
use crate::browser;
use crate::frame::{TheProject, the_project};

/// Where the browser remembers which failures somebody has put away.
const DISMISSED: &str = "mudi-dismissed";
/// The most of them that it remembers.
const MOST_DISMISSED: usize = 500;

/// How long a failure is shown that nobody puts away, in milliseconds: two weeks.
const SHOWN: i64 = 14 * 24 * 3600 * 1000;

/// A job and when it has failed: it may be tried again, and fail again.
type Failure = (Uuid, Option<i64>);

/// The failures that somebody has put away in this browser, the earliest first.
fn dismissed() -> Vec<Failure> {
    browser::remembered(DISMISSED).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Writes down which failures are put away.
fn note(mut dismissed: Vec<Failure>) {
    let most = dismissed.len().saturating_sub(MOST_DISMISSED);
    dismissed.drain(..most);
    // Ids and times always serialize.
    browser::remember(DISMISSED, &serde_json::to_string(&dismissed).unwrap_or_default());
}

/// The jobs that a page shows: while they last, and where they have failed.
#[derive(Clone, Copy)]
pub(crate) struct OpenJobs {
    the: TheProject,
    list: Loaded<Vec<Job>>,
    /// Those whose end has not been told. They stay in the list until it is, however soon they end.
    followed: StoredValue<BTreeSet<Uuid>>,
}

impl OpenJobs {
    /// Those of the project that are of one of these kinds.
    pub(crate) fn new(kinds: &'static [JobKind]) -> Self {
        let the = the_project();
        let followed = StoredValue::new(BTreeSet::<Uuid>::new());
        let list = Loaded::new(move || {
            let path = the.path("jobs");
            async move {
                let mut jobs: Vec<Job> = api::list(&path).await?;
                let untold =
                    |id: Uuid| followed.try_with_value(|followed| followed.contains(&id)) == Some(true);
                let (put_away, long_ago) = (dismissed(), browser::now() - SHOWN);
                jobs.retain(|job| match job.state {
                    _ if !kinds.contains(&job.kind) => false,
                    JobState::Failed => job.finished > Some(long_ago) && !put_away.contains(&Self::key(job)),
                    state => !state.is_over() || untold(job.id),
                });
                Ok(jobs)
            }
        });
        Self { the, list, followed }
    }

    /// They, oldest first.
    pub(crate) fn all(self) -> Vec<Job> {
        self.list.value().unwrap_or_default()
    }

    /// Those that are not over.
    pub(crate) fn open(self) -> Vec<Job> {
        self.all().into_iter().filter(|job| !job.state.is_over()).collect()
    }

    /// What tells a job that is shown from others, and from itself before it ended or was taken up again: then it is shown anew.
    pub(crate) fn key(job: &Job) -> Failure {
        (job.id, job.finished)
    }

    /// Takes up a job that was just asked for.
    pub(crate) fn add(self, job: Job) {
        self.followed.try_update_value(|followed| followed.insert(job.id));
        self.list.change(|jobs| jobs.push(job));
        self.list.reload();
    }

    /// What is to be called when a job that had failed is tried again.
    pub(crate) fn revived(self) -> Callback<()> {
        Callback::new(move |()| self.list.reload())
    }

    /// What puts a failure away.
    pub(crate) fn dismissing(self, work: Work) -> Callback<()> {
        Callback::new(move |()| {
            let failure = work.job.with_untracked(Self::key);
            note(dismissed().into_iter().chain([failure]).collect());
            self.list.change(|jobs| jobs.retain(|job| Self::key(job) != failure));
            let none = self.list.value_now().is_none_or(|jobs| jobs.is_empty());
            browser::focus_soon(if none { "h1" } else { ".jobs button" });
        })
    }

    /// Follows one of them; `heard` is told each of its events.
    pub(crate) fn follow(self, job: Job, heard: impl Fn(&JobEvent) + Clone + 'static) -> Work {
        let (id, state, fault) = (job.id, job.state, job.fault.clone());
        if state.is_over() {
            // What has happened to it is over, and known but for its end.
            if self.told(id) {
                heard(&JobEvent::State { state, fault });
                self.list.reload();
            }
            return Work::ended(job);
        }
        self.followed.try_update_value(|followed| followed.insert(id));
        Work::follow(job, move |event| {
            heard(event);
            if let JobEvent::State { state, .. } = event
                && state.is_over()
            {
                self.end(id);
            }
        })
    }

    /// Notes that a job's end is told; whether it was not before.
    fn told(self, id: Uuid) -> bool {
        self.followed.try_update_value(|followed| followed.remove(&id)) == Some(true)
    }

    /// Shows that a job has ended, if it has: of one that was tried again its events tell the end before, too.
    fn end(self, id: Uuid) {
        let path = self.the.path_now(&format!("jobs/{id}"));
        spawn_local(async move {
            let over = match api::get::<Job>(&path).await {
                Ok(job) => job.state.is_over(),
                Err(_) => true,
            };
            if over && self.told(id) {
                self.list.reload();
            }
        });
    }
}
