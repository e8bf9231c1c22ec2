//! What single messages do: back and forth, the magic wand, the view, the keyboard's cursor, conflicts and journals.

use image::GrayImage;

use super::message::{Button, Effects, Keys, Pointer, PointerKind, Request, ViewChange};
use super::operation::{self, Combine, Ink};
use super::saving::Choice;
use super::tool::{Tool, Tools};
use super::{Journal, MaskEditor, Pressed, wand};
use crate::Phase;

/// The pointer's number of the keyboard's cursor.
const KEYBOARD: i32 = i32::MIN;

impl MaskEditor {
    pub(super) fn undo(&mut self) -> Effects {
        let mut effects = self.finish();
        let Some((name, area)) = self.history.undo(&mut self.mask) else {
            return effects.say("Nothing to undo");
        };
        self.saving.undone(|| self.history.last_undone(&self.mask));
        effects.merge(self.changed(area));
        effects.say(format!("Undone: {name}"))
    }

    pub(super) fn redo(&mut self) -> Effects {
        let mut effects = self.finish();
        let Some((name, area)) = self.history.redo(&mut self.mask) else {
            return effects.say("Nothing to do again");
        };
        self.saving.redone(|| self.history.last_done(&self.mask));
        effects.merge(self.changed(area));
        effects.say(format!("Done again: {name}"))
    }

    pub(super) fn wand(&mut self, at: (f64, f64), ink: Ink) -> Effects {
        let Some(colours) = &self.colours else {
            self.wand_waiting = Some((at, ink));
            return Effects { requests: vec![Request::Colours], ..Effects::default() };
        };
        if at.0 < 0.0 || at.1 < 0.0 || colours.dimensions() != self.mask.dimensions() {
            return Effects::default();
        }
        let Tools { tolerance, contiguous, .. } = self.tools;
        let Some(found) = wand::like(colours, at.0 as u32, at.1 as u32, tolerance, contiguous) else {
            return Effects::default();
        };
        let how = if ink == Ink::Add { Combine::Add } else { Combine::Remove };
        self.take_over("Magic wand", &found, how)
    }

    pub(super) fn escape(&mut self) -> Effects {
        if self.is_busy() {
            self.pressed = Pressed::default();
            return self.abort();
        }
        self.prompt.clear();
        self.glimpse.end().merged(Effects::marks())
    }

    pub(super) fn change_view(&mut self, change: ViewChange) -> Effects {
        let (width, height) = self.view.window();
        let middle = (width / 2.0, height / 2.0);
        match change {
            ViewChange::Window(width, height) => self.view.resize((width, height)),
            ViewChange::Zoom { at, factor } => self.view.zoom(at, factor),
            ViewChange::ZoomMiddle(factor) => self.view.zoom(middle, factor),
            ViewChange::Actual => self.view.zoom(middle, 1.0 / self.view.scale),
            ViewChange::Fit => self.view.fit(),
            ViewChange::Pan(dx, dy) => self.view.pan((dx, dy)),
        }
        Effects::all()
    }

    /// Where the keyboard's cursor is on the screen: where the pointer was last, or in the middle.
    fn cursor(&self) -> (f64, f64) {
        let (width, height) = self.view.window();
        self.hover.map_or((width / 2.0, height / 2.0), |at| self.view.to_screen(at))
    }

    pub(super) fn move_cursor(&mut self, dx: f64, dy: f64) -> Effects {
        let ((x, y), (width, height)) = (self.cursor(), self.view.window());
        let (left, top) = (x + dx, y + dy);
        let at = (left.clamp(0.0, width.max(0.0)), top.clamp(0.0, height.max(0.0)));
        // At the window's edge the photo comes to meet it.
        let mut effects = Effects::marks();
        if at != (left, top) {
            effects.merge(self.change_view(ViewChange::Pan(at.0 - left, at.1 - top)));
        }
        effects.merged(self.pointer(keyboard(Phase::Move, at)))
    }

    pub(super) fn press_cursor(&mut self) -> Effects {
        let at = self.cursor();
        let lifts = self.is_busy();
        let mut effects = self.pointer(keyboard(if lifts { Phase::Up } else { Phase::Down }, at));
        // What takes a single place needs no second key.
        if !lifts && matches!(self.tools.tool, Tool::Wand | Tool::Point) {
            effects.merge(self.pointer(keyboard(Phase::Up, at)));
        }
        effects.merged(Effects::marks())
    }

    /// Puts an end to a conflict with `theirs`, which the server calls `tag`.
    pub(super) fn resolve(&mut self, choice: Choice, theirs: &GrayImage, tag: Option<String>) -> Effects {
        let effects = match choice {
            Choice::Mine => Effects::default(),
            Choice::Theirs => self.take_over("The other version", theirs, Combine::Replace),
            Choice::Both => self.take_over("Both versions", theirs, Combine::Add),
        };
        let patch = operation::taken_over(theirs, &self.before_stroke(), Combine::Replace);
        self.saving.restart(tag, patch);
        effects
    }

    pub(super) fn recover(&mut self, journal: &Journal) -> Effects {
        let (operations, again) = journal.replay();
        let (mut effects, mut depth) = (Effects::default(), 0);
        let last_done = operations.len() - again;
        for (place, operation) in operations.into_iter().enumerate() {
            if place == last_done {
                depth = self.history.depth();
            }
            let name = operation.name();
            effects.merge(self.perform(name, operation));
        }
        // On another mask some of them may have changed nothing, and are no steps.
        while again > 0 && self.history.depth() > depth {
            effects.merge(self.undo());
        }
        effects.say("Your unsaved work is back.")
    }
}

fn keyboard(phase: Phase, at: (f64, f64)) -> Pointer {
    Pointer {
        id: KEYBOARD,
        kind: PointerKind::Mouse,
        phase,
        at,
        pressure: 1.0,
        button: Button::Primary,
        keys: Keys::default(),
    }
}
