//! Nothing is lost: the journal in the browser, the mask on the server, and other windows.

use gloo_timers::callback::Interval;
use image::GrayImage;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::Photo;
use mudi_editor::mask::{Choice, Journal, Message, SaveState};
use uuid::Uuid;
use wasm_bindgen::JsCast;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use web_sys::{BroadcastChannel, MessageEvent, VisibilityState};

use super::desk::Desk;
use super::files::{decode_mask, encode_mask};
use super::journals::Journals;
use crate::api::{self, Answer, ApiError};
use crate::browser;

/// How often it is looked whether something is to be kept, in milliseconds.
const BEAT: u32 = 250;
/// How long after the last change the mask is saved.
const CALM: f64 = 1200.0;
/// How long after a failure it is tried again.
const AGAIN: f64 = 5000.0;
/// How windows tell each other that a mask was saved.
const CHANNEL: &str = "mudi-masks";

/// What is to be kept of a photo's mask.
#[derive(Clone, Copy)]
pub(super) struct Keeper {
    photo: Uuid,
    journals: Journals,
    /// When something was done last.
    last: StoredValue<f64>,
    /// Whether the journal has to be written.
    stale: StoredValue<bool>,
    /// Not before then is it tried again.
    not_before: StoredValue<f64>,
    /// The mask of somebody else, where a choice is open.
    pub(super) other: RwSignal<Option<Other>>,
    /// Work of an earlier page that began with another mask than the server has now.
    pub(super) stray: RwSignal<Option<Journal>>,
}

/// What somebody else has made of the mask.
#[derive(Clone)]
pub(super) struct Other {
    pub(super) mask: GrayImage,
    pub(super) tag: Option<String>,
}

impl Keeper {
    pub(super) fn new(photo: &Photo) -> Self {
        Self {
            photo: photo.id,
            journals: Journals::of(photo.id),
            last: StoredValue::new(0.0),
            stale: StoredValue::new(false),
            not_before: StoredValue::new(0.0),
            other: RwSignal::new(None),
            stray: RwSignal::new(None),
        }
    }

    /// Something was done.
    pub(super) fn touched(self) {
        self.last.try_set_value(browser::ticks());
        self.stale.try_set_value(true);
    }

    /// Gives back what an earlier page did not save.
    pub(super) async fn recover(self, desk: Desk) {
        // A browser that keeps nothing has nothing to give back.
        let Ok(Some(journal)) = self.journals.take().await else { return };
        let state = desk.look(|editor| (editor.mask().dimensions(), editor.tag().map(str::to_owned)));
        let Some((size, tag)) = state else { return };
        if let Err(error) = journal.check(size) {
            desk.said.set(error.to_string());
        } else if journal.base() == tag.as_deref() {
            desk.send(Message::Recover(Box::new(journal)));
        } else {
            self.stray.try_set(Some(journal));
        }
    }
}

/// Keeps what is done, for as long as the page is there.
pub(super) fn keep(desk: Desk, path: String) {
    let channel = BroadcastChannel::new(CHANNEL).ok();
    let path = StoredValue::new(path);
    let told = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        if event.data().as_string() == Some(desk.keeper.photo.to_string()) {
            look_around(desk, path.get_value());
        }
    });
    if let Some(channel) = &channel {
        channel.set_onmessage(Some(told.as_ref().unchecked_ref()));
    }
    let channel = StoredValue::new_local((channel, told));
    let tell = move || {
        let message = JsValue::from(desk.keeper.photo.to_string());
        channel.try_with_value(|(channel, _)| channel.as_ref().map(|channel| channel.post_message(&message)));
    };
    let _beat = StoredValue::new_local(Interval::new(BEAT, move || {
        write_journal(desk);
        save(desk, path.get_value(), false, tell);
    }));
    let seen = window_event_listener(ev::visibilitychange, move |_| {
        if browser::document().visibility_state() == VisibilityState::Hidden {
            // The page may never be seen again.
            write_journal(desk);
            save(desk, path.get_value(), true, tell);
        } else {
            look_around(desk, path.get_value());
        }
    });
    on_cleanup(move || {
        seen.remove();
        // Another photo's page comes, or another place; what is not saved yet is.
        write_journal(desk);
        save(desk, path.get_value(), true, || {});
        channel.try_with_value(|(channel, _)| channel.as_ref().map(BroadcastChannel::close));
    });
}

