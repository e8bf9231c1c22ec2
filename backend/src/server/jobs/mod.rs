//! The queue of jobs, and the workers, one for each device, that do one after the other.

pub(crate) mod bases;
mod evaluate;
pub(crate) mod foresee;
mod generate;
mod loaded;
mod photos;
mod ready;
mod report;
mod segment;
mod train;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mudi_domain::api::JobEvent;
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;
pub(crate) use worker::start;

use crate::interrupt::Interrupt;
use crate::server::store::{Claim, EventRow, Store, StoreError};

/// The folder in a run's folder that training writes.
pub(crate) const TRAINED: &str = "trained";
/// The stage of a job before its first step.
const LOADING: &str = "loading the model";
/// Messages that listeners may be behind before they read rows again.
const BEHIND: usize = 1024;

/// An event as it happens.
pub(crate) struct Message {
    /// Whose event it is.
    pub(crate) job: Uuid,
    /// The event.
    pub(crate) row: EventRow,
}

/// A job that is being worked on.
struct Current {
    job: Uuid,
    project: Uuid,
    interrupt: Interrupt,
}

/// What requests and the workers tell each other.
pub(crate) struct Queue {
    wake: Notify,
    current: Mutex<Vec<Current>>,
    /// Held while a run's photos are laid out: several workers may want those of one run.
    laying_out: Mutex<()>,
    messages: broadcast::Sender<Arc<Message>>,
    access: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
}

impl Queue {
    /// An empty one, until `stopped` says that the server stops.
    pub(crate) fn new(stopped: watch::Receiver<bool>) -> Self {
        Self {
            wake: Notify::new(),
            current: Mutex::default(),
            laying_out: Mutex::default(),
            messages: broadcast::Sender::new(BEHIND),
            access: watch::Sender::new(0),
            stopped,
        }
    }

    /// Tells a worker that there is a job.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether the server stops.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.clone()
    }

    /// Tells open streams that somebody's access may have ended, or that what they are about is gone.
    pub(crate) fn access_changed(&self) {
        self.access.send_modify(|changes| *changes += 1);
    }

    /// Changes with each [`Self::access_changed`].
    pub(crate) fn access(&self) -> watch::Receiver<u64> {
        self.access.subscribe()
    }

    /// Everything that happens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Message>> {
        self.messages.subscribe()
    }

    /// Notes an event and tells it to whoever listens.
    pub(crate) async fn note(&self, store: &Store, job: Uuid, event: &JobEvent) -> Result<(), StoreError> {
        if let Some(row) = store.add_event(job, event).await? {
            self.tell(job, row);
        }
        Ok(())
    }

    /// Tells an event that is noted already to whoever listens.
    pub(crate) fn tell(&self, job: Uuid, row: EventRow) {
        // Nobody has to listen.
        let _ = self.messages.send(Arc::new(Message { job, row }));
    }

    /// Asks the worker that is at this job to stop after its step.
    pub(crate) fn interrupt_job(&self, job: Uuid) {
        self.interrupt(|current| current.job == job);
    }

    /// Asks the workers that are at jobs of this project to stop after their steps.
    pub(crate) fn interrupt_project(&self, project: Uuid) {
        self.interrupt(|current| current.project == project);
    }

    /// Asks every worker to stop after its step.
    pub(crate) fn interrupt_all(&self) {
        self.interrupt(|_| true);
    }

    fn interrupt(&self, which: impl Fn(&Current) -> bool) {
        self.current().iter().filter(|current| which(current)).for_each(|current| current.interrupt.set());
    }

    fn current(&self) -> MutexGuard<'_, Vec<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a worker is at `claim`.
    fn begin(&self, claim: &Claim) -> Interrupt {
        let interrupt = Interrupt::default();
        let current = Current { job: claim.id, project: claim.project, interrupt: interrupt.clone() };
        self.current().push(current);
        interrupt
    }

    /// Notes that no worker is at `claim` any more.
    fn end(&self, claim: &Claim) {
        self.current().retain(|current| current.job != claim.id);
    }
}
