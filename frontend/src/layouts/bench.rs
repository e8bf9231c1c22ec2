//! The designer on the page: passing messages to it from anywhere.

use leptos::prelude::*;
use mudi_domain::aspect::Aspect;
use mudi_domain::layout::{Layout, Placement};
use mudi_domain::segmix::Options;
use mudi_editor::layout::{Designer, Message};

use super::cutouts::Cutouts;
use super::drawing::Drawing;
use crate::browser;

/// What the page beside the canvas shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shown {
    pub(super) aspect: Aspect,
    pub(super) placements: Vec<Placement>,
    pub(super) chosen: Vec<usize>,
    pub(super) undo: bool,
    pub(super) redo: bool,
    pub(super) snapping: bool,
    pub(super) dragging: bool,
}

impl Shown {
    fn of(designer: &Designer) -> Self {
        let (undo, redo) = designer.can();
        Self {
            aspect: designer.aspect(),
            placements: designer.placements().to_vec(),
            chosen: designer.chosen().iter().copied().collect(),
            undo,
            redo,
            snapping: designer.is_snapping(),
            dragging: designer.is_dragging(),
        }
    }
}

/// The designer on the page. It can be copied to wherever messages are made.
#[derive(Clone, Copy)]
pub(super) struct Bench {
    designer: StoredValue<Designer, LocalStorage>,
    drawing: StoredValue<Option<Drawing>, LocalStorage>,
    asked: StoredValue<bool>,
    pub(super) shown: RwSignal<Shown>,
    pub(super) cutouts: Cutouts,
}

impl Bench {
    /// With a layout to begin with, of what `cutouts` loads; `law` is for random ones.
    pub(super) fn new(layout: Layout, cutouts: Cutouts, law: Options) -> Self {
        let designer = Designer::new(Some(layout), cutouts.shapes(), law);
        let shown = RwSignal::new(Shown::of(&designer));
        Self {
            designer: StoredValue::new_local(designer),
            drawing: StoredValue::new_local(None),
            asked: StoredValue::new(false),
            shown,
            cutouts,
        }
    }

    /// The canvas's proportions.
    pub(super) fn aspect(self) -> Aspect {
        self.shown.with(|shown| shown.aspect)
    }

    /// Gives it a canvas.
    pub(super) fn draw_on(self, drawing: Drawing) {
        self.drawing.set_value(Some(drawing));
        self.redraw();
    }

    /// Lets `change` work on what draws.
    pub(super) fn with_drawing<T>(self, change: impl FnOnce(&mut Drawing) -> T) -> Option<T> {
        self.drawing.try_update_value(|drawing| drawing.as_mut().map(change)).flatten()
    }

    /// What `look` sees of the designer; none after the page was left.
    pub(super) fn look<T>(self, look: impl FnOnce(&Designer) -> T) -> Option<T> {
        self.designer.try_with_value(look)
    }

    /// The layout; none while the canvas is empty.
    pub(super) fn layout(self) -> Option<Layout> {
        self.look(Designer::layout).flatten()
    }

    /// Sends a message to the designer.
    pub(super) fn send(self, message: Message) {
        // The row or the button that had the focus is of no use then, and a key more goes to the canvas.
        if message == Message::Remove && self.shown.with_untracked(|shown| !shown.chosen.is_empty()) {
            browser::focus_soon(".easel canvas");
        }
        let Some(shown) = self.designer.try_update_value(|designer| {
            designer.update(message);
            Shown::of(designer)
        }) else {
            return;
        };
        for placement in &shown.placements {
            self.cutouts.want(&placement.subject, placement.photo.unwrap_or(0));
        }
        if self.shown.with_untracked(|known| *known != shown) {
            self.shown.set(shown);
        }
        self.redraw();
    }

    /// Draws the canvas with the next frame.
    pub(super) fn redraw(self) {
        if self.asked.try_get_value() != Some(false) {
            return;
        }
        self.asked.set_value(true);
        request_animation_frame(move || {
            self.asked.try_set_value(false);
            self.paint();
        });
    }

    /// Draws it.
    pub(super) fn paint(self) {
        self.designer.try_with_value(|designer| {
            self.with_drawing(|drawing| {
                // What cannot be drawn now is drawn with the next change.
                let _ = drawing.paint(designer, self.cutouts);
            });
        });
    }
}
