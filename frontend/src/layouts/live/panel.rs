//! What is seen of the preview: the picture, what is going on, and what can be chosen.

use leptos::prelude::*;
use mudi_domain::api::PreviewModel;
use mudi_domain::prompt::list;
use mudi_preview::fit::megabytes;

use super::named::strangers;
use super::{Live, Painted, Stage, WANTED};
use crate::browser;
use crate::layouts::bench::Bench;
use crate::widgets::{Icon, Sign, Slider};

#[component]
pub(super) fn Offered(
    bench: Bench,
    project: String,
    model: PreviewModel,
    strength: RwSignal<f64>,
) -> impl IntoView {
    let bytes = model.files.iter().map(|file| file.bytes).sum::<u64>();
    let of_run = model.lora.as_ref().map(|lora| (lora.name.clone(), strangers(bench, lora)));
    let live = Live::new(bench, project, model, strength);
    if browser::remembered(WANTED).as_deref() == Some("yes") {
        live.begin();
    }
    let on = Signal::derive(move || live.stage.get() != Stage::Off);
    let turn = move |_| if on.get_untracked() { live.turn_off() } else { live.turn_on() };
    let about = match of_run {
        Some((run, strangers)) if strangers.is_empty() => {
            format!("With your subjects as “{run}” has learnt them.")
        }
        Some((run, strangers)) => {
            format!(
                "With your subjects as “{run}” has learnt them; it does not know {}, which it was trained without.",
                list(&strangers)
            )
        }
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
                <Picture live />
                <Status live />
                <Controls live />
            </div>
            <p class="help">
                {move || {
                    (!on.get())
                        .then(|| {
                            format!(
                                "A small model paints this layout in your browser while you arrange it. It is loaded once: {}. ",
                                megabytes(bytes),
                            )
                        })
                }} {about}
            </p>
        </section>
    }
}

/// The picture.
#[component]
pub(in crate::layouts) fn Picture(live: Live) -> impl IntoView {
    view! {
        <canvas
            class="exact-canvas"
            node_ref=live.canvas
            role="img"
            aria-label="What the small model makes of the layout"
            width="1"
            height="1"
        ></canvas>
    }
}

/// What is going on, in words.
#[component]
pub(in crate::layouts) fn Status(live: Live) -> impl IntoView {
    let words = move || match live.stage.get() {
        Stage::Off => String::new(),
        Stage::Misfit(reason) => {
            format!("“{}” does not fit here: {reason}.", live.model.with_value(|model| model.name.clone()))
        }
        Stage::Large { bytes, memory } => format!(
            "“{}” is {} to load, which the browser keeps. While it paints it takes about {} of memory.",
            live.model.with_value(|model| model.name.clone()),
            megabytes(bytes),
            megabytes(memory),
        ),
        // Nothing has been said of it yet.
        Stage::Loading { received: 0, .. } => "Starting…".to_owned(),
        Stage::Loading { received, total } if received < total => {
            format!("Loading the model: {} of {}", megabytes(received), megabytes(total))
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
            if let Some(why) = live.unpaintable.get() {
                return why;
            }
            match live.painted.get() {
                Some(Painted { step, steps, milliseconds, .. }) => {
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
    let fault = move || matches!(live.stage.get(), Stage::Failed(_) | Stage::Misfit(_));
    let large = move || match live.stage.get() {
        Stage::Large { bytes, .. } => Some(view! {
            <button class="button primary" on:click=move |_| live.agree()>
                {format!("Load {}", megabytes(bytes))}
            </button>
        }),
        _ => None,
    };
    view! {
        {share}
        // What is held is for whoever looks for leaks.
        <p
            class="help live-status"
            class:fault=fault
            data-step=move || live.painted.get().map(|painted| painted.step)
            data-device=move || live.painted.get().map(|painted| painted.held.device)
            data-worker=move || live.painted.get().map(|painted| painted.held.program)
            data-page=move || live.painted.get().map(|_| browser::program_memory())
        >
            {words}
        </p>
        {large}
        {move || {
            failed()
                .then(|| {
                    view! {
                        <div class="actions">
                            <button class="button" on:click=move |_| live.start()>
                                "Try again"
                            </button>
                            {live
                                .by_gpu
                                .get_value()
                                .then(|| {
                                    view! {
                                        <button class="button" on:click=move |_| live.do_without_gpu()>
                                            "Paint with the processor"
                                        </button>
                                    }
                                })}
                        </div>
                    }
                })
        }}
    }
}

/// Prompt, seed and steps.
#[component]
pub(in crate::layouts) fn Controls(live: Live) -> impl IntoView {
    let another = move |_| live.seed.update(|seed| *seed += 1);
    view! {
        <div class="field">
            <label for="live-prompt">"Prompt"</label>
            <textarea
                id="live-prompt"
                rows="2"
                prop:value=live.prompt
                on:input=move |event| live.written.set(Some(event_target_value(&event)))
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
                        match event_target_value(&event).trim().parse() {
                            Ok(seed) => live.seed.set(seed),
                            // The field shows what is painted.
                            Err(_) => live.seed.notify(),
                        }
                    }
                />
            </label>
            <button class="button" on:click=another>
                <Icon sign=Sign::Dice />
                "Another"
            </button>
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
