//! Room for what shall go even where the disk is full: SQLite writes before it deletes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, StoreError, is_full};

/// The file that takes the room.
const FILE: &str = "reserve";
/// It is written in pieces, so that a disk that is nearly full gives some of them.
const PIECE: usize = 1 << 20;
/// The pieces of a whole reserve.
const PIECES: usize = 8;

/// Room on the disk that nobody else can take.
#[derive(Clone)]
pub(super) struct Reserve {
    path: PathBuf,
    /// One at a time fills it or gives it away.
    alone: Arc<Mutex<()>>,
}

impl Reserve {
    /// The one of a data folder.
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: folder.join(FILE), alone: Arc::default() }
    }

    /// Takes what of the room is missing, as far as the disk has it.
    fn fill(&self) {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if self.path.metadata().is_ok_and(|found| found.len() as usize >= PIECE * PIECES) {
            return;
        }
        if let Err(error) = self.write() {
            tracing::warn!(path = %self.path.display(), %error, "no room is kept for a full disk");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut file = File::create(&self.path)?;
        // Of zeros some file systems would keep none. No byte is a letter, so that nobody finds words in it.
        let mut piece = vec![0; PIECE];
        getrandom::fill(&mut piece).map_err(std::io::Error::other)?;
        piece.iter_mut().for_each(|byte| *byte |= 0x80);
        let mut kept = 0;
        while kept < PIECES && file.write_all(&piece).is_ok() {
            kept += 1;
        }
        // Half a piece is more use to others.
        file.set_len((kept * PIECE) as u64)?;
        file.sync_all()
    }

    /// Gives the room away; whether there was some.
    fn give(&self) -> bool {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let had = self.path.metadata().is_ok_and(|found| found.len() > 0);
        had && std::fs::remove_file(&self.path).is_ok()
    }
}

impl Store {
    /// Makes a change that must succeed on a full disk: where it does not, once more in the room that was kept for it. Who makes
    /// it calls [`Self::keep_room`] after it.
    pub(super) async fn with_room<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        change: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        match change().await {
            Err(error) if matches!(error, StoreError::Full) || is_full(&error) => match self.reserve.give() {
                true => change().await,
                false => Err(error),
            },
            made => made,
        }
    }

    /// Keeps room for [`Self::with_room`] again, where it was used and there is some.
    pub(super) async fn keep_room(&self) {
        let reserve = self.reserve.clone();
        // Without a reserve a full disk is only harder to mend.
        let _ = tokio::task::spawn_blocking(move || reserve.fill()).await;
    }
}
