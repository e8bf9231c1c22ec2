//! What a page tells the editor, and what the editor asks of the page.

use image::{GrayImage, RgbImage};
use mudi_domain::geometry::Rect;
use mudi_domain::grabcut::Hints;

use super::journal::Journal;
use super::operation::{Combine, Operation};
use super::picture::Show;
use super::saving::Choice;
use super::tool::{Tool, ToolChange};
use crate::Phase;

/// What points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointerKind {
    /// A mouse, or the keyboard's cursor.
    Mouse,
    /// A pen, which knows how hard it is pressed.
    Pen,
    /// A finger.
    Touch,
}

/// Which button was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Button {
    /// The left one, a finger, a pen's tip.
    #[default]
    Primary,
    /// The wheel.
    Middle,
    /// The right one, or a pen's rear end: the tool does the opposite.
    Secondary,
}

/// Keys held meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keys {
    /// Shift: a straight line from where the last one ended.
    pub shift: bool,
    /// Alt: the tool does the opposite.
    pub alt: bool,
    /// The space bar: the photo is moved.
    pub space: bool,
}

/// A pointer's event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pointer {
    /// Its number, which it keeps while it is pressed.
    pub id: i32,
    /// What it is.
    pub kind: PointerKind,
    /// What happened.
    pub phase: Phase,
    /// Where, in CSS pixels from the left and top of the canvas.
    pub at: (f64, f64),
    /// How hard it is pressed, 0 to 1.
    pub pressure: f32,
    /// The button that was pressed.
    pub button: Button,
    /// Keys held meanwhile.
    pub keys: Keys,
}

/// How the view shall change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ViewChange {
    /// The canvas has this size, in CSS pixels.
    Window(f64, f64),
    /// So many times as large; what is at `at` on the screen stays there.
    Zoom {
        /// Where, in CSS pixels.
        at: (f64, f64),
        /// How many times.
        factor: f64,
    },
    /// So many times as large, about the middle.
    ZoomMiddle(f64),
    /// One pixel of the photo on one of CSS's.
    Actual,
    /// All of it.
    Fit,
    /// Moved by CSS pixels.
    Pan(f64, f64),
}

/// What a page tells the editor.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A pointer did something.
    Pointer(Pointer),
    /// No pointer is over the canvas.
    Leave,
    /// The keyboard's cursor moves by so many CSS pixels.
    Cursor(f64, f64),
    /// The keyboard's cursor is pressed, or let go.
    CursorPress,
    /// Whatever is being drawn is dropped; else what was found or pointed at.
    Escape,
    /// The view changes.
    View(ViewChange),
    /// A tool is taken up.
    Tool(Tool),
    /// A tool's setting changes.
    Setting(ToolChange),
    /// The mask is shown in another way.
    Show(Show),
    /// The next way of showing it.
    ShowNext,
    /// How much the tint hides, 0 to 1.
    Opacity(f32),
    /// Grow, shrink, feather (by the radius that is set), invert, clear or fill.
    Edit(Edit),
    /// Nothing is left of the mask, here and on the server, also where that has one of which nothing was left before.
    Remove,
    /// Back.
    Undo,
    /// And forth.
    Redo,
    /// The photo's colours, which were asked for.
    Colours(RgbImage),
    /// The subject is looked for in all but the edge of the photo, and where it was pointed at.
    FindMiddle,
    /// What was found for a request of that number, or why nothing was.
    Found(u64, Result<GrayImage, String>),
    /// Whether the page can answer so quickly that the mask follows the pointer.
    Glimpses(bool),
    /// What was asked for by the [`Request::Look`] of that number, at any size; none where nothing is seen there.
    Glimpsed(u64, Option<GrayImage>),
    /// A mask from elsewhere (a network's, say), to be looked at before it is taken over.
    Propose(GrayImage),
    /// What was found is taken over.
    Accept(Combine),
    /// The upload has arrived and has this `ETag`; none where nothing was left of it, and the server has none.
    Saved(Option<String>),
    /// The server has another mask than the one that was changed here.
    Conflict,
    /// The upload did not arrive.
    SaveFailed(String),
    /// In a conflict: what to do with the other mask, which has this `ETag`; none where it was taken away.
    Resolve(Choice, GrayImage, Option<String>),
    /// Unsaved work of an earlier page is done again.
    Recover(Box<Journal>),
}

/// What is done to the whole mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Grows by the radius.
    Grow,
    /// Shrinks by it.
    Shrink,
    /// Softens the edge by it.
    Feather,
    /// Subject and background change places.
    Invert,
    /// Nothing is the subject.
    Clear,
    /// Everything is.
    Fill,
}

impl Edit {
    /// The operation, with a radius in pixels of the photo.
    #[must_use]
    pub fn operation(self, radius: u32) -> Operation {
        match self {
            Self::Grow => Operation::Grow(radius),
            Self::Shrink => Operation::Shrink(radius),
            Self::Feather => Operation::Feather(radius),
            Self::Invert => Operation::Invert,
            Self::Clear => Operation::Clear,
            Self::Fill => Operation::Fill,
        }
    }
}

/// What the editor asks of the page.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The photo's colours, answered by [`Message::Colours`].
    Colours,
    /// The subject that the hints mean, answered by [`Message::Found`] with the number.
    Segment(u64, Hints),
    /// What the subject would be if the place under the pointer, the last of the hints, were clicked on; answered by
    /// [`Message::Glimpsed`] with the number, or not at all where a later one is asked.
    Look(u64, Hints),
}

/// What a message has changed, and what is to be done about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// The part of the mask that has changed, in pixels of the photo.
    pub dirty: Option<Rect>,
    /// Everything has to be drawn anew: the view or the way of showing has changed.
    pub all: bool,
    /// What lies above the mask has changed: the line being drawn, what was pointed at, what was found.
    pub marks: bool,
    /// What follows the pointer has changed.
    pub glimpse: bool,
    /// What the page shall do.
    pub requests: Vec<Request>,
    /// What to tell whoever does not see the canvas.
    pub said: Option<String>,
}

impl Effects {
    pub(super) fn dirty(area: Option<Rect>) -> Self {
        Self { dirty: area, ..Self::default() }
    }

    pub(super) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub(super) fn marks() -> Self {
        Self { marks: true, ..Self::default() }
    }

    pub(super) fn say(mut self, text: impl Into<String>) -> Self {
        self.said = Some(text.into());
        self
    }

    pub(super) fn merged(mut self, other: Self) -> Self {
        self.merge(other);
        self
    }

    /// Adds those of another message.
    pub fn merge(&mut self, other: Self) {
        self.dirty = match (self.dirty, other.dirty) {
            (Some(a), Some(b)) => Some(a.union(&b)),
            (a, b) => a.or(b),
        };
        self.all |= other.all;
        self.marks |= other.marks;
        self.glimpse |= other.glimpse;
        self.requests.extend(other.requests);
        self.said = other.said.or(self.said.take());
    }
}
