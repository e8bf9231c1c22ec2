//! The queue of jobs, and the worker that does one after the other.

pub(crate) mod bases;
mod evaluate;
pub(crate) mod foresee;
mod generate;
mod photos;
mod report;
mod segment;
mod train;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};

use mudi_domain::api::JobEvent;
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;
pub(crate) use worker::start;

use crate::interrupt::Interrupt;
use crate::server::store::{Claim, EventRow, Store, StoreError};

/// The folder in a run's folder that training writes.
pub(crate) const TRAINED: &str = "trained";
/// Messages that listeners may be behind before they read rows again.
const BEHIND: usize = 1024;

/// An event as it happens.
pub(crate) struct Message {
    /// Whose event it is.
    pub(crate) job: Uuid,
    /// The event.
    pub(crate) row: EventRow,
}

/// The job that is being worked on.
struct Current {
    job: Uuid,
    project: Uuid,
    interrupt: Interrupt,
}

/// What requests and the worker tell each other.
pub(crate) struct Queue {
    wake: Notify,
    current: Mutex<Option<Current>>,
    messages: broadcast::Sender<Arc<Message>>,
    access: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
}

impl Queue {
    /// An empty one, until `stopped` says that the server stops.
    pub(crate) fn new(stopped: watch::Receiver<bool>) -> Self {
        Self {
            wake: Notify::new(),
            current: Mutex::new(None),
            messages: broadcast::Sender::new(BEHIND),
            access: watch::Sender::new(0),
            stopped,
        }
    }

    /// Tells the worker that there is a job.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether the server stops.
    pub(crate) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.clone()
    }

    /// Tells open streams that somebody's access may have ended.
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
            // Nobody has to listen.
            let _ = self.messages.send(Arc::new(Message { job, row }));
        }
        Ok(())
    }

    /// Asks the worker to stop after its step, if it is at this job.
    pub(crate) fn interrupt_job(&self, job: Uuid) {
        self.interrupt(|current| current.job == job);
    }

    /// Asks the worker to stop after its step, if it is at a job of this project.
    pub(crate) fn interrupt_project(&self, project: Uuid) {
        self.interrupt(|current| current.project == project);
    }

    /// Asks the worker to stop after its step.
    pub(crate) fn interrupt_all(&self) {
        self.interrupt(|_| true);
        self.wake();
    }

    fn interrupt(&self, which: impl Fn(&Current) -> bool) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_ref().filter(|current| which(current)) {
            current.interrupt.set();
        }
    }

    /// Notes that the worker is at `claim`.
    fn begin(&self, claim: &Claim) -> Interrupt {
        let interrupt = Interrupt::default();
        let current = Current { job: claim.id, project: claim.project, interrupt: interrupt.clone() };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
        interrupt
    }

    /// Notes that the worker is at nothing.
    fn end(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
