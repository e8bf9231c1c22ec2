//! The editor with what draws it, between two frames.

use mudi_editor::mask::{Effects, MaskEditor, Message, SaveState, Style, Tools};

use super::painter::Painter;

/// The editor, its painter, and what waits for the next frame.
pub(super) struct Stage {
    pub(super) editor: MaskEditor,
    pub(super) painter: Painter,
    /// What has to be drawn.
    waiting: Effects,
    /// Whether a frame was asked for.
    asked: bool,
}

/// What the page beside the canvas shows of the editor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) tools: Tools,
    pub(super) style: Style,
    pub(super) undo: Option<&'static str>,
    pub(super) redo: Option<&'static str>,
    pub(super) save: SaveState,
    /// Whether the server has a mask.
    pub(super) masked: bool,
    /// Per cent of the photo's own size.
    pub(super) zoom: u32,
    /// Whether an automatic mask is on its way.
    pub(super) looking: bool,
    /// Whether one waits to be taken.
    pub(super) found: bool,
    /// Whether something was pointed at.
    pub(super) pointed: bool,
    /// Why there is none.
    pub(super) fault: Option<String>,
}

impl Shown {
    pub(super) fn of(editor: &MaskEditor) -> Self {
        let prompt = editor.prompt();
        Self {
            tools: *editor.tools(),
            style: editor.style(),
            undo: editor.history().next_undo(),
            redo: editor.history().next_redo(),
            save: editor.save_state().clone(),
            masked: editor.tag().is_some(),
            zoom: (editor.view().scale * 100.0).round() as u32,
            looking: prompt.is_waiting(),
            found: prompt.found.is_some(),
            pointed: !prompt.is_empty(),
            fault: prompt.fault.clone(),
        }
    }
}

/// What a message has brought for the page beside the canvas.
pub(super) struct Outcome {
    pub(super) effects: Effects,
    /// Whether the page has to ask for a frame.
    pub(super) frame: bool,
    /// Whether something was done that is not saved.
    pub(super) touched: bool,
}

impl Stage {
    pub(super) fn new(editor: MaskEditor, painter: Painter) -> Self {
        Self { editor, painter, waiting: Effects::default(), asked: false }
    }

    pub(super) fn update(&mut self, message: Message) -> Outcome {
        let effects = self.editor.update(message);
        let draws = effects.all || effects.marks || effects.glimpse || effects.dirty.is_some();
        let (touched, frame) = (effects.dirty.is_some(), draws && !self.asked);
        self.asked |= draws;
        let drawn = Effects { requests: Vec::new(), said: None, ..effects.clone() };
        self.waiting.merge(drawn);
        Outcome { effects, frame, touched }
    }

    /// Draws what waits.
    pub(super) fn paint(&mut self) {
        self.asked = false;
        let effects = std::mem::take(&mut self.waiting);
        // What cannot be drawn now is drawn with the next change; there is nothing that a person could do.
        let _ = self.painter.paint(&self.editor, &effects);
    }
}
