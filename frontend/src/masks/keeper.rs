//! Nothing is lost: the journal in the browser, the mask on the server, and word to other windows.

use std::hash::{DefaultHasher, Hasher};

use gloo_timers::callback::Interval;
use image::GrayImage;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::Photo;
use mudi_editor::mask::{MaskEditor, Message, SaveState, Upload};
use uuid::Uuid;
use wasm_bindgen::JsCast;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use web_sys::{BroadcastChannel, MessageEvent, VisibilityState};

use super::desk::Desk;
use super::ending::End;
use super::files::encode_mask;
use super::journals::{CHANNEL, Journals, Left};
use super::others::{Other, fetch_other, look_around};
use crate::api::{self, Answer, ApiError, Connection};
use crate::browser;
use crate::frame::Toasts;
use crate::saves::Sending;

/// How often it is looked whether something is to be kept, in milliseconds.
const BEAT: u32 = 250;
/// How long after the last change the mask is saved.
const CALM: f64 = 1200.0;
/// How long after a failure it is tried again.
const AGAIN: f64 = 5000.0;

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
    /// The digests of what was sent since the server answered last: it may have that.
    unanswered: StoredValue<Vec<u64>>,
    /// Why nothing can be saved any more.
    pub(super) end: RwSignal<Option<End>>,
    /// The mask of somebody else, where a choice is open.
    pub(super) other: RwSignal<Option<Other>>,
    /// Work of an earlier page that began with another mask than the server has now.
    pub(super) stray: RwSignal<Option<Left>>,
}

impl Keeper {
    pub(super) fn new(photo: &Photo) -> Self {
        Self {
            photo: photo.id,
            journals: Journals::of(photo.id),
            last: StoredValue::new(0.0),
            stale: StoredValue::new(false),
            not_before: StoredValue::new(0.0),
            unanswered: StoredValue::new(Vec::new()),
            end: RwSignal::new(None),
            other: RwSignal::new(None),
            stray: RwSignal::new(None),
        }
    }

    /// Something was done.
    pub(super) fn touched(self) {
        self.last.try_set_value(browser::ticks());
        self.stale.try_set_value(true);
    }

    /// Gives up what cannot be saved any more: nobody is asked about it again.
    pub(super) fn drop_it(self) {
        self.end.set(Some(End::Dropped));
        self.stale.set_value(true);
    }

    /// Whether a mask of the server is no other: it is what is shown, or was sent from here by a request that was not answered.
    pub(super) fn knows(self, desk: Desk, mask: &GrayImage) -> bool {
        let sent = |sent: &Vec<u64>| !sent.is_empty() && sent.contains(&digest(mask));
        desk.look(|editor| editor.mask() == mask) == Some(true)
            || self.unanswered.try_with_value(sent) == Some(true)
    }

    /// How saving has ended, if it has.
    fn ended(self) -> Option<End> {
        self.end.try_get_untracked().flatten()
    }

    /// Something could not be saved, or read to save it: what failed for good is not tried again.
    pub(super) fn failed(self, desk: Desk, error: &ApiError) {
        self.not_before.try_set_value(browser::ticks() + AGAIN);
        if let Some(end) = End::of(error) {
            self.other.try_set(None);
            self.stray.try_set(None);
            self.end.try_set(Some(end));
            self.stale.try_set_value(true);
        }
        desk.send(Message::SaveFailed(error.to_string()));
    }

    /// What an earlier page did not save. A browser that keeps nothing has nothing to give back.
    pub(super) async fn left(self) -> Option<Left> {
        self.journals.find().await.ok().flatten()
    }

    /// Gives it back, before anything else is done.
    pub(super) fn recover(self, desk: Desk, left: Left) {
        let state = desk.look(|editor| (editor.mask().dimensions(), editor.tag().map(str::to_owned)));
        let Some((size, tag)) = state else { return };
        if let Err(error) = left.journal.check(size) {
            desk.said.set(error.to_string());
            self.settle(desk, left);
        } else if left.journal.base() == tag.as_deref() {
            self.adopt(desk, left);
        } else if desk.look(|editor| left.journal.applied(editor.mask()) == *editor.mask()) == Some(true) {
            // It has arrived, and only word of that has not: nobody needs to be asked.
            self.settle(desk, left);
        } else {
            self.stray.set(Some(left));
        }
    }

    /// Does again what an earlier page has left behind.
    pub(super) fn adopt(self, desk: Desk, left: Left) {
        desk.send(Message::Recover(Box::new(left.journal.clone())));
        self.settle(desk, left);
    }

