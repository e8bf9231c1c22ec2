//! What a small model makes of the layout, while it is arranged.

mod named;
mod panel;
mod wishes;

use gloo_timers::future::TimeoutFuture;
use gloo_worker::{Spawnable, WorkerBridge};
use image::RgbImage;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::PreviewModel;
use panel::Offered;
pub(super) use panel::{Controls, Picture, Status};

use super::bench::Bench;
use super::exact::put;
use crate::api;
use crate::browser;
use crate::preview::{Ask, ByGpu, Held, PreviewWorker, Silence, Tell, WORKERS};

/// Where the browser keeps that previews are wanted.
const WANTED: &str = "mudi-preview";
/// Where a tab keeps that a model is being loaded. A browser that has no memory for it ends the page, and the next one would begin the same.
const LOADING: &str = "mudi-preview-loading";
/// Steps of a preview unless others are chosen.
const STEPS: f64 = 12.0;

/// How far the preview is.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Off,
    /// The model does not fit the device, and why.
    Misfit(String),
    /// It is to be said whether so many bytes are to be loaded, which take so many of memory.
    Large {
        bytes: u64,
        memory: u64,
    },
    Loading {
        received: u64,
        total: u64,
    },
    Ready {
        device: String,
        gpu: bool,
        emulated: bool,
    },
    Lost,
    Failed(String),
}

/// What the last picture is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Painted {
    step: u32,
    steps: u32,
    milliseconds: f64,
    held: Held,
}

/// Everything that the parts of the preview share.
#[derive(Clone, Copy)]
pub(super) struct Live {
    bench: Bench,
    project: StoredValue<String>,
    model: StoredValue<PreviewModel>,
    bridge: StoredValue<Option<WorkerBridge<PreviewWorker<ByGpu>>>, LocalStorage>,
    stage: RwSignal<Stage>,
    /// Why the processor paints.
    why_no_gpu: RwSignal<Option<String>>,
    /// Whether a GPU was lost since previews were turned on.
    lost: RwSignal<bool>,
    painted: RwSignal<Option<Painted>>,
    canvas: NodeRef<html::Canvas>,
    /// What somebody has written.
    written: RwSignal<Option<String>>,
    prompt: Memo<String>,
    seed: RwSignal<u64>,
    steps: RwSignal<f64>,
    strength: RwSignal<f64>,
    /// Counts wishes, so that pictures of an older one are known.
    number: StoredValue<u64>,
    /// The oldest wish whose pictures are shown. Where steps take longer than a hand that drags, each comes after the next wish.
    oldest: StoredValue<u64>,
    waiting: StoredValue<bool>,
    /// Why there is nothing to paint.
    unpaintable: RwSignal<Option<String>>,
    silence: Silence,
    /// How far it was when the worker was taken for dead.
    before: StoredValue<Option<Stage>>,
    /// Whether a picture was asked for that is not finished.
    painting: StoredValue<bool>,
    /// Whether the worker is the one with the GPU, or would be: then the processor can be had instead.
    by_gpu: StoredValue<bool>,
}

/// The preview beside the canvas; nothing where the host offers none.
#[component]
pub(super) fn LivePreview(
    bench: Bench,
    /// The project's path in the API.
    project: String,
    /// The strength with which the layout is put into the noise.
    strength: RwSignal<f64>,
) -> impl IntoView {
    let offered = RwSignal::new(None::<PreviewModel>);
    let path = format!("{project}/preview");
    spawn_local(async move {
        // Without a model the designer is as good as with one.
        if let Ok(model) = api::get(&path).await {
            offered.try_set(Some(model));
        }
    });
    move || {
        let project = project.clone();
        offered.get().map(|model| view! { <Offered bench project model strength /> })
    }
}

impl Live {
    /// Of the layout on `bench`, turned off; `project` is the project's path in the API, `strength` the strength with which the
    /// layout is put into the noise.
    pub(super) fn new(bench: Bench, project: String, model: PreviewModel, strength: RwSignal<f64>) -> Self {
        let written = RwSignal::new(None);
        let prompt = named::prompt(bench, &model, written);
        let live = Self {
            bench,
            project: StoredValue::new(project),
            model: StoredValue::new(model),
            bridge: StoredValue::new_local(None),
            stage: RwSignal::new(Stage::Off),
            why_no_gpu: RwSignal::new(None),
            lost: RwSignal::new(false),
            painted: RwSignal::new(None),
            canvas: NodeRef::new(),
            written,
            prompt,
            seed: RwSignal::new(0),
            steps: RwSignal::new(STEPS),
            strength,
            number: StoredValue::new(0),
            oldest: StoredValue::new(0),
            waiting: StoredValue::new(false),
            unpaintable: RwSignal::new(None),
            silence: Silence::new(),
            before: StoredValue::new(None),
            painting: StoredValue::new(false),
            by_gpu: StoredValue::new(true),
        };
        live.react();
        live.listen();
        live
    }

    /// Starts without being told to, unless the browser has ended the page the last time that this was done.
    pub(super) fn begin(self) {
        if browser::tab_takes(LOADING).is_none() {
            return self.start();
        }
        let words = "The browser ended this page while the model was being prepared, perhaps for want of memory. \
            Close other pages and programs before you try again.";
        self.stage.set(Stage::Failed(words.to_owned()));
    }

    /// Starts, or starts anew.
    fn start(self) {
        self.why_no_gpu.set(None);
        self.lost.set(false);
        self.employ(WORKERS[0]);
    }

    fn turn_on(self) {
        browser::remember(WANTED, "yes");
        self.start();
    }

