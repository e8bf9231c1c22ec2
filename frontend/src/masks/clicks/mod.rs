//! Segment Anything in the page: the server embeds the photo once, a worker makes a mask of every place that is pointed at.
//!
//! Where neither the GPU nor the processor can, clicks are the server's, as they are before the worker is ready.

mod note;

use gloo_timers::future::TimeoutFuture;
use gloo_worker::{Spawnable, WorkerBridge};
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{MaskPrompt, SegmenterModel};
use mudi_domain::grabcut::Hints;
use mudi_editor::mask::{Message, Tool};
pub(super) use note::ClickNote;

use super::desk::Desk;
use super::finder;
use crate::api;
use crate::browser;
use crate::preview::{Ask, ByGpu, ClickAsk, ClickTell, PreviewWorker, Silence, Tell, WORKERS};
use crate::runs::Runs;

/// A segmenter that sees photos in a square of at least so many pixels was made for photos; the small one that comes with the
/// program has seen nothing but toys, and is asked only by whoever wants that.
const FOR_PHOTOS: u32 = 512;

/// How far the segmenter in the page is.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// Nobody has asked for it.
    Off,
    /// The server is asked what it has.
    Asking,
    /// The server has none for this photo.
    Missing,
    /// The server was not to be asked, and why.
    Unanswered(String),
    /// A worker is on its way.
    Starting,
    Loading {
        received: u64,
        total: u64,
    },
    /// The server looks at the photo.
    Seeing,
    Ready {
        device: String,
        gpu: bool,
        emulated: bool,
    },
    /// The GPU was lost.
    Lost,
    /// It does not run here, and why.
    Elsewhere(String),
}

/// A click that waits for its mask.
struct Pending {
    number: u64,
    hints: Hints,
    prompt: MaskPrompt,
}

/// The segmenter in the page, for one photo.
#[derive(Clone, Copy)]
pub(super) struct Clicks {
    stage: RwSignal<Stage>,
    /// Why the processor computes.
    why_no_gpu: RwSignal<Option<String>>,
    /// What the last answer took.
    took: RwSignal<Option<f64>>,
    model: StoredValue<Option<SegmenterModel>>,
    bridge: StoredValue<Option<WorkerBridge<PreviewWorker<ByGpu>>>, LocalStorage>,
    silence: Silence,
    pending: StoredValue<Option<Pending>>,
    /// Whether the worker looks at a place: it gets the next one when it has answered.
    looking: StoredValue<bool>,
    next: StoredValue<Option<(u64, MaskPrompt)>>,
}

impl Clicks {
    pub(super) fn new() -> Self {
        Self {
            stage: RwSignal::new(Stage::Off),
            why_no_gpu: RwSignal::new(None),
            took: RwSignal::new(None),
            model: StoredValue::new(None),
            bridge: StoredValue::new_local(None),
            silence: Silence::new(),
            pending: StoredValue::new(None),
            looking: StoredValue::new(false),
            next: StoredValue::new(None),
        }
    }

    /// Asks what a click would find. While the worker looks at one place, only the last of the others is kept.
    pub(super) fn look(self, number: u64, hints: &Hints) {
        let Some(prompt) = finder::prompt(hints) else { return };
        if self.looking.try_get_value() == Some(true) {
            self.next.set_value(Some((number, prompt)));
        } else if self.send(ClickAsk::Look { number, prompt }) {
            self.looking.set_value(true);
        }
    }

    /// Has the worker find what was clicked on; false where there is no worker to ask.
    pub(super) fn click(self, number: u64, hints: &Hints, prompt: &MaskPrompt) -> bool {
        let stage = self.stage.try_get_untracked();
        if matches!(
            stage,
            None | Some(Stage::Off | Stage::Missing | Stage::Unanswered(_) | Stage::Elsewhere(_))
        ) {
            return false;
        }
        let (hints, prompt) = (hints.clone(), prompt.clone());
        self.pending.set_value(Some(Pending { number, hints, prompt }));
        self.ask_again();
        true
    }

    /// Asks for the click that waits, where there are a worker and one.
    fn ask_again(self) {
        let pending = self.pending.try_with_value(|pending| {
            pending.as_ref().map(|pending| (pending.number, pending.prompt.clone()))
        });
        if let Some((number, prompt)) = pending.flatten() {
            self.send(ClickAsk::Click { number, prompt });
        }
    }

