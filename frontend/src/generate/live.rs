//! Pictures while the server makes them: its latents, as colours at once and decoded in this browser where that can be.

use gloo_timers::future::TimeoutFuture;
use gloo_worker::{Spawnable, WorkerBridge};
use image::RgbImage;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, Job, JobKind, JobState, Latents, PreviewModel};
use mudi_preview::fit::megabytes;

use crate::api;
use crate::frame::{TheProject, the_project};
use crate::layouts::put;
use crate::preview::{Ask, ByGpu, LatentsAsk, LatentsTell, PreviewWorker, Tell, WORKERS};
use crate::training::Work;

/// Whether a worker decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// None has been needed.
    Colours,
    /// One is on its way.
    Starting,
    /// It is to be said whether so many bytes are to be loaded.
    Large {
        bytes: u64,
    },
    Ready {
        gpu: bool,
    },
    /// There is none to be had.
    Never,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Drawn {
    /// So many pictures,
    count: usize,
    /// after so many steps
    step: u32,
    /// of so many.
    steps: u32,
    /// Whether they are decoded, or colours alone.
    decoded: bool,
}

/// What is shown of a job.
#[derive(Clone, Copy)]
struct Live {
    the: TheProject,
    job: RwSignal<Job>,
    stage: RwSignal<Stage>,
    /// What is drawn.
    shown: RwSignal<Option<Drawn>>,
    canvases: StoredValue<Vec<NodeRef<html::Canvas>>>,
    bridge: StoredValue<Option<WorkerBridge<PreviewWorker<ByGpu>>>, LocalStorage>,
    /// What the worker decodes with.
    model: StoredValue<Option<PreviewModel>>,
    /// The number of what is drawn.
    drawn: StoredValue<u64>,
    /// Steps of a picture.
    steps: StoredValue<u32>,
    fetching: StoredValue<bool>,
}

/// The most pictures that a job makes at once.
const MOST: usize = 4;

/// The pictures of a job that runs, step by step.
#[component]
pub(super) fn LivePictures(work: Work) -> impl IntoView {
    let live = Live {
        the: the_project(),
        job: work.job,
        stage: RwSignal::new(Stage::Colours),
        shown: RwSignal::new(None),
        canvases: StoredValue::new((0..MOST).map(|_| NodeRef::new()).collect()),
        bridge: StoredValue::new_local(None),
        model: StoredValue::new(None),
        drawn: StoredValue::new(0),
        steps: StoredValue::new(0),
        fetching: StoredValue::new(false),
    };
    let running = Memo::new(move |_| {
        live.job.with(|job| job.kind == JobKind::Generate && job.state == JobState::Running)
    });
    let step = Memo::new(move |_| live.job.with(|job| (job.stage.clone(), job.step)));
    Effect::new(move |ran| {
        step.with(|_| ());
        let runs = running.get();
        if runs {
            if ran != Some(true) {
                live.drawn.set_value(0);
            }
            // Before the first step there is nothing.
            if live.job.with_untracked(|job| job.step > 0) {
                live.fetch();
            }
        } else {
            live.shown.set(None);
            // What is still on its way is later than all that may be drawn.
            live.drawn.set_value(u64::MAX);
            // A finished job's card may stay for long; the worker's memory need not.
            live.bridge.set_value(None);
            live.stage.set(Stage::Colours);
        }
        runs
    });
    let canvas = move |(number, node): (usize, NodeRef<html::Canvas>)| {
        let hidden = move || live.shown.get().is_none_or(|drawn| number >= drawn.count);
        view! {
            <li hidden=hidden>
                <canvas class="live-picture" node_ref=node role="img" aria-label="A picture while it is made" width="1" height="1"></canvas>
            </li>
        }
    };
    let words = move || {
        let Drawn { step, steps, decoded, .. } = live.shown.get()?;
        let how = match live.stage.get() {
            Stage::Ready { gpu: true } if decoded => "decoded by your GPU",
            Stage::Ready { gpu: false } if decoded => "decoded by your processor",
            _ => "about its colours",
        };
        Some(format!("What it will be like, after step {step} of {steps}: {how}."))
    };
    let large = move || match live.stage.get() {
        Stage::Large { bytes } => {
            let load = move |_| {
                live.stage.set(Stage::Starting);
                live.open(true);
            };
            let words = format!("See them sharp: load the decoder, {}", megabytes(bytes));
            Some(view! { <button class="button" on:click=load>{words}</button> })
        }
        _ => None,
    };
    view! {
        <div class="live-pictures" hidden=move || live.shown.get().is_none()>
            <ul class="pictures">
                {live.canvases.get_value().into_iter().enumerate().map(canvas).collect_view()}
            </ul>
            <p class="help" aria-live="off">{words}</p>
            {large}
        </div>
    }
}

