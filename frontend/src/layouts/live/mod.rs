//! What a small model makes of the layout, while it is arranged.

mod panel;

use gloo_timers::future::TimeoutFuture;
use gloo_worker::{Spawnable, WorkerBridge};
use image::RgbImage;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::PreviewModel;
use mudi_domain::collage::Collage;
use mudi_domain::prompt;
use mudi_editor::layout::Designer;
use panel::Offered;
pub(super) use panel::{Controls, Picture, Status};

use super::bench::Bench;
use super::exact::{put, rendered};
use crate::api;
use crate::browser;
use crate::preview::{Ask, ByGpu, Canvas, Held, PreviewWorker, Silence, Tell, WORKERS, Wish};

/// The least time between two layouts that are sent while one is dragged, in milliseconds.
const PACE: u32 = 60;
/// Where the browser keeps that previews are wanted.
const WANTED: &str = "mudi-preview";
/// Steps of a preview unless others are chosen.
const STEPS: f64 = 12.0;
/// Classifier-free guidance, as pictures are made with unless told otherwise.
const GUIDANCE: f32 = 5.0;

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
    prompt: RwSignal<String>,
    seed: RwSignal<u64>,
    steps: RwSignal<f64>,
    strength: RwSignal<f64>,
    /// Counts wishes, so that pictures of an older one are known.
    number: StoredValue<u64>,
    waiting: StoredValue<bool>,
    /// Why there is nothing to paint.
    unpaintable: RwSignal<Option<String>>,
    silence: Silence,
    /// How far it was when the worker was taken for dead.
    before: StoredValue<Option<Stage>>,
    /// Whether a picture was asked for that is not finished.
    painting: StoredValue<bool>,
    /// Whether the worker is the one with the GPU.
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
        let names: Vec<String> = bench
            .cutouts
            .subjects
            .with_value(|subjects| subjects.iter().map(|subject| format!("a {}", subject.name)).collect());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
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
            prompt: RwSignal::new(prompt::collage(&names).replace(", simple background", "")),
            seed: RwSignal::new(0),
            steps: RwSignal::new(STEPS),
            strength,
            number: StoredValue::new(0),
            waiting: StoredValue::new(false),
            unpaintable: RwSignal::new(None),
            silence: Silence::new(),
            before: StoredValue::new(None),
            painting: StoredValue::new(false),
            by_gpu: StoredValue::new(false),
        };
        live.react();
        live.listen();
        live
    }

    /// Starts, or starts anew.
    pub(super) fn start(self) {
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
        let (project, model) = (self.project.get_value(), self.model.get_value());
        self.ask(Ask::Load { project, model, agreed });
        self.wish();
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
        let words = if spoken {
            "What paints has not said anything for a while. The browser may have ended it for want of memory."
        } else {
            "The browser does not start what would paint."
        };
        self.before.set_value(Some(self.stage.get_untracked()));
        self.stage.set(Stage::Failed(words.to_owned()));
    }

    fn told(self, tell: Tell) {
        self.silence.broken();
        // One that was only slow goes on where it was.
        if let Some(before) = self.before.try_update_value(Option::take).flatten() {
            self.stage.try_set(before);
        }
        match tell {
            Tell::Loading { received, total } => drop(self.stage.try_set(Stage::Loading { received, total })),
            Tell::Ready { device, gpu, emulated } => {
                self.stage.try_set(Stage::Ready { device, gpu, emulated });
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
            Tell::Failed { reason } => drop(self.stage.try_set(Stage::Failed(reason))),
            // Nobody asks for these here.
            Tell::Click(_) | Tell::Latents(_) => {}
            Tell::Picture { number, step, steps, side, pixels, milliseconds, held } => {
                if self.number.try_get_value() != Some(number) {
                    return;
                }
                self.painting.set_value(step < steps);
                let Some(canvas) = self.canvas.get_untracked() else { return };
                if let Some(image) = RgbImage::from_raw(side, side, pixels) {
                    // What cannot be drawn now is drawn with the next step.
                    let _ = put(&canvas, &image);
                    self.painted.try_set(Some(Painted { step, steps, milliseconds, held }));
                }
            }
        }
    }

    /// Whatever changes what would be painted makes a new wish.
    fn react(self) {
        Effect::new(move |_| {
            self.bench.shown.track();
            self.bench.cutouts.progress.track();
            self.prompt.track();
            self.seed.track();
            self.steps.track();
            self.strength.track();
            self.wish();
        });
    }

    /// Wishes for the layout as it will be in a moment; wishes within that moment are one.
    fn wish(self) {
        if self.bridge.try_with_value(Option::is_some) != Some(true)
            || self.waiting.try_get_value() != Some(false)
        {
            return;
        }
        self.waiting.set_value(true);
        spawn_local(async move {
            TimeoutFuture::new(PACE).await;
            if self.waiting.try_set_value(false).is_some() {
                return;
            }
            self.send();
        });
    }

    fn send(self) {
        let idle = matches!(self.stage.get_untracked(), Stage::Misfit(_) | Stage::Large { .. });
        if idle || browser::document().hidden() {
            return;
        }
        let dragging = self.bench.look(Designer::is_dragging) == Some(true);
        let (side, reduction) = self.model.with_value(|model| (model.side, model.reduction.max(1)));
        let rendered = rendered(self.bench, side, dragging);
        let why = rendered.as_ref().and_then(|rendered| rendered.as_ref().err());
        if self.unpaintable.with_untracked(|known| known.as_ref() != why) {
            self.unpaintable.set(why.cloned());
        }
        let ask = match rendered {
            Some(Ok(collage)) => Ask::Paint { number: self.next(), wish: self.wish_for(&collage, reduction) },
            // An empty canvas, or cutouts that are on their way or missing.
            _ => Ask::Rest,
        };
        self.ask(ask);
    }

    fn next(self) -> u64 {
        self.number.update_value(|number| *number += 1);
        self.number.get_value()
    }

    fn wish_for(self, collage: &Collage, reduction: u32) -> Wish {
        let side = collage.image.width();
        let latent = side / reduction;
        Wish {
            prompt: self.prompt.get_untracked(),
            negative: self.model.with_value(|model| model.negative.clone()),
            canvas: Some(Canvas {
                side,
                pixels: collage.image.as_raw().clone(),
                mask: collage.union.to_latent(latent, latent),
            }),
            gamma: self.strength.get_untracked() as f32,
            seed: self.seed.get_untracked(),
            steps: self.steps.get_untracked() as u32,
            guidance: GUIDANCE,
        }
    }

    /// A page that nobody sees paints nothing. Tests have the GPU lost by an event of the document.
    fn listen(self) {
        browser::on_event("visibilitychange", move || {
            if browser::document().hidden() {
                self.ask(Ask::Rest);
            } else {
                self.wish();
            }
        });
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
