//! The loop that every stage of pretraining shares.

use std::path::Path;

use mudi_engine_candle::Gradients;

use super::data::ahead;
use super::state::State;
use super::{PretrainError, Progress, rate};

/// One stage.
pub(super) struct Stage<'a> {
    /// What its progress bar calls it.
    pub(super) name: &'static str,
    /// How many steps it has.
    pub(super) steps: u64,
    /// The largest learning rate.
    pub(super) rate: f64,
    pub(super) checkpoint_every: u64,
    /// The file with its state.
    pub(super) path: &'a Path,
}

impl Stage<'_> {
    /// Takes a saved state over, if there is one, and the steps that are left. `make(step)` prepares a batch ahead, on a thread of its own;
    /// `pass` gives its loss and gradients; `kept` is told of each checkpoint.
    pub(super) fn learn<B: Send + 'static>(
        &self,
        state: &mut State,
        progress: &Progress,
        make: impl Fn(u64) -> Result<B, PretrainError> + Send + 'static,
        pass: impl Fn(u64, &B) -> Result<(f64, Gradients), PretrainError>,
        kept: impl Fn(&State) -> Result<(), PretrainError>,
    ) -> Result<(), PretrainError> {
        if self.path.exists() {
            state.restore(self.path)?;
        }
        if state.step() >= self.steps {
            return Ok(());
        }
        let bar = progress.bar(self.name, self.steps, state.step());
        let batches = ahead(state.step(), make);
        while state.step() < self.steps {
            let step = state.step();
            let batch = batches.recv().map_err(|_| PretrainError::Renderer)??;
            let (loss, gradients) = pass(step, &batch)?;
            state.update(&gradients, rate(self.rate, step, self.steps), loss)?;
            bar.step(&state.losses);
            if state.step().is_multiple_of(self.checkpoint_every) || state.step() == self.steps {
                state.save(self.path)?;
                kept(state)?;
            }
        }
        bar.finish();
        Ok(())
    }
}
