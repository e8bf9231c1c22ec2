//! Passing messages to the editor, from anywhere on the page.

use leptos::prelude::*;
use mudi_domain::api::Photo;
use mudi_editor::mask::{MaskEditor, Message, Request};

use super::clicks::Clicks;
use super::finder;
use super::keeper::Keeper;
use super::stage::{Outcome, Shown, Stage};
use crate::browser;
use crate::grabcut::Search;

/// What the browser remembers of whether Segment Anything finds the subject, and the words for yes and no.
const SEGMENTER: &str = "mudi-segmenter";
const FIRST: &str = "first";
const NEVER: &str = "never";

/// The editor on the page. It can be copied to wherever messages are made.
#[derive(Clone, Copy)]
pub(super) struct Desk {
    stage: StoredValue<Option<Stage>, LocalStorage>,
    /// What the page beside the canvas shows; none before the photo is there.
    pub(super) shown: RwSignal<Option<Shown>>,
    /// What is told to whoever does not see the canvas.
    pub(super) said: RwSignal<String>,
    pub(super) keeper: Keeper,
    /// Whether Segment Anything is asked for the automatic mask; none where nobody has decided.
    pub(super) by_segmenter: RwSignal<Option<bool>>,
    /// It in the page.
    pub(super) clicks: Clicks,
    /// And where on the server.
    pub(super) segment: StoredValue<String>,
    /// The search by colours that goes on.
    pub(super) search: StoredValue<Option<Search>, LocalStorage>,
    /// How often it has sought the cut.
    pub(super) rounds: RwSignal<u32>,
}

impl Desk {
    /// For a photo whose API is at `path`.
    pub(super) fn new(photo: &Photo, path: &str) -> Self {
        Self {
            stage: StoredValue::new_local(None),
            shown: RwSignal::new(None),
            said: RwSignal::new(String::new()),
            keeper: Keeper::new(photo),
            by_segmenter: RwSignal::new(match browser::remembered(SEGMENTER).as_deref() {
                Some(FIRST) => Some(true),
                Some(NEVER) => Some(false),
                _ => None,
            }),
            clicks: Clicks::new(),
            segment: StoredValue::new(format!("{path}/segment")),
            search: StoredValue::new_local(None),
            rounds: RwSignal::new(0),
        }
    }

    /// Has Segment Anything asked first from now on, or not.
    pub(super) fn ask_segmenter(self, wanted: bool) {
        self.by_segmenter.set(Some(wanted));
        browser::remember(SEGMENTER, if wanted { FIRST } else { NEVER });
    }

    /// Puts the editor on the desk.
    pub(super) fn begin(self, stage: Stage) {
        self.shown.set(Some(Shown::of(&stage.editor)));
        self.stage.set_value(Some(stage));
    }

    /// What `look` sees of the editor; none before it is there, and after the page was left.
    pub(super) fn look<T>(self, look: impl FnOnce(&MaskEditor) -> T) -> Option<T> {
        self.stage.try_with_value(|stage| stage.as_ref().map(|stage| look(&stage.editor))).flatten()
    }

    /// Lets `change` work on the stage.
    pub(super) fn with<T>(self, change: impl FnOnce(&mut Stage) -> T) -> Option<T> {
        self.stage.try_update_value(|stage| stage.as_mut().map(change)).flatten()
    }

    /// Sends a message to the editor and sees to what follows.
    pub(super) fn send(self, message: Message) {
        let Some(Outcome { effects, frame, touched }) = self.with(|stage| stage.update(message)) else {
            return;
        };
        if frame {
            request_animation_frame(move || self.paint());
        }
        if touched {
            self.keeper.touched();
        }
        if let Some(said) = effects.said {
            // The same words once more are told once more, if something about them is new.
            self.said.update(|known| *known = if *known == said { said + "\u{a0}" } else { said });
        }
        self.show();
        if self.look(|editor| editor.prompt().is_waiting()) != Some(true) {
            finder::stop(self);
        }
        for request in effects.requests {
            match request {
                Request::Colours => finder::colours(self),
                Request::Segment(number, hints) => finder::find(self, number, hints),
                Request::Look(number, hints) => self.clicks.look(number, &hints),
            }
        }
    }

    /// Brings what the page shows up to date.
    pub(super) fn show(self) {
        if let Some(shown) = self.look(Shown::of)
            && self.shown.with_untracked(|known| known.as_ref() != Some(&shown))
        {
            self.shown.set(Some(shown));
        }
    }

    /// Draws what has changed; it is called with the next frame where nobody does before.
    pub(super) fn paint(self) {
        self.with(Stage::paint);
    }
}
