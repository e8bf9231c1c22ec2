//! What both editors take from pointers and keys.

/// What happened to a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It was pressed.
    Down,
    /// It moved, pressed or not.
    Move,
    /// It was let go.
    Up,
    /// The system took it away, as when a palm lies on the screen: what it has begun is undone.
    Cancel,
}

/// A key, or two that belong together, and what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// How the keys are written on the sheet.
    pub keys: &'static str,
    /// What they do.
    pub does: &'static str,
}
