//! What a page tells the designer.

use mudi_domain::aspect::Aspect;
use mudi_domain::layout::Layout;
use mudi_domain::subject::SubjectId;

use super::arrange::{Align, Order};
use super::frame::Point;
use crate::Phase;

/// A pointer's event on the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pointer {
    /// Its number, which it keeps while it is pressed.
    pub id: i32,
    /// What happened.
    pub phase: Phase,
    /// Where, in heights of the canvas.
    pub at: Point,
    /// How near counts as hit, in heights of the canvas: more for a finger than for a mouse.
    pub reach: f64,
    /// Shift: choose one more, or turn in steps of 15 degrees.
    pub shift: bool,
    /// Alt: do not snap.
    pub alt: bool,
}

/// What a page tells the designer.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A pointer did something.
    Pointer(Pointer),
    /// One is chosen; or one more, or that one no more, where it was; or none.
    Choose(Option<usize>, bool),
    /// All are chosen.
    ChooseAll,
    /// A photo of a subject is put on the canvas.
    Add(SubjectId, usize),
    /// Those chosen are taken away.
    Remove,
    /// Those chosen are put there once more.
    Duplicate,
    /// Those chosen show another photo of their subject.
    Photo(usize),
    /// Those chosen move, in heights of the canvas.
    Nudge(f64, f64),
    /// Those chosen become so many times as large.
    Scale(f64),
    /// Those chosen turn by degrees.
    Turn(f64),
    /// Those chosen are turned to this angle.
    TurnTo(f64),
    /// Those chosen are mirrored.
    Flip,
    /// Those chosen move in the stack.
    Order(Order),
    /// Those chosen are aligned.
    Align(Align),
    /// Those chosen get equal gaps, across (0) or down (1).
    Distribute(usize),
    /// A random layout by the law of Seg-Mix, from a seed: of what is on the canvas, or of every subject where nothing is.
    Random(u64),
    /// Another layout takes the place of this one; undo brings it back.
    Replace(Layout),
    /// The canvas gets other proportions; what was in the middle across stays there.
    Aspect(Aspect),
    /// Whether edges and middles snap.
    Snap(bool),
    /// What is being dragged goes back; else nothing is chosen.
    Escape,
    /// Back.
    Undo,
    /// And forth.
    Redo,
}

/// What a key (as browsers name it) means; none where it means nothing. `pixel` is the length of a pixel of the canvas.
#[must_use]
pub fn key_message(key: &str, control: bool, shift: bool, pixel: f64) -> Option<Message> {
    let step = if shift { 16.0 * pixel } else { pixel };
    if control {
        return match (key.to_lowercase().as_str(), shift) {
            ("z", false) => Some(Message::Undo),
            ("z", true) | ("y", _) => Some(Message::Redo),
            ("d", _) => Some(Message::Duplicate),
            ("a", _) => Some(Message::ChooseAll),
            _ => None,
        };
    }
    match key {
        "ArrowLeft" => Some(Message::Nudge(-step, 0.0)),
        "ArrowRight" => Some(Message::Nudge(step, 0.0)),
        "ArrowUp" => Some(Message::Nudge(0.0, -step)),
        "ArrowDown" => Some(Message::Nudge(0.0, step)),
        "+" | "=" => Some(Message::Scale(1.05)),
        "-" | "_" => Some(Message::Scale(1.0 / 1.05)),
        "," => Some(Message::Turn(-1.0)),
        "." => Some(Message::Turn(1.0)),
        "<" => Some(Message::Turn(-15.0)),
        ">" => Some(Message::Turn(15.0)),
        "f" | "F" => Some(Message::Flip),
        "]" => Some(Message::Order(Order::Forward)),
        "[" => Some(Message::Order(Order::Backward)),
        "}" => Some(Message::Order(Order::Front)),
        "{" => Some(Message::Order(Order::Back)),
        "Delete" | "Backspace" => Some(Message::Remove),
        "Escape" => Some(Message::Escape),
        _ => None,
    }
}

/// The sheet of keys.
pub const SHEET: &[crate::Shortcut] = &[
    crate::Shortcut { keys: "Arrows", does: "Move by a pixel of the canvas; with Shift by 16" },
    crate::Shortcut { keys: "+ and −", does: "Larger and smaller" },
    crate::Shortcut { keys: ", and .", does: "Turn by a degree; with Shift by 15" },
    crate::Shortcut { keys: "F", does: "Mirror" },
    crate::Shortcut { keys: "[ and ]", does: "Backward and forward in the stack; with Shift to its end" },
    crate::Shortcut { keys: "Ctrl + D", does: "Duplicate" },
    crate::Shortcut { keys: "Delete", does: "Take off the canvas" },
    crate::Shortcut { keys: "Ctrl + A", does: "Choose all" },
    crate::Shortcut { keys: "Shift + click", does: "Choose one more, or one less" },
    crate::Shortcut { keys: "Alt while dragging", does: "Do not snap" },
    crate::Shortcut { keys: "Esc", does: "Back to before the drag; choose nothing" },
    crate::Shortcut { keys: "Ctrl + Z", does: "Undo" },
    crate::Shortcut { keys: "Ctrl + Shift + Z, Ctrl + Y", does: "Redo" },
    crate::Shortcut { keys: "?", does: "This sheet" },
];
