//! What a small model makes of the layout, while it is arranged.

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
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use super::bench::Bench;
use super::exact::{put, rendered};
use crate::api;
use crate::browser;
use crate::preview::{Ask, ByGpu, Canvas, PreviewWorker, Tell, Wish};
use crate::widgets::Slider;

/// The scripts that `cargo xtask page` makes to start the workers: with the GPU, and with the processor.
const WORKERS: [&str; 2] = ["/preview-gpu.js", "/preview-cpu.js"];
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
    Loading { received: u64, total: u64 },
    Ready { device: String, gpu: bool, emulated: bool },
    Lost,
    Failed(String),
}

/// What the last picture is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Painted {
    step: u32,
    steps: u32,
    milliseconds: f64,
}

/// Everything that the parts of the preview share.
#[derive(Clone, Copy)]
struct Live {
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

#[component]
fn Offered(bench: Bench, project: String, model: PreviewModel, strength: RwSignal<f64>) -> impl IntoView {
    let names: Vec<String> = bench
        .cutouts
        .subjects
        .with_value(|subjects| subjects.iter().map(|subject| format!("a {}", subject.name)).collect());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bytes = model.files.iter().map(|file| file.bytes).sum::<u64>();
    let of_run = model.lora.as_ref().map(|lora| lora.name.clone());
    let live = Live {
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
    };
    live.react();
    live.listen();
    if browser::remembered(WANTED).as_deref() == Some("yes") {
        live.turn_on();
    }
    let on = Signal::derive(move || live.stage.get() != Stage::Off);
    let turn = move |_| if on.get_untracked() { live.turn_off() } else { live.turn_on() };
    let about = match of_run {
        Some(run) => format!("With your subjects as “{run}” has learnt them."),
        None => "It does not know your subjects: no run has been trained on this model yet.".to_owned(),
    };
    view! {
        <section class="live" aria-label="Preview">
            <div class="exact-head">
                <h2>"Preview"</h2>
                <button class="button" aria-pressed=move || on.get().to_string() on:click=turn>
                    {move || if on.get() { "Turn off" } else { "Turn on" }}
                </button>
            </div>
            <div class="live-body" hidden=move || !on.get()>
                <canvas
                    class="exact-canvas"
                    node_ref=live.canvas
                    role="img"
                    aria-label="What the small model makes of the layout"
                    width="1"
                    height="1"
                ></canvas>
                <Status live />
                <Controls live />
            </div>
            <p class="help">
                {move || {
                    (!on.get())
                        .then(|| {
                            format!(
                                "A small model paints this layout in your browser while you arrange it. It is loaded once: {:.0} MB. ",
                                bytes as f64 / 1e6,
                            )
                        })
                }} {about}
            </p>
        </section>
    }
}

/// What is going on, in words.
#[component]
fn Status(live: Live) -> impl IntoView {
    let words = move || match live.stage.get() {
        Stage::Off => String::new(),
        Stage::Loading { received, total } if received < total => {
            format!("Loading the model: {:.0} of {:.0} MB", received as f64 / 1e6, total as f64 / 1e6)
        }
        Stage::Loading { .. } => "Preparing the model…".to_owned(),
        Stage::Lost => "The GPU was lost; it is set up again…".to_owned(),
        Stage::Failed(reason) => reason,
        Stage::Ready { device, gpu, emulated } => {
            let place = match (gpu, emulated) {
                (true, false) => format!("on your GPU ({device})"),
                (true, true) => format!("on a GPU emulated by your processor ({device})"),
                (false, _) => {
                    let why = live.why_no_gpu.get().unwrap_or_default();
                    format!("on your processor, which is slower than a GPU: {why}")
                }
            };
            match live.painted.get() {
                Some(Painted { step, steps, milliseconds }) => {
                    let again = if live.lost.get() { "; the GPU was lost and set up again" } else { "" };
                    format!("Step {step} of {steps}, {milliseconds:.0} ms a step, {place}{again}")
                }
                None if live.bench.shown.with(|shown| shown.placements.is_empty()) => {
                    "Put a subject on the canvas.".to_owned()
                }
                None => format!("Painting {place}…"),
            }
        }
    };
    let share = move || match live.stage.get() {
        Stage::Loading { received, total } if received < total => Some(
            view! { <progress max=total.to_string() value=received.to_string() aria-label="Loading the model"></progress> },
        ),
        _ => None,
    };
    let failed = move || matches!(live.stage.get(), Stage::Failed(_));
    view! {
        {share}
        <p class="help live-status" class:fault=failed data-step=move || live.painted.get().map(|painted| painted.step)>
            {words}
        </p>
        {move || {
            failed()
                .then(|| {
                    view! {
                        <button class="button" on:click=move |_| live.turn_on()>
                            "Try again"
                        </button>
                    }
                })
        }}
    }
}

#[component]
fn Controls(live: Live) -> impl IntoView {
    let another = move |_| live.seed.update(|seed| *seed += 1);
    view! {
        <div class="field">
            <label for="live-prompt">"Prompt"</label>
            <textarea
                id="live-prompt"
                rows="2"
                prop:value=live.prompt
                on:input=move |event| live.prompt.set(event_target_value(&event))
            ></textarea>
        </div>
        <div class="row">
            <label class="live-seed">
                "Seed"
                <input
                    type="number"
                    min="0"
                    step="1"
                    prop:value=move || live.seed.get().to_string()
                    on:change=move |event| {
                        if let Ok(seed) = event_target_value(&event).parse() {
                            live.seed.set(seed);
                        }
                    }
                />
            </label>
            <button class="button" on:click=another>"Another"</button>
        </div>
        <Slider
            label="Steps"
            unit=""
            value=live.steps
            least=2.0
            most=30.0
            changed=Callback::new(move |steps| live.steps.set(steps))
        />
    }
}

impl Live {
    fn turn_on(self) {
        browser::remember(WANTED, "yes");
        self.why_no_gpu.set(None);
        self.lost.set(false);
        self.employ(WORKERS[0]);
    }

