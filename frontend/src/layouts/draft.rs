//! What was done to a layout and is not saved yet, in the browser, where it survives the page.

use mudi_domain::api::NewStored;
use mudi_domain::layout::Layout;
use uuid::Uuid;

use crate::browser;

/// The draft of one layout.
#[derive(Clone, Copy)]
pub(super) struct Draft(pub(super) Uuid);

impl Draft {
    fn key(self) -> String {
        format!("mudi-layout/{}", self.0)
    }

    /// Keeps what is not saved.
    pub(super) fn keep(self, document: &NewStored<Layout>) {
        browser::remember(&self.key(), &text(document));
    }

    /// Nothing is unsaved any more.
    pub(super) fn forget(self) {
        browser::forget(&self.key());
    }

    /// The server has `document`; what was done since stays.
    pub(super) fn arrived(self, document: &NewStored<Layout>) {
        if browser::remembered(&self.key()) == Some(text(document)) {
            self.forget();
        }
    }

    /// What an earlier page did not save of a layout that is `known` to be on the server.
    pub(super) fn left(self, known: &NewStored<Layout>) -> Option<NewStored<Layout>> {
        // One of another version of the page cannot be read, and is written over.
        let left = serde_json::from_str(&browser::remembered(&self.key())?).ok()?;
        (left != *known).then_some(left)
    }
}

fn text(document: &NewStored<Layout>) -> String {
    // Numbers, texts and lists always serialize.
    serde_json::to_string(document).unwrap_or_default()
}