    /// Whether there is a worker to send it to.
    fn send(self, ask: ClickAsk) -> bool {
        let sent =
            self.bridge.try_with_value(|bridge| bridge.as_ref().map(|bridge| bridge.send(Ask::Click(ask))));
        sent.flatten().is_some()
    }
}

/// Has the segmenter loaded once a tool is taken up that asks it, if that is wanted; and lets it go when it is not any more.
pub(super) fn offer(desk: Desk, project: String, photo: Photo) {
    let clicks = desk.clicks;
    let points = Memo::new(move |_| {
        let tool = desk.shown.with(|shown| shown.as_ref().map(|shown| shown.tools.tool));
        matches!(tool, Some(Tool::Point | Tool::Frame))
    });
    let photo = StoredValue::new(photo);
    let project = StoredValue::new(project);
    Effect::new(move |before: Option<Option<bool>>| {
        let (wanted, points) = (desk.by_segmenter.get(), points.get());
        // Whoever ticks the box anew wants it tried anew.
        let ticked = wanted == Some(true) && before.is_some_and(|before| before != wanted);
        if ticked && matches!(clicks.stage.get_untracked(), Stage::Unanswered(_) | Stage::Elsewhere(_)) {
            clicks.stage.set(Stage::Off);
        }
        let known = clicks.model.with_value(Option::is_some);
        let stage = clicks.stage.get_untracked();
        match wanted {
            Some(false) if clicks.bridge.with_value(Option::is_some) => clicks.let_go(desk, Stage::Off),
            Some(true) | None if points && stage == Stage::Off && !known => {
                clicks.stage.set(Stage::Asking);
                spawn_local(clicks.ask_server(desk, project.get_value()));
            }
            Some(true) if points && stage == Stage::Off => {
                clicks.why_no_gpu.set(None);
                clicks.employ(desk, WORKERS[0], &project.get_value(), &photo.get_value());
            }
            _ => {}
        }
        wanted
    });
    // Whoever takes a worker's place does it outside of that worker's own answer.
    Effect::new(move |_| {
        if clicks.why_no_gpu.get().is_some() && *clicks.stage.read_untracked() == Stage::Asking {
            clicks.employ(desk, WORKERS[1], &project.get_value(), &photo.get_value());
        }
    });
    // Tests have the GPU lost by an event of the document.
    browser::on_event("mudi-lose-gpu", move || {
        clicks.send(ClickAsk::LoseDevice);
    });
}

/// A photo of the API.
#[derive(Clone)]
pub(super) struct Photo {
    /// Its path.
    pub(super) path: String,
    /// Width and height, in pixels.
    pub(super) size: (u32, u32),
}

impl Clicks {
    /// Asks the server for its segmenter.
    async fn ask_server(self, desk: Desk, project: String) {
        match api::get::<SegmenterModel>(&format!("{project}/segmenter")).await {
            Ok(model) => {
                let for_photos = model.side >= FOR_PHOTOS;
                self.model.try_set_value(Some(model));
                self.stage.try_set(Stage::Off);
                // The wish, decided or as it was, brings the worker.
                desk.by_segmenter.try_update(|wanted| *wanted = Some(wanted.unwrap_or(for_photos)));
                if desk.by_segmenter.try_get_untracked().flatten() == Some(false) {
                    self.give_back(desk);
                }
            }
            Err(error) => {
                // Another fault says nothing of what the server has.
                let none = matches!(error.code(), "conflict" | "missing");
                self.stage.try_set(if none { Stage::Missing } else { Stage::Unanswered(error.to_string()) });
                self.give_back(desk);
            }
        }
    }

