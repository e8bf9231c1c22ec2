//! Undo and redo without an end.

use image::GrayImage;
use mudi_domain::geometry::Rect;

use super::tiles::Patch;

/// What was done, and what was undone. Each entry holds, packed, the tiles that it has changed and nothing else.
#[derive(Debug, Clone, Default)]
pub struct History {
    done: Vec<Entry>,
    undone: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: &'static str,
    /// Of what was done, the tiles before it; of what was undone, those after it.
    other: Patch,
}

impl History {
    /// Remembers what was there before something called `name` was done. What was undone can no longer be done again.
    pub(super) fn push(&mut self, name: &'static str, before: Patch) {
        self.undone.clear();
        self.done.push(Entry { name, other: before });
    }

    /// Undoes the last thing: its name, the rectangle that has changed, and its tiles as they are now.
    pub(super) fn undo(&mut self, mask: &mut GrayImage) -> Option<(&'static str, Option<Rect>)> {
        let entry = self.done.pop()?;
        Some(self.turn(entry, mask, false))
    }

    /// Does again what was undone last.
    pub(super) fn redo(&mut self, mask: &mut GrayImage) -> Option<(&'static str, Option<Rect>)> {
        let entry = self.undone.pop()?;
        Some(self.turn(entry, mask, true))
    }

    fn turn(&mut self, entry: Entry, mask: &mut GrayImage, again: bool) -> (&'static str, Option<Rect>) {
        let Entry { name, other } = entry;
        let area = other.bounds(mask.width(), mask.height());
        let entry = Entry { name, other: other.exchange(mask) };
        if again { &mut self.done } else { &mut self.undone }.push(entry);
        (name, area)
    }

    /// The tiles that the last thing undone has changed, as `mask` has them now.
    pub(super) fn last_undone(&self, mask: &GrayImage) -> Patch {
        self.undone.last().map(|entry| entry.other.as_now(mask)).unwrap_or_default()
    }

    /// The tiles of what was done last, as they are now.
    pub(super) fn last_done(&self, mask: &GrayImage) -> Patch {
        self.done.last().map(|entry| entry.other.as_now(mask)).unwrap_or_default()
    }

    /// What can be undone next.
    #[must_use]
    pub fn next_undo(&self) -> Option<&'static str> {
        self.done.last().map(|entry| entry.name)
    }

    /// What can be done again next.
    #[must_use]
    pub fn next_redo(&self) -> Option<&'static str> {
        self.undone.last().map(|entry| entry.name)
    }

    /// How many things can be undone.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.done.len()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.done.iter().chain(&self.undone).map(|entry| size_of::<Entry>() + entry.other.size()).sum()
    }
}