    /// What an earlier page has left behind is done again or dropped: it goes when this page's own journal is kept.
    pub(super) fn settle(self, desk: Desk, left: Left) {
        self.stray.set(None);
        let journal = desk.look(MaskEditor::journal).flatten();
        spawn_local(async move {
            // What cannot be settled now is offered once more by the next page.
            let _ = self.journals.keep(journal, Some(&left)).await;
            // Something may have been done meanwhile.
            self.stale.try_set_value(true);
        });
    }
}

/// How other windows are told, and what hears them.
type Channel = (Option<BroadcastChannel>, Closure<dyn Fn(MessageEvent)>);

/// A number that another mask has not, as good as never.
fn digest(mask: &GrayImage) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(mask.as_raw());
    hasher.finish()
}

/// What saves a mask, also where its page was left meanwhile.
#[derive(Clone)]
struct Saver {
    desk: Desk,
    /// Where the mask's API is.
    path: String,
    /// What the photo is called.
    name: String,
    toasts: Toasts,
    /// Whether the server did not answer last: the page asks for it until it does.
    offline: RwSignal<bool>,
    channel: StoredValue<Channel, LocalStorage>,
    /// What the page still had to save when it was left during an upload.
    last: ArcStoredValue<Option<GrayImage>>,
}

/// Keeps what is done on a photo of that name, whose mask's API is at `path`, for as long as the page is there.
pub(super) fn keep(desk: Desk, path: String, name: String) {
    let channel = BroadcastChannel::new(CHANNEL).ok();
    let told = {
        let (path, answering) = (path.clone(), channel.clone());
        Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            let Keeper { photo, journals, .. } = desk.keeper;
            match (event.data().as_string(), &answering) {
                (Some(text), _) if text == photo.to_string() => look_around(desk, path.clone()),
                (Some(text), Some(channel)) if text == journals.question() => {
                    // Whoever asks and hears nothing takes this page for gone; a choice is what may follow then.
                    let _ = channel.post_message(&JsValue::from(journals.key()));
                }
                _ => {}
            }
        })
    };
    if let Some(channel) = &channel {
        channel.set_onmessage(Some(told.as_ref().unchecked_ref()));
    }
    let channel = StoredValue::new_local((channel, told));
    let saver = StoredValue::new(Saver {
        desk,
        path,
        name,
        toasts: expect_context(),
        offline: expect_context::<Connection>().offline,
        channel,
        last: ArcStoredValue::new(None),
    });
    let _beat = StoredValue::new_local(Interval::new(BEAT, move || {
        saver.with_value(|saver| saver.work(false));
    }));
    let seen = window_event_listener(ev::visibilitychange, move |_| {
        saver.with_value(|saver| {
            if browser::document().visibility_state() == VisibilityState::Hidden {
                // The page may never be seen again.
                saver.work(true);
            } else {
                look_around(desk, saver.path.clone());
            }
        });
    });
    let asked = window_event_listener(ev::beforeunload, move |event| {
        let saved = desk.look(|editor| *editor.save_state() == SaveState::Saved);
        if saved == Some(false) && desk.keeper.ended() != Some(End::Dropped) {
            event.prevent_default();
        }
    });
    let gone = window_event_listener(ev::Custom::<web_sys::Event>::new("pagehide"), move |_| {
        saver.with_value(Saver::hand_over);
    });
    on_cleanup(move || {
        [seen, asked, gone].into_iter().for_each(WindowListenerHandle::remove);
        saver.with_value(Saver::leave);
    });
}

impl Saver {
    /// Keeps the journal, and saves the mask where it is time to, or at once.
    fn work(&self, at_once: bool) {
        self.write_journal();
        self.save(at_once);
    }

    fn write_journal(&self) {
        let keeper = self.desk.keeper;
        if keeper.stale.try_get_value() != Some(true) {
            return;
        }
        keeper.stale.try_set_value(false);
        // No later page can use a journal of what is gone.
        let useful = keeper.ended().is_none_or(End::may_pass);
        if let Some(journal) = self.desk.look(MaskEditor::journal) {
            let journal = journal.filter(|_| useful);
            // A page that is left waits until it is gone.
            let sending = (!useful).then(|| Sending::to(&self.path));
            spawn_local(async move {
                // Without a journal the mask is still saved to the server a moment later.
                let _ = keeper.journals.keep(journal, None).await;
                drop(sending);
            });
        }
    }

