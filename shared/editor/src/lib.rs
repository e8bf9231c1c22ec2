//! The mask editor and the layout designer, as states and the messages that change them.
//!
//! Nothing here knows a browser, reads a file or asks a clock. A page turns pointer events, keys and answers of the
//! server into messages, and draws what the state says; so tools, undo, the journal and the saving of work are tested
//! without a page.

mod input;
pub mod layout;
pub mod mask;
pub mod view;

pub use input::{Phase, Shortcut};
