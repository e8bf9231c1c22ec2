//! Base models that stay in memory from one job to the next: the second picture does not wait for the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mudi_engine_candle::weights::Precision;

use crate::allocator;
use crate::base::Base;
use crate::server::stamps::Stamp;

/// Which model it is: its place, how its weights are held, and its files as they were.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    path: PathBuf,
    precision: Precision,
    stamps: Vec<Stamp>,
}

impl Key {
    /// That of the base model in a folder or file, as it is now.
    pub(super) fn of(path: &Path, precision: Precision) -> io::Result<Self> {
        let mut stamps = Vec::new();
        stamp(path, &mut stamps)?;
        // Folders are read in any order.
        stamps.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { path: path.to_owned(), precision, stamps })
    }
}

/// The stamps of a file, or of every file of a folder.
fn stamp(path: &Path, stamps: &mut Vec<Stamp>) -> io::Result<()> {
    if path.is_dir() {
        for entry in path.read_dir()? {
            stamp(&entry?.path(), stamps)?;
        }
        return Ok(());
    }
    stamps.extend(Stamp::of(path)?);
    Ok(())
}

struct Kept<M> {
    key: Key,
    bytes: usize,
    model: M,
}

/// The models of one worker that are in memory while it does something else. One that a job uses is the job's, so that a job
/// that fails takes it along.
pub(super) struct Loaded<M = Base> {
    /// The most bytes of weights that are kept.
    budget: usize,
    /// Least recently used first.
    kept: Mutex<Vec<Kept<M>>>,
}

impl<M> Loaded<M> {
    /// None yet, and at most `budget` bytes of weights.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept<M>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a model of so many bytes would be kept.
    pub(super) fn would_keep(&self, bytes: usize) -> bool {
        bytes <= self.budget
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Bytes of the weights that are kept of the base model in a folder or file, held so.
    pub(super) fn bytes_of(&self, path: &Path, precision: Precision) -> usize {
        let kept = self.lock();
        kept.iter()
            .filter(|kept| kept.key.path == path && kept.key.precision == precision)
            .map(|kept| kept.bytes)
            .sum()
    }

    /// That model, if it was kept and its files have not changed.
    pub(super) fn take(&self, key: &Key) -> Option<M> {
        let mut kept = self.lock();
        let at = kept.iter().position(|kept| kept.key == *key)?;
        Some(kept.remove(at).model)
    }

    /// Lets the least recently used go until a model of `bytes` can be kept beside the rest; all of them for one that cannot
    /// be kept at all.
    pub(super) fn make_room(&self, bytes: usize) {
        let mut kept = self.lock();
        let mut held: usize = kept.iter().map(|kept| kept.bytes).sum();
        let mut gone = false;
        while held.saturating_add(bytes) > self.budget && !kept.is_empty() {
            held -= kept.remove(0).bytes;
            gone = true;
        }
        drop(kept);
        if gone {
            allocator::give_back();
        }
    }

    /// Lets all of them go.
    pub(super) fn clear(&self) {
        self.make_room(usize::MAX);
    }

    fn keep_as_it_is(&self, key: Key, bytes: usize, model: M) {
        self.make_room(bytes);
        if self.would_keep(bytes) {
            self.lock().push(Kept { key, bytes, model });
        }
    }
}

impl Loaded {
    /// Keeps a model for the next job, without what a project has taught it.
    pub(super) fn keep(&self, key: Key, bytes: usize, mut base: Base) {
        base.detach();
        self.keep_as_it_is(key, bytes, base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { path: name.into(), precision: Precision::Single, stamps: Vec::new() }
    }

    fn names(loaded: &Loaded<&'static str>) -> Vec<&'static str> {
        loaded.lock().iter().map(|kept| kept.model).collect()
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let loaded = Loaded::new(10);
        loaded.keep_as_it_is(key("a"), 4, "a");
        loaded.keep_as_it_is(key("b"), 4, "b");
        let a = loaded.take(&key("a")).unwrap();
        assert_eq!(names(&loaded), ["b"]);
        loaded.keep_as_it_is(key("a"), 4, a);
        loaded.keep_as_it_is(key("c"), 5, "c");
        assert_eq!(names(&loaded), ["a", "c"]);
        loaded.make_room(1);
        assert_eq!(names(&loaded), ["a", "c"]);
        loaded.make_room(2);
        assert_eq!(names(&loaded), ["c"]);
        // What cannot be kept needs the memory now.
        loaded.keep_as_it_is(key("large"), 11, "large");
        assert!(loaded.is_empty() && !loaded.would_keep(11) && loaded.would_keep(10));
        loaded.keep_as_it_is(key("a"), 0, "a");
        loaded.clear();
        assert!(loaded.is_empty());
    }

    #[test]
    fn a_model_whose_files_have_changed_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let (base, unet) = (folder.path().join("base"), folder.path().join("base/unet"));
        std::fs::create_dir_all(&unet).unwrap();
        std::fs::write(unet.join("weights"), "1").unwrap();
        let loaded = Loaded::new(1);
        let now = |precision| Key::of(&base, precision).unwrap();
        loaded.keep_as_it_is(now(Precision::Single), 1, "first");
        let bytes = |precision| loaded.bytes_of(&now(precision).path, precision);
        assert_eq!((bytes(Precision::Single), bytes(Precision::Half)), (1, 0));
        assert_eq!(loaded.take(&now(Precision::Half)), None);
        assert_eq!(loaded.take(&now(Precision::Single)), Some("first"));
        loaded.keep_as_it_is(now(Precision::Single), 1, "first");
        std::fs::write(unet.join("weights"), "22").unwrap();
        assert_eq!(loaded.take(&now(Precision::Single)), None);
        assert!(Key::of(&folder.path().join("none"), Precision::Single).unwrap().stamps.is_empty());
    }
}