    /// Starts a worker in the place of the one that there is.
    fn employ(self, script: &str) {
        self.stage.set(Stage::Loading { received: 0, total: 1 });
        self.painted.set(None);
        // Both workers speak the same.
        let mut spawner = PreviewWorker::<ByGpu>::spawner();
        let bridge = spawner.with_loader(true).callback(move |tell| self.told(tell)).spawn(script);
        bridge.send(Ask::Load { project: self.project.get_value(), model: self.model.get_value() });
        self.bridge.set_value(Some(bridge));
        self.wish();
    }

    fn turn_off(self) {
        browser::remember(WANTED, "no");
        // The worker ends with its last bridge.
        self.bridge.set_value(None);
        self.stage.set(Stage::Off);
        self.painted.set(None);
    }

    fn told(self, tell: Tell) {
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
            Tell::Failed { reason } => drop(self.stage.try_set(Stage::Failed(reason))),
            Tell::Picture { number, step, steps, side, pixels, milliseconds } => {
                if self.number.try_get_value() != Some(number) {
                    return;
                }
                let Some(canvas) = self.canvas.get_untracked() else { return };
                if let Some(image) = RgbImage::from_raw(side, side, pixels) {
                    // What cannot be drawn now is drawn with the next step.
                    let _ = put(&canvas, &image);
                    self.painted.try_set(Some(Painted { step, steps, milliseconds }));
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
        if browser::document().hidden() {
            return;
        }
        let dragging = self.bench.look(Designer::is_dragging) == Some(true);
        let (side, reduction) = self.model.with_value(|model| (model.side, model.reduction.max(1)));
        let ask = match rendered(self.bench, side, dragging) {
            Some(Ok(collage)) => Ask::Paint { number: self.next(), wish: self.wish_for(&collage, reduction) },
            // An empty canvas, or cutouts that are on their way.
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
            negative: prompt::NEGATIVE.to_owned(),
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
        self.on_event("visibilitychange", move || {
            if browser::document().hidden() {
                self.ask(Ask::Rest);
            } else {
                self.wish();
            }
        });
        self.on_event("mudi-lose-gpu", move || self.ask(Ask::LoseDevice));
    }

    fn ask(self, ask: Ask) {
        self.bridge.try_with_value(|bridge| {
            if let Some(bridge) = bridge {
                bridge.send(ask);
            }
        });
    }

    /// Calls `changed` at events of the document for as long as the page is open.
    fn on_event(self, name: &'static str, changed: impl Fn() + 'static) {
        let changed = Closure::<dyn Fn()>::new(changed);
        let listener: &js_sys::Function = changed.as_ref().unchecked_ref();
        // Without it the preview goes on where nobody sees it.
        let _ = browser::document().add_event_listener_with_callback(name, listener);
        let changed = send_wrapper::SendWrapper::new(changed);
        on_cleanup(move || {
            let listener: &js_sys::Function = changed.as_ref().unchecked_ref();
            let _ = browser::document().remove_event_listener_with_callback(name, listener);
        });
    }
}
