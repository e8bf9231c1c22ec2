//! Telling how far a job is.

use std::time::{Duration, Instant};

use mudi_domain::api::JobEvent;

use super::worker::{Stopped, Work};

/// The shortest time between two reports: enough for the eye, and little work for the disk.
const OFTEN: Duration = Duration::from_millis(250);

/// Reports progress: rows and events, but not too many.
pub(super) struct Reporter<'a> {
    work: &'a Work<'a>,
    stage: String,
    begun: Instant,
    /// Where the stage was when it began: a resumed run does not begin at 0.
    first: u64,
    last: Option<Instant>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(work: &'a Work<'a>) -> Self {
        Self { work, stage: String::new(), begun: Instant::now(), first: 0, last: None }
    }

    /// Seconds for each step of the stage so far; `None` before it has made enough to tell.
    pub(super) fn pace(&self, step: u64) -> Option<f64> {
        const ENOUGH: u64 = 5;
        let made = step.saturating_sub(self.first);
        (made >= ENOUGH).then(|| self.begun.elapsed().as_secs_f64() / made as f64)
    }

    /// A stage has begun whose steps are not counted.
    pub(super) fn stage(&mut self, stage: &str) -> Result<(), Stopped> {
        stage.clone_into(&mut self.stage);
        self.tell(0, 0, None, None)
    }

    /// So many of so many steps of a stage are made.
    pub(super) fn step(
        &mut self,
        stage: &str,
        step: u64,
        steps: u64,
        loss: Option<f64>,
    ) -> Result<(), Stopped> {
        self.work.server.counters.step();
        if self.stage != stage {
            stage.clone_into(&mut self.stage);
            (self.begun, self.first, self.last) = (Instant::now(), step, None);
        }
        if step < steps && self.last.is_some_and(|last| last.elapsed() < OFTEN) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let made = step.saturating_sub(self.first);
        let each = self.begun.elapsed().as_secs_f64() / made.max(1) as f64;
        let seconds_left = (made > 0).then(|| each * steps.saturating_sub(step) as f64);
        self.tell(step, steps, loss, seconds_left)
    }

    fn tell(
        &self,
        step: u64,
        steps: u64,
        loss: Option<f64>,
        seconds_left: Option<f64>,
    ) -> Result<(), Stopped> {
        let (store, job) = (&self.work.server.store, self.work.claim.id);
        self.work.wait(store.progress(job, &self.stage, step, steps, seconds_left))?;
        let event = JobEvent::Progress { stage: self.stage.clone(), step, steps, loss, seconds_left };
        self.work.wait(self.work.server.queue.note(store, job, &event))
    }
}
