//! GrabCut in a worker, so that the page stands still for nobody: a question goes in, how far it is comes out, and at the end a mask.
//!
//! The worker says `true` when it listens and gets the question: a text (the [`Question`] as JSON) and the photo's bytes, three a
//! pixel. It answers with the number of each round, then with the mask's bytes, or `null` where nothing was found. A worker
//! answers one question: whoever has no use for the answer ends it.

mod page;
mod worker;

use mudi_domain::grabcut::Hints;
pub(crate) use page::{Progress, Search};
use serde::{Deserialize, Serialize};
pub use worker::start_grabcut;

/// What is asked of the worker, beside the photo's bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Pixels of the photo across and down, as small as it is sent.
    pub(crate) sent: [u32; 2],
    /// What points at the subject, in pixels of the photo as it is sent.
    pub(crate) hints: Hints,
    /// Pixels of the mask that is wanted, across and down.
    pub(crate) wanted: [u32; 2],
}
