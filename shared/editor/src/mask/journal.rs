//! Work that is not saved yet, in a form that survives the page.

use image::GrayImage;
use serde::{Deserialize, Serialize};

use super::operation::Operation;
use super::tiles::Patch;

/// The version of the format.
const VERSION: u32 = 1;

/// What was done since the mask that the server has: applied to that mask it gives the same bytes again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// Width and height of the photo, in pixels.
    size: (u32, u32),
    /// The `ETag` of the mask it begins with; none for an empty one.
    base: Option<String>,
    /// Things undone that had been done, and saved, before the base: the tiles after each.
    below: Vec<Patch>,
    /// How many of those cannot be done again, because something else was done after them.
    fixed: usize,
    /// What was done after that, those things last that were undone again.
    operations: Vec<Operation>,
    /// How many of them are done.
    done: usize,
    /// A stroke that is being drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unfinished: Option<Operation>,
}

/// Why a journal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It was written by another version of the page.
    #[error("the unsaved work was kept by another version of this page; it cannot be read")]
    Version,
    /// The photo has another size.
    #[error("the unsaved work is for a photo of another size")]
    Size,
    /// Its data are damaged.
    #[error("the unsaved work is damaged")]
    Damaged,
}

impl Journal {
    /// An empty one, on a mask of `size` with the `ETag` `base`.
    #[must_use]
    pub fn new(size: (u32, u32), base: Option<String>) -> Self {
        Self {
            version: VERSION,
            size,
            base,
            below: Vec::new(),
            fixed: 0,
            operations: Vec::new(),
            done: 0,
            unfinished: None,
        }
    }

    /// The `ETag` of the mask it begins with.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// Whether there is nothing in it that is not saved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done == 0 && self.below.is_empty() && self.unfinished.is_none()
    }

    /// Something was done.
    pub(super) fn push(&mut self, operation: Operation) {
        self.unfinished = None;
        self.fixed = self.below.len();
        self.operations.truncate(self.done);
        self.operations.push(operation);
        self.done += 1;
    }

    /// The last thing was undone; `after` makes its tiles as they are now, where they are needed.
    pub(super) fn undo(&mut self, after: impl FnOnce() -> Patch) {
        match self.done.checked_sub(1) {
            Some(done) => self.done = done,
            None => self.below.push(after()),
        }
    }

    /// What was undone last was done again; `after` makes its tiles as they are now, where they are needed.
    pub(super) fn redo(&mut self, after: impl FnOnce() -> Patch) {
        // Those below were undone last.
        if self.done == 0 && self.below.len() > self.fixed {
            self.below.pop();
        } else if self.done < self.operations.len() {
            self.done += 1;
        } else {
            // It was undone before the mask was saved that this begins with.
            self.operations.push(Operation::Patch(after()));
            self.done += 1;
        }
    }

    /// A stroke is being drawn, or no longer.
    pub(super) fn with_unfinished(self, operation: Option<Operation>) -> Self {
        Self { unfinished: operation, ..self }
    }

    /// It begins with tiles that are to be put in place, and that no undo takes away.
    pub(super) fn start_with(&mut self, patch: Patch) {
        self.below.push(patch);
        self.fixed = self.below.len();
    }

    /// The same journal on a mask that has the `ETag` `base` now.
    pub(super) fn on(self, base: Option<String>) -> Self {
        Self { base, ..self }
    }

    /// Whether it can be replayed on a mask of `size`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, size: (u32, u32)) -> Result<(), JournalError> {
        if self.version != VERSION {
            return Err(JournalError::Version);
        }
        if self.size != size {
            return Err(JournalError::Size);
        }
        let fits = |patch: &Patch| patch.fits(size.0, size.1);
        let patches = self.operations.iter().filter_map(|operation| match operation {
            Operation::Patch(patch) => Some(patch),
            _ => None,
        });
        if self.done > self.operations.len()
            || self.fixed > self.below.len()
            || !self.below.iter().chain(patches).all(fits)
        {
            return Err(JournalError::Damaged);
        }
        Ok(())
    }

    /// The operations to do again on the base, in order; and how many more were undone and can be done again, behind them.
    pub(super) fn replay(&self) -> (Vec<Operation>, usize) {
        let below = self.below.iter().cloned().map(Operation::Patch);
        let mut operations: Vec<_> = below.chain(self.operations[..self.done].iter().cloned()).collect();
        operations.extend(self.unfinished.clone());
        // After further steps back those that were undone belong to another mask.
        let again = if self.below.is_empty() && self.unfinished.is_none() {
            self.operations.len() - self.done
        } else {
            0
        };
        operations.extend(self.operations[self.operations.len() - again..].iter().cloned());
        (operations, again)
    }

    /// The mask that it gives on `base`.
    #[must_use]
    pub fn applied(&self, base: &GrayImage) -> GrayImage {
        let mut mask = base.clone();
        let (operations, again) = self.replay();
        for operation in &operations[..operations.len() - again] {
            operation.apply(&mut mask, &mut Patch::default());
        }
        mask
    }
}
