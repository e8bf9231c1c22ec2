//! Keys: one table for what they do and for the sheet that explains them.

use super::message::{Edit, Message, ViewChange};
use super::operation::Combine;
use super::tool::{Tool, ToolChange};
use crate::Shortcut;

macro_rules! sheet {
    ($($keys:literal => $does:literal,)*) => { &[$(Shortcut { keys: $keys, does: $does },)*] };
}

/// The sheet of keys.
pub const SHEET: &[Shortcut] = sheet! {
    "B" => "Brush",
    "E" => "Eraser",
    "L" => "Lasso",
    "W" => "Magic wand",
    "M" => "Box around the subject",
    "P" => "Click on the subject",
    "K" => "Mark the subject with lines",
    "H" => "Hand; the space bar moves the photo with every tool",
    "[ and ]" => "Smaller and larger brush",
    "{ and }" => "Softer and harder brush",
    "Alt, right button" => "The opposite: erase, take away, beside the subject",
    "O" => "Turn lasso, wand, click or mark round: the opposite without Alt",
    "Shift + click" => "Straight line from where the last one ended",
    "Ctrl + Z" => "Undo",
    "Ctrl + Shift + Z, Ctrl + Y" => "Redo",
    "Enter" => "Take the automatic mask; without one, press or lift the tool at the cursor",
    "+ with an automatic mask" => "Add it to what there is",
    "− with an automatic mask" => "Take it away from what there is",
    "Esc" => "Drop what is being drawn, or the automatic mask",
    "I" => "Invert",
    "G" => "Grow by the radius",
    "S" => "Shrink by the radius",
    "F" => "Feather by the radius",
    "Delete" => "Clear the mask",
    "V" => "Next view: tint, cut out, outline, mask",
    "Arrows" => "Move the cursor; with Shift in large steps",
    "Ctrl + arrows" => "Move the photo",
    "+ and −, wheel" => "Zoom",
    "0" => "Show the whole photo",
    "1" => "One pixel of the photo on one of the screen",
    "Page up, page down" => "Previous and next photo",
    "?" => "This sheet",
};

/// Keys held with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Ctrl, or Command.
    pub control: bool,
    /// Shift.
    pub shift: bool,
}

/// How far an arrow moves the cursor, in CSS pixels.
const STEP: f64 = 4.0;
/// The same with Shift.
const LEAP: f64 = 32.0;
/// How far an arrow with Ctrl moves the photo.
const PAN: f64 = 64.0;

/// What a key (as browsers name it) means; none where it means nothing. `found` says whether an automatic mask waits to
/// be taken.
#[must_use]
pub fn message(key: &str, held: Held, found: bool) -> Option<Message> {
    let lower = key.to_lowercase();
    if let Some((dx, dy)) = arrow(key) {
        return Some(if held.control {
            Message::View(ViewChange::Pan(-dx * PAN, -dy * PAN))
        } else {
            let step = if held.shift { LEAP } else { STEP };
            Message::Cursor(dx * step, dy * step)
        });
    }
    if held.control {
        return match (lower.as_str(), held.shift) {
            ("z", false) => Some(Message::Undo),
            ("z", true) | ("y", _) => Some(Message::Redo),
            _ => None,
        };
    }
    let tool = |tool| Some(Message::Tool(tool));
    let setting = |change| Some(Message::Setting(change));
    match lower.as_str() {
        "b" => tool(Tool::Brush),
        "e" => tool(Tool::Eraser),
        "l" => tool(Tool::Lasso),
        "w" => tool(Tool::Wand),
        "m" => tool(Tool::Frame),
        "p" => tool(Tool::Point),
        "k" => tool(Tool::Mark),
        "h" => tool(Tool::Hand),
        "[" => setting(ToolChange::SizeBy(1.0 / 1.15)),
        "]" => setting(ToolChange::SizeBy(1.15)),
        "{" => setting(ToolChange::HardnessBy(-0.1)),
        "}" => setting(ToolChange::HardnessBy(0.1)),
        "o" => setting(ToolChange::Turn),
        "i" => Some(Message::Edit(Edit::Invert)),
        "g" => Some(Message::Edit(Edit::Grow)),
        "s" => Some(Message::Edit(Edit::Shrink)),
        "f" => Some(Message::Edit(Edit::Feather)),
        "delete" | "backspace" => Some(Message::Edit(Edit::Clear)),
        "v" => Some(Message::ShowNext),
        "enter" if found => Some(Message::Accept(Combine::Replace)),
        "enter" => Some(Message::CursorPress),
        "escape" => Some(Message::Escape),
        "+" | "=" if found => Some(Message::Accept(Combine::Add)),
        "-" | "_" if found => Some(Message::Accept(Combine::Remove)),
        "+" | "=" => Some(Message::View(ViewChange::ZoomMiddle(1.25))),
        "-" | "_" => Some(Message::View(ViewChange::ZoomMiddle(0.8))),
        "0" => Some(Message::View(ViewChange::Fit)),
        "1" => Some(Message::View(ViewChange::Actual)),
        _ => None,
    }
}

fn arrow(key: &str) -> Option<(f64, f64)> {
    match key {
        "ArrowLeft" => Some((-1.0, 0.0)),
        "ArrowRight" => Some((1.0, 0.0)),
        "ArrowUp" => Some((0.0, -1.0)),
        "ArrowDown" => Some((0.0, 1.0)),
        _ => None,
    }
}