    /// Has the processor paint, where the GPU has failed.
    fn do_without_gpu(self) {
        if let Stage::Failed(reason) = self.stage.get_untracked() {
            self.why_no_gpu.set(Some(reason));
        }
        self.employ(WORKERS[1]);
    }

    /// Starts a worker in the place of the one that there is.
    fn employ(self, script: &str) {
        self.stage.set(Stage::Loading { received: 0, total: 1 });
        self.painted.set(None);
        self.by_gpu.set_value(script == WORKERS[0]);
        self.before.set_value(None);
        self.silence.watch(move || self.owes(), move |spoken| self.fell_silent(spoken));
        // Both workers speak the same.
        let mut spawner = PreviewWorker::<ByGpu>::spawner();
        let bridge = spawner.with_loader(true).callback(move |tell| self.told(tell)).spawn(script);
        self.bridge.set_value(Some(bridge));
        self.load(false);
    }

    /// Has the model loaded; a large one only if that is `agreed` to.
    fn load(self, agreed: bool) {
        browser::tab_remembers(LOADING, "yes");
        let (project, model) = (self.project.get_value(), self.model.get_value());
        self.ask(Ask::Load { project, model, agreed });
    }

    /// Has a large model loaded.
    fn agree(self) {
        self.stage.set(Stage::Loading { received: 0, total: 1 });
        self.load(true);
    }

    fn turn_off(self) {
        browser::remember(WANTED, "no");
        // The worker ends with its last bridge.
        self.bridge.set_value(None);
        self.stage.set(Stage::Off);
        self.painted.set(None);
    }

    /// Whether the worker has something to say.
    fn owes(self) -> bool {
        match self.stage.try_get_untracked() {
            Some(Stage::Loading { .. } | Stage::Lost) => true,
            Some(Stage::Ready { .. }) => self.painting.get_value(),
            _ => false,
        }
    }

    fn fell_silent(self, spoken: bool) {
        let stage = self.stage.get_untracked();
        let words = match stage {
            _ if !spoken => {
                "What paints has not started: it is still on its way, or this browser does not run it."
            }
            Stage::Loading { received, total } if received < total => {
                "Nothing more of the model has come for a while: the connection is slow, or broken."
            }
            _ => {
                "What paints has not said anything for a while. The browser may have ended it for want of memory."
            }
        };
        self.before.set_value(Some(stage));
        self.stage.set(Stage::Failed(words.to_owned()));
    }

    fn told(self, tell: Tell) {
        self.silence.broken();
        // One that was only slow, or could not do what was wished for before, goes on where it was.
        if let Some(before) = self.before.try_update_value(Option::take).flatten() {
            self.stage.try_set(before);
        }
        let on_the_way = matches!(tell, Tell::Loading { .. } | Tell::Ready { .. } | Tell::NoDevice { .. });
        if !on_the_way && self.painted.try_with_untracked(Option::is_none) == Some(true) {
            let _ = browser::tab_takes(LOADING);
        }
        match tell {
            Tell::Loading { received, total } => drop(self.stage.try_set(Stage::Loading { received, total })),
            Tell::Ready { device, gpu, emulated } => {
                self.stage.try_set(Stage::Ready { device, gpu, emulated });
                self.wish();
            }
            Tell::NoDevice { reason } => {
                if self.why_no_gpu.try_set(Some(reason)).is_none() {
                    // Not from within the answer of the worker that is let go.
                    spawn_local(async move {
                        TimeoutFuture::new(0).await;
                        if self.bridge.try_with_value(Option::is_some) == Some(true) {
                            self.employ(WORKERS[1]);
                        }
                    });
                }
            }
            Tell::Lost => {
                self.stage.try_set(Stage::Lost);
                self.painted.try_set(None);
                self.lost.try_set(true);
            }
            Tell::Misfit { reason } => drop(self.stage.try_set(Stage::Misfit(reason))),
            Tell::Large { bytes, memory } => drop(self.stage.try_set(Stage::Large { bytes, memory })),
            Tell::Failed { reason } => {
                let ready = |stage: &Stage| matches!(stage, Stage::Ready { .. });
                self.before.try_set_value(self.stage.try_get_untracked().filter(ready));
                self.stage.try_set(Stage::Failed(reason));
            }
            // Nobody asks for these here.
            Tell::Click(_) | Tell::Latents(_) => {}
            Tell::Picture { number, step, steps, width, height, pixels, milliseconds, held } => {
                if self.oldest.try_get_value().is_none_or(|oldest| number < oldest) {
                    return;
                }
                self.painting.set_value(step < steps || number < self.number.get_value());
                let Some(canvas) = self.canvas.get_untracked() else { return };
                if let Some(image) = RgbImage::from_raw(width, height, pixels) {
                    // What cannot be drawn now is drawn with the next step.
                    let _ = put(&canvas, &image);
                    self.painted.try_set(Some(Painted { step, steps, milliseconds, held }));
                }
            }
        }
    }

    /// A page that nobody sees paints nothing. Tests have the GPU lost by an event of the document.
    fn listen(self) {
        browser::on_event("visibilitychange", move || {
            if browser::document().hidden() {
                self.rest();
                // A page that is left is hidden first.
                let _ = browser::tab_takes(LOADING);
            } else {
                self.wish();
            }
        });
        on_cleanup(|| drop(browser::tab_takes(LOADING)));
        browser::on_event("mudi-lose-gpu", move || self.ask(Ask::LoseDevice));
    }

    fn ask(self, ask: Ask) {
        match ask {
            Ask::Paint { .. } => drop(self.painting.try_set_value(true)),
            Ask::Rest => drop(self.painting.try_set_value(false)),
            _ => {}
        }
        self.bridge.try_with_value(|bridge| {
            if let Some(bridge) = bridge {
                bridge.send(ask);
            }
        });
    }
}
