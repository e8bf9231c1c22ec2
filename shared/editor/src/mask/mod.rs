//! The mask editor: a photo's size, its mask, and everything that can be done to it.
//!
//! [`MaskEditor::update`] takes a [`Message`] and says in [`Effects`] what has to be drawn anew and what the page shall do.
//! What changes the mask is an [`Operation`], which gives the same bytes wherever it is applied: so the
//! [`Journal`] of what is not saved yet brings everything back after a reload.

mod brush;
mod deeds;
mod gesture;
mod glimpse;
mod history;
mod journal;
mod message;
mod morphology;
mod operation;
mod picture;
mod polygon;
mod prompt;
mod pyramid;
mod saving;
mod shortcut;
#[cfg(test)]
mod tests;
mod tiles;
mod tool;
mod wand;

use image::{GrayImage, RgbImage};
use mudi_domain::geometry::Rect;

use crate::view::View;
use gesture::{Gesture, Pressed};
use saving::Saving;
use tiles::Patch;

pub use brush::Dab;
pub use glimpse::Glimpse;
pub use history::History;
pub use journal::{Journal, JournalError};
pub use message::{Button, Edit, Effects, Keys, Message, Pointer, PointerKind, Request, ViewChange};
pub use morphology::MAX_RADIUS;
pub use operation::{Combine, Ink, Operation};
pub use picture::{Show, Style, draw, stale};
pub use prompt::{Found, Prompt};
pub use pyramid::Pyramid;
pub use saving::{Choice, SaveState, Upload};
pub use shortcut::{Held, SHEET, message as key_message};
pub use tool::{Tool, ToolChange, Tools};

/// The share of the photo at each side in which the subject is not looked for, where nothing else is known.
const EDGE: f32 = 0.04;

/// A line that is being drawn, to be shown above the mask. Places are in pixels of the photo.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawn<'a> {
    /// Nothing.
    Nothing,
    /// An open or closed line.
    Line(&'a [[f32; 2]]),
    /// A box: left, top, right, bottom.
    Frame([f32; 4]),
}

/// The editor's state.
#[derive(Debug, Clone)]
pub struct MaskEditor {
    mask: GrayImage,
    pyramid: Pyramid,
    history: History,
    saving: Saving,
    view: View,
    tools: Tools,
    style: Style,
    prompt: Prompt,
    glimpse: Glimpse,
    gesture: Gesture,
    pressed: Pressed,
    colours: Option<RgbImage>,
    /// A click of the wand that waits for the photo's colours: where, and what it does.
    wand_waiting: Option<((f64, f64), Ink)>,
    /// Where the last pointer was, in pixels of the photo.
    hover: Option<(f64, f64)>,
    last_dab: Option<Dab>,
}

impl MaskEditor {
    /// For a photo with that mask, which has the `ETag` `tag` (none where the server has no mask and this one is empty),
    /// in a window of CSS pixels.
    #[must_use]
    pub fn new(mask: GrayImage, tag: Option<String>, window: (f64, f64)) -> Self {
        let size = mask.dimensions();
        Self {
            pyramid: Pyramid::of(&mask),
            history: History::default(),
            saving: Saving::new(size, tag),
            view: View::new(size, window),
            tools: Tools::for_photo(size.0, size.1),
            style: Style::default(),
            prompt: Prompt::default(),
            glimpse: Glimpse::default(),
            gesture: Gesture::Idle,
            pressed: Pressed::default(),
            colours: None,
            wand_waiting: None,
            hover: None,
            last_dab: None,
            mask,
        }
    }

    /// The mask.
    #[must_use]
    pub fn mask(&self) -> &GrayImage {
        &self.mask
    }

    /// A reduction of the mask: half the side, a quarter, ... at level 1, 2, ...
    #[must_use]
    pub fn level(&self, level: u32) -> &GrayImage {
        self.pyramid.level(&self.mask, level)
    }

    /// How many levels there are, the mask itself included.
    #[must_use]
    pub fn levels(&self) -> u32 {
        self.pyramid.levels()
    }

    /// What can be undone, and how much memory that takes.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Where the photo lies on the screen.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The tools' settings.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// How the mask is shown.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// What was pointed at for the automatic mask, and what was found.
    #[must_use]
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// What a click would find under the pointer.
    #[must_use]
    pub fn glimpse(&self) -> &Glimpse {
        &self.glimpse
    }

    /// Whether the server has what is shown.
    #[must_use]
    pub fn save_state(&self) -> &SaveState {
        &self.saving.state
    }

    /// Where the pointer or the keyboard's cursor is, in pixels of the photo.
    #[must_use]
    pub fn hover(&self) -> Option<(f64, f64)> {
        self.hover
    }