    fn save(&self, at_once: bool) {
        let (desk, keeper, now) = (self.desk, self.desk.keeper, browser::ticks());
        let (Some(last), Some(not_before)) = (keeper.last.try_get_value(), keeper.not_before.try_get_value())
        else {
            return;
        };
        // A large mask is not packed again and again for a server that is not there.
        let waits = || now - last < CALM || now < not_before || self.offline.get_untracked();
        if keeper.ended().is_some() || !at_once && waits() {
            return;
        }
        let Some(upload) = desk.with(|stage| stage.editor.begin_save()).flatten() else { return };
        desk.show();
        let (saver, sending) = (self.clone(), Sending::to(&self.path));
        spawn_local(async move {
            saver.send(upload).await;
            drop(sending);
        });
    }

    async fn send(&self, upload: Upload) {
        let saved = self.write(upload.mask, upload.base).await;
        let last = self.last.try_update_value(Option::take).flatten();
        let saved = match (saved, last) {
            (Ok(tag), Some(mask)) => self.write(mask, tag).await,
            (saved, _) => saved,
        };
        if self.desk.look(|_| ()).is_some() {
            self.answered(saved).await;
        } else {
            self.ended(saved).await;
        }
    }

    /// Writes the mask in the place of the one with the `ETag` `base`. One of which nothing is left is none.
    async fn write(&self, mask: GrayImage, base: Option<String>) -> Answer<Option<String>> {
        let (base, unanswered) = (base.as_deref(), self.desk.keeper.unanswered);
        let saved = if mask.as_raw().iter().any(|&coverage| coverage > 0) {
            let png = encode_mask(&mask).await?;
            api::write_mask(&self.path, base, &png).await.map(Some)
        } else if base.is_some() || unanswered.try_with_value(Vec::is_empty) == Some(false) {
            // What was sent and not answered may be there. No mask has this tag: the answer is a conflict's, after which the server's is read.
            api::delete_version(&self.path, base.or(Some("none"))).await.map(|()| None)
        } else {
            return Ok(None);
        };
        match &saved {
            Ok(_) => drop(unanswered.try_update_value(Vec::clear)),
            Err(ApiError::Offline) => drop(unanswered.try_update_value(|sent| sent.push(digest(&mask)))),
            Err(_) => {}
        }
        saved
    }

    /// Tells the editor what has become of the upload.
    async fn answered(&self, saved: Answer<Option<String>>) {
        let (desk, keeper) = (self.desk, self.desk.keeper);
        match saved {
            Ok(tag) => {
                desk.send(Message::Saved(tag));
                let message = JsValue::from(keeper.photo.to_string());
                self.channel.try_with_value(|(channel, _)| {
                    channel.as_ref().map(|channel| channel.post_message(&message))
                });
            }
            Err(error) if error.code() == "stale" => {
                desk.send(Message::Conflict);
                fetch_other(desk, &self.path).await;
            }
            Err(error) => keeper.failed(desk, &error),
        }
        // What is in the journal has changed.
        keeper.stale.try_set_value(true);
    }

    /// The page is gone: its journal is put away, or somebody is told that it is still needed.
    async fn ended(&self, saved: Answer<Option<String>>) {
        let end = saved.as_ref().err().and_then(End::of);
        if saved.is_ok() || !end.is_none_or(End::may_pass) {
            // A journal that stays is offered once more, and changes nothing then.
            let _ = self.desk.keeper.journals.keep(None, None).await;
        }
        if let Err(error) = saved {
            self.complain(&error.to_string(), end);
        }
    }

    fn complain(&self, why: &str, end: Option<End>) {
        let then = if end.is_none_or(End::may_pass) {
            " Your work is kept in this browser; open the mask again to save it."
        } else {
            ""
        };
        self.toasts.complain(format!("The mask of “{}” is not on the server: {why}.{then}", self.name));
    }

    /// The next page shall find what this one has kept.
    fn hand_over(&self) {
        if self.desk.look(MaskEditor::journal).flatten().is_some() {
            self.desk.keeper.journals.leave();
        }
    }

    /// Another photo's page comes, or another place: what is not saved yet is.
    fn leave(&self) {
        self.desk.with(|stage| stage.editor.let_go());
        self.write_journal();
        self.hand_over();
        self.last.set_value(self.desk.look(MaskEditor::unsent).flatten());
        self.save(true);
        let end = self.desk.keeper.ended();
        let unsaved = self.desk.look(|editor| match (end, editor.save_state()) {
            (Some(end), _) => end.reason(),
            (_, SaveState::Conflict) => Some("it was changed elsewhere, and you have not chosen"),
            _ => None,
        });
        if let Some(why) = unsaved.flatten() {
            self.complain(why, end);
        }
        self.channel.try_with_value(|(channel, _)| channel.as_ref().map(BroadcastChannel::close));
    }
}