    /// Starts a worker in the place of the one that there is.
    fn employ(self, desk: Desk, script: &str, project: &str, photo: &Photo) {
        let Some(model) = self.model.get_value() else { return };
        self.stage.set(Stage::Starting);
        self.looking.set_value(false);
        // Both workers speak the same.
        let mut spawner = PreviewWorker::<ByGpu>::spawner();
        let told = move |tell| {
            if let Tell::Click(tell) = tell {
                self.told(desk, tell);
            }
        };
        let bridge = spawner.with_loader(true).callback(told).spawn(script);
        self.bridge.set_value(Some(bridge));
        let (width, height) = photo.size;
        let (project, photo) = (project.to_owned(), photo.path.clone());
        self.send(ClickAsk::Open { project, model, photo, width, height });
        self.ask_again();
        let fell = move |spoken| {
            let reason = if spoken {
                "what would make it has not said anything for a while"
            } else {
                "the browser does not start what would make it"
            };
            self.let_go(desk, Stage::Elsewhere(reason.to_owned()));
        };
        self.silence.watch(move || self.owes(), fell);
    }

    /// Whether the worker has something to say. While the server looks at the photo it has not: that may take its time.
    fn owes(self) -> bool {
        match self.stage.try_get_untracked() {
            Some(Stage::Starting | Stage::Loading { .. } | Stage::Lost) => true,
            Some(Stage::Ready { .. }) => self.looking.get_value() || self.pending.with_value(Option::is_some),
            _ => false,
        }
    }

    /// Ends the worker; what waits for it is found elsewhere.
    fn let_go(self, desk: Desk, stage: Stage) {
        self.stage.set(stage);
        self.took.set(None);
        self.next.set_value(None);
        self.looking.set_value(false);
        desk.send(Message::Glimpses(false));
        // Not from within the answer of the worker that is let go, which ends with its last bridge.
        spawn_local(async move {
            TimeoutFuture::new(0).await;
            if self.stage.try_with_untracked(|stage| matches!(stage, Stage::Off | Stage::Elsewhere(_)))
                == Some(true)
            {
                self.bridge.try_set_value(None);
            }
        });
        self.give_back(desk);
    }

    /// A click that waits is found without the worker.
    fn give_back(self, desk: Desk) {
        if let Some(Pending { number, hints, .. }) = self.pending.try_update_value(Option::take).flatten() {
            let wanted = desk.by_segmenter.try_get_untracked().flatten();
            finder::find_elsewhere(desk, number, hints, wanted == Some(true));
        }
    }

    fn told(self, desk: Desk, tell: ClickTell) {
        // The page may be gone.
        if self.stage.try_get_untracked().is_none() {
            return;
        }
        self.silence.broken();
        match tell {
            ClickTell::Loading { received, total } => self.stage.set(Stage::Loading { received, total }),
            ClickTell::Seeing => self.stage.set(Stage::Seeing),
            ClickTell::Ready { device, gpu, emulated } => {
                self.stage.set(Stage::Ready { device, gpu, emulated });
                desk.send(Message::Glimpses(true));
            }
            ClickTell::NoDevice { reason } => {
                self.stage.set(Stage::Asking);
                self.why_no_gpu.set(Some(reason));
            }
            ClickTell::Lost => {
                self.stage.set(Stage::Lost);
                self.took.set(None);
            }
            ClickTell::Failed { reason } => self.let_go(desk, Stage::Elsewhere(reason)),
            ClickTell::Looked { number, mask, milliseconds } => {
                self.took.set(Some(milliseconds));
                self.looking.set_value(false);
                if let Some((number, prompt)) = self.next.try_update_value(Option::take).flatten() {
                    self.looking.set_value(self.send(ClickAsk::Look { number, prompt }));
                }
                desk.send(Message::Glimpsed(number, mask.as_ref().and_then(Runs::to_mask)));
            }
            ClickTell::Found { number, mask, milliseconds } => {
                self.took.set(Some(milliseconds));
                let ours =
                    |pending: &mut Option<Pending>| pending.take_if(|pending| pending.number == number);
                let Some(Pending { hints, .. }) = self.pending.try_update_value(ours).flatten() else {
                    return;
                };
                let size = desk.look(|editor| editor.mask().dimensions());
                match mask.as_ref().and_then(Runs::to_mask).filter(|mask| Some(mask.dimensions()) == size) {
                    Some(mask) => desk.send(Message::Found(number, Ok(mask))),
                    // Nothing is seen there; the server would say the same.
                    None => finder::find_elsewhere(desk, number, hints, false),
                }
            }
        }
    }
}