impl Live {
    /// Fetches the newest latents, unless some are on their way.
    fn fetch(self) {
        if self.fetching.get_value() || crate::browser::document().hidden() {
            return;
        }
        self.fetching.set_value(true);
        let path = self.the.path_now(&format!("jobs/{}/latents", self.job.with_untracked(|job| job.id)));
        spawn_local(async move {
            let latents = match api::bytes(&path).await {
                Ok(bytes) => Latents::from_bytes(&bytes),
                // The job is between two groups of pictures, or over.
                Err(_) => None,
            };
            if self.fetching.try_set_value(false).is_none()
                && let Some(latents) = latents
            {
                self.show(latents);
            }
        });
    }

    fn show(self, latents: Latents) {
        let [count, height, width, _] = latents.shape;
        // Later steps and later pictures have larger numbers.
        let number = u64::from(latents.first) << 32 | u64::from(latents.step);
        if self.drawn.get_value() >= number {
            return;
        }
        self.steps.set_value(latents.steps);
        // The canvases are there before something is drawn on them.
        if self.shown.get_untracked().is_none() {
            let (count, step, steps) = (count.min(MOST), latents.step, latents.steps);
            self.shown.set(Some(Drawn { count, step, steps, decoded: false }));
        }
        if latents.preview && self.stage.get_untracked() == Stage::Colours {
            self.stage.set(Stage::Starting);
            spawn_local(self.begin());
        }
        if latents.preview && matches!(self.stage.get_untracked(), Stage::Ready { .. }) {
            self.ask(LatentsAsk::Decode { number, shape: latents.shape, values: latents.values });
        } else {
            self.draw(number, [width, height], latents.pixels(), false);
        }
    }

    /// Draws them, unless later ones are there: a slow device is behind, and what it makes is better than nothing.
    fn draw(self, number: u64, [width, height]: [usize; 2], pictures: Vec<Vec<u8>>, decoded: bool) {
        if self.drawn.try_get_value().is_none_or(|drawn| drawn >= number) {
            return;
        }
        self.drawn.set_value(number);
        // Its lower half is the step.
        let (count, step, steps) = (pictures.len().min(MOST), number as u32, self.steps.get_value());
        self.shown.set(Some(Drawn { count, step, steps, decoded }));
        let canvases = self.canvases.get_value();
        for (canvas, pixels) in canvases.iter().zip(pictures) {
            let image = RgbImage::from_raw(width as u32, height as u32, pixels);
            if let (Some(canvas), Some(image)) = (canvas.get_untracked(), image) {
                // What cannot be drawn now is drawn with the next step.
                let _ = put(&canvas, &image);
            }
        }
    }

    /// Has a worker started, where this person may load the model for previews.
    async fn begin(self) {
        let model = if self.the.allows(Access::Player) {
            api::get::<PreviewModel>(&self.the.path_now("preview")).await.ok()
        } else {
            None
        };
        match model {
            Some(model) => {
                self.model.try_set_value(Some(model));
                self.employ(WORKERS[0]);
            }
            None => drop(self.stage.try_set(Stage::Never)),
        }
    }

    fn employ(self, script: &'static str) {
        // The page may be gone, or the job over.
        if self.stage.try_get_untracked() != Some(Stage::Starting) {
            return;
        }
        // Both workers speak the same.
        let mut spawner = PreviewWorker::<ByGpu>::spawner();
        let told = move |tell| {
            let Tell::Latents(tell) = tell else { return };
            match tell {
                LatentsTell::Ready { gpu } => drop(self.stage.try_set(Stage::Ready { gpu })),
                LatentsTell::Large { bytes } => drop(self.stage.try_set(Stage::Large { bytes })),
                LatentsTell::NoDevice => {
                    self.stage.try_set(Stage::Starting);
                    // Not from within the answer of the worker that is let go.
                    spawn_local(async move {
                        TimeoutFuture::new(0).await;
                        self.employ(WORKERS[1]);
                    });
                }
                LatentsTell::Decoded { number, width, height, pictures } => {
                    self.draw(number, [width as usize, height as usize], pictures, true);
                }
                LatentsTell::Failed => drop(self.stage.try_set(Stage::Never)),
            }
        };
        let bridge = spawner.with_loader(true).callback(told).spawn(script);
        self.bridge.set_value(Some(bridge));
        self.open(false);
    }

    /// Has the decoder loaded; a large one only if that is `agreed` to.
    fn open(self, agreed: bool) {
        if let Some(model) = self.model.get_value() {
            self.ask(LatentsAsk::Open { project: self.the.path_now(""), model, agreed });
        }
    }

    fn ask(self, ask: LatentsAsk) {
        self.bridge.try_with_value(|bridge| {
            if let Some(bridge) = bridge {
                bridge.send(Ask::Latents(ask));
            }
        });
    }
}
