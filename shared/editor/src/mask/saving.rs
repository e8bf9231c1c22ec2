//! Whether the server has what is shown, and what to do where somebody else has changed the mask meanwhile.

use image::GrayImage;

use super::journal::Journal;
use super::operation::Operation;
use super::tiles::Patch;

/// Whether the server has what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaveState {
    /// It has.
    Saved,
    /// Something was done since.
    Unsaved,
    /// It is on its way.
    Saving,
    /// Somebody else has changed the mask since it was read. Nothing is written before a person has chosen.
    Conflict,
    /// The last try failed, and why; the work is in the journal, and the next try may succeed.
    Failed(String),
}

/// What to do in a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The mask that is shown replaces the other one.
    Mine,
    /// The other one is taken; undo brings back one's own.
    Theirs,
    /// What either covers.
    Both,
}

/// A mask on its way to the server.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The mask. One of which nothing is left is none: the server's is to be taken away, where it has one.
    pub mask: GrayImage,
    /// The `ETag` that the server must still have; none where it must have no mask.
    pub base: Option<String>,
}

/// The state of saving, and the journals of what is not saved.
#[derive(Debug, Clone)]
pub(super) struct Saving {
    pub(super) state: SaveState,
    size: (u32, u32),
    journal: Journal,
    /// What was done since the upload began.
    since: Option<Journal>,
}

impl Saving {
    pub(super) fn new(size: (u32, u32), base: Option<String>) -> Self {
        Self { state: SaveState::Saved, size, journal: Journal::new(size, base), since: None }
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    fn both(&mut self) -> impl Iterator<Item = &mut Journal> {
        std::iter::once(&mut self.journal).chain(&mut self.since)
    }

    /// Something is to be saved.
    pub(super) fn touched(&mut self) {
        if matches!(self.state, SaveState::Saved | SaveState::Failed(_)) {
            self.state = SaveState::Unsaved;
        }
    }

    pub(super) fn done(&mut self, operation: Operation) {
        if let Some(since) = &mut self.since {
            since.push(operation.clone());
        }
        self.journal.push(operation);
        self.touched();
    }

    pub(super) fn undone(&mut self, after: impl Fn() -> Patch) {
        self.both().for_each(|journal| journal.undo(&after));
        self.touched();
    }

    pub(super) fn redone(&mut self, after: impl Fn() -> Patch) {
        self.both().for_each(|journal| journal.redo(&after));
        self.touched();
    }

    /// Begins an upload, where there is something to save and nothing in the way.
    pub(super) fn begin(&mut self, mask: &GrayImage) -> Option<Upload> {
        if !matches!(self.state, SaveState::Unsaved | SaveState::Failed(_)) {
            return None;
        }
        self.state = SaveState::Saving;
        self.since = Some(Journal::new(self.size, None));
        Some(Upload { mask: mask.clone(), base: self.journal.base().map(str::to_owned) })
    }

    /// Whether something was done since the upload began.
    pub(super) fn is_behind(&self) -> bool {
        self.since.as_ref().is_some_and(|since| !since.is_empty())
    }

    /// The server has taken the upload and calls it `tag`; none where it has no mask, as is wanted where nothing is left of it.
    pub(super) fn saved(&mut self, tag: Option<String>) {
        if let Some(since) = self.since.take() {
            self.state = if since.is_empty() { SaveState::Saved } else { SaveState::Unsaved };
            self.journal = since.on(tag);
        }
    }

    /// The server has refused the upload, because there is another mask now.
    pub(super) fn conflict(&mut self) {
        self.since = None;
        self.state = SaveState::Conflict;
    }

    /// The upload did not arrive.
    pub(super) fn failed(&mut self, why: String) {
        self.since = None;
        self.state = SaveState::Failed(why);
    }

    /// From now on `base` is what the server has, and `patch` leads from it to what is shown.
    pub(super) fn restart(&mut self, base: Option<String>, patch: Patch) {
        let state = if patch.is_empty() { SaveState::Saved } else { SaveState::Unsaved };
        *self = Self { state, ..Self::new(self.size, base) };
        if !patch.is_empty() {
            self.journal.start_with(patch);
        }
    }
}