fn write_journal(desk: Desk) {
    let keeper = desk.keeper;
    if keeper.stale.try_get_value() != Some(true) {
        return;
    }
    keeper.stale.try_set_value(false);
    if let Some(journal) = desk.look(mudi_editor::mask::MaskEditor::journal) {
        spawn_local(async move {
            // Without a journal the mask is still saved to the server a moment later.
            let _ = keeper.journals.keep(journal).await;
        });
    }
}

/// Saves the mask where it is time to, or at once.
pub(super) fn save(desk: Desk, path: String, at_once: bool, tell: impl Fn() + 'static) {
    let keeper = desk.keeper;
    let now = browser::ticks();
    let (Some(last), Some(not_before)) = (keeper.last.try_get_value(), keeper.not_before.try_get_value())
    else {
        return;
    };
    if !at_once && (now - last < CALM || now < not_before) {
        return;
    }
    let Some(upload) = desk.with(|stage| stage.editor.begin_save()).flatten() else { return };
    desk.show();
    spawn_local(async move {
        let saved = match encode_mask(&upload.mask).await {
            Ok(png) => api::write_mask(&path, upload.base.as_deref(), &png).await,
            Err(error) => Err(error),
        };
        match saved {
            Ok(tag) => {
                if desk.look(|_| ()).is_none() {
                    // The page is gone, and nothing but its journal is left to be put away.
                    let _ = keeper.journals.keep(None).await;
                }
                desk.send(Message::Saved(tag));
                tell();
            }
            Err(error) if error.code() == "stale" => {
                desk.send(Message::Conflict);
                fetch_other(desk, &path).await;
            }
            Err(error) => {
                keeper.not_before.try_set_value(browser::ticks() + AGAIN);
                desk.send(Message::SaveFailed(error.to_string()));
            }
        }
        // What is in the journal has changed.
        keeper.stale.try_set_value(true);
    });
}

/// The mask that the server has; an empty one where it has none.
pub(super) async fn read_mask(path: &str, (width, height): (u32, u32)) -> Answer<Other> {
    match api::read_image(path).await {
        Ok(file) => {
            let mask = decode_mask(&file.value).await?;
            if mask.dimensions() == (width, height) {
                Ok(Other { mask, tag: file.tag })
            } else {
                Err(ApiError::Unreadable("a mask of another size than its photo".to_owned()))
            }
        }
        Err(error) if error.code() == "missing" => {
            Ok(Other { mask: GrayImage::new(width, height), tag: None })
        }
        Err(error) => Err(error),
    }
}

/// Reads the mask of somebody else, for the choice that is open.
async fn fetch_other(desk: Desk, path: &str) {
    let Some(size) = desk.look(|editor| editor.mask().dimensions()) else { return };
    match read_mask(path, size).await {
        Ok(other) => drop(desk.keeper.other.try_set(Some(other))),
        Err(error) => desk.send(Message::SaveFailed(error.to_string())),
    }
}

/// Looks whether somebody else has changed the mask: what is saved here is replaced by theirs, what is not needs a choice.
fn look_around(desk: Desk, path: String) {
    let Some((size, tag)) = desk.look(|editor| (editor.mask().dimensions(), editor.tag().map(str::to_owned)))
    else {
        return;
    };
    spawn_local(async move {
        // The next save will find out as well.
        let Ok(other) = read_mask(&path, size).await else { return };
        if other.tag == tag || desk.keeper.other.with_untracked(Option::is_some) {
            return;
        }
        let now = desk
            .look(|editor| (editor.save_state().clone(), editor.tag().map(str::to_owned), editor.is_busy()));
        match now {
            // Meanwhile it was saved here.
            Some((_, known, _)) if known != tag => {}
            Some((SaveState::Saved, _, false)) => resolve(desk, Choice::Theirs, other),
            Some((SaveState::Unsaved | SaveState::Failed(_), ..)) => {
                desk.send(Message::Conflict);
                desk.keeper.other.try_set(Some(other));
            }
            _ => {}
        }
    });
}

/// Ends a conflict.
pub(super) fn resolve(desk: Desk, choice: Choice, other: Other) {
    desk.keeper.other.try_set(None);
    desk.send(Message::Resolve(choice, other.mask, other.tag));
    desk.keeper.touched();
    desk.show();
}