    /// Whether something is being drawn, or the photo is being moved.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.gesture, Gesture::Idle)
    }

    /// The line that is being drawn.
    #[must_use]
    pub fn drawn(&self) -> Drawn<'_> {
        match &self.gesture {
            Gesture::Lasso { corners: line, .. } | Gesture::Mark { places: line, .. } => Drawn::Line(line),
            Gesture::Frame { start, end, .. } => Drawn::Frame([
                start[0].min(end[0]),
                start[1].min(end[1]),
                start[0].max(end[0]),
                start[1].max(end[1]),
            ]),
            _ => Drawn::Nothing,
        }
    }

    /// The `ETag` of the mask that the server had when work on it began; none where it had none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.saving.journal().base()
    }

    /// What is not saved yet, a stroke that is being drawn included; none where everything is saved.
    #[must_use]
    pub fn journal(&self) -> Option<Journal> {
        let journal = self.saving.journal().clone().with_unfinished(self.gesture.stroke());
        (!journal.is_empty()).then_some(journal)
    }

    /// Begins to save, where there is something to save, nobody draws and no choice is open. The page answers with
    /// [`Message::Saved`], [`Message::Conflict`] or [`Message::SaveFailed`].
    pub fn begin_save(&mut self) -> Option<Upload> {
        if self.gesture.is_stroke() { None } else { self.saving.begin(&self.mask) }
    }

    /// Ends what is being drawn, as if the pointer were lifted: the page is left.
    pub fn let_go(&mut self) {
        let _drawn_no_more = self.finish();
    }

    /// The mask, where more was done since the upload began that is on its way: what a page that is left has still to send.
    #[must_use]
    pub fn unsent(&self) -> Option<GrayImage> {
        let drawing = self.gesture.is_stroke();
        let more = *self.save_state() == SaveState::Saving && (drawing || self.saving.is_behind());
        more.then(|| self.mask.clone())
    }

    /// Takes a message.
    pub fn update(&mut self, message: Message) -> Effects {
        match message {
            Message::Pointer(pointer) => self.pointer(pointer),
            Message::Leave => {
                self.hover = None;
                self.glimpse.end()
            }
            Message::Cursor(dx, dy) => self.move_cursor(dx, dy),
            Message::CursorPress => self.press_cursor(),
            Message::Escape => self.escape(),
            Message::View(change) => self.change_view(change),
            Message::Tool(tool) => {
                let effects = self.finish().merged(self.glimpse.end());
                self.tools.take_up(tool);
                effects.merged(Effects::marks().say(tool.name()))
            }
            Message::Setting(change) => {
                self.tools.change(change);
                Effects::marks()
            }
            Message::Show(show) => {
                self.style.show = show;
                Effects::all().say(show.name())
            }
            Message::ShowNext => {
                let next = Show::ALL.iter().position(|&show| show == self.style.show).map_or(0, |at| at + 1);
                self.update(Message::Show(Show::ALL[next % Show::ALL.len()]))
            }
            Message::Opacity(opacity) => {
                if opacity.is_finite() {
                    self.style.opacity = opacity.clamp(0.0, 1.0);
                }
                Effects::all()
            }
            Message::Edit(edit) => {
                let operation = edit.operation(self.tools.radius);
                let name = operation.name();
                self.perform(name, operation).say(name)
            }
            Message::Remove => {
                let effects = self.perform("Removal", Operation::Clear);
                self.saving.touched();
                effects.say("The mask is removed. Undo brings it back.")
            }
            Message::Undo => self.undo(),
            Message::Redo => self.redo(),
            Message::Colours(colours) => {
                self.colours = Some(colours);
                self.wand_waiting.take().map_or_else(Effects::default, |(at, ink)| self.wand(at, ink))
            }
            Message::FindMiddle => {
                let (width, height) = (self.mask.width() as f32, self.mask.height() as f32);
                let bounds = [EDGE * width, EDGE * height, (1.0 - EDGE) * width, (1.0 - EDGE) * height];
                let request = self.prompt.set_box(self.prompt.hints.bounds.unwrap_or(bounds));
                Effects { requests: vec![request], marks: true, ..Effects::default() }
            }
            Message::Found(number, answer) => {
                let said = match &answer {
                    Ok(_) => "The automatic mask is ready: Enter takes it.".to_owned(),
                    Err(fault) => fault.clone(),
                };
                if self.prompt.answer(number, answer) {
                    Effects::marks().say(said)
                } else {
                    Effects::default()
                }
            }
            Message::Glimpses(wanted) => self.glimpse.turn(wanted),
            Message::Glimpsed(number, mask) => self.glimpse.answer(number, mask),
            Message::Propose(mask) => {
                self.prompt.propose(mask);
                Effects::marks().say("The automatic mask is ready: Enter takes it.")
            }
            Message::Accept(how) => {
                let Some(found) = self.prompt.found.take() else { return Effects::default() };
                self.prompt.clear();
                let effects = self.glimpse.end();
                effects.merged(self.take_over("Automatic mask", &found.mask, how)).merged(Effects::marks())
            }
            Message::Saved(tag) => {
                self.saving.saved(tag);
                Effects::default()
            }
            Message::Conflict => {
                self.saving.conflict();
                Effects::default()
            }
            Message::SaveFailed(why) => {
                self.saving.failed(why);
                Effects::default()
            }
            Message::Resolve(choice, theirs, tag) => self.resolve(choice, &theirs, tag),
            Message::Recover(journal) => self.recover(&journal),
        }
    }

    /// Applies an operation.
    fn perform(&mut self, name: &'static str, operation: Operation) -> Effects {
        let mut effects = self.finish();
        let mut before = Patch::default();
        let area = operation.apply(&mut self.mask, &mut before);
        effects.merge(self.changed(area));
        self.commit(name, operation, before);
        effects
    }

    /// The mask has changed inside of `area`.
    fn changed(&mut self, area: Option<Rect>) -> Effects {
        if let Some(area) = area {
            self.pyramid.update(&self.mask, area);
        }
        Effects::dirty(area)
    }

    /// An operation was applied, before which the mask was `before`. One that has changed nothing is forgotten.
    fn commit(&mut self, name: &'static str, operation: Operation, mut before: Patch) {
        before.retain_changed(&self.mask);
        if !before.is_empty() {
            self.history.push(name, before);
            self.saving.done(operation);
        }
    }

    /// A mask that was found is taken over.
    fn take_over(&mut self, name: &'static str, found: &GrayImage, how: Combine) -> Effects {
        let effects = self.finish();
        let patch = operation::taken_over(&self.mask, found, how);
        effects.merged(self.perform(name, Operation::Patch(patch))).say(name)
    }
}
