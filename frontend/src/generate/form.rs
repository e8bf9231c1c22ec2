//! The form: what to draw, with what, and where it starts.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use mudi_domain::api::{Job, Stored};
use mudi_domain::aspect::Aspect;
use mudi_domain::layout::Layout;
use mudi_domain::prompt;
use uuid::Uuid;

use super::offer::{Known, Offer};
use super::wish::{Start, Wish, drawn_seed};
use crate::api;
use crate::frame::the_project;
use crate::photos;
use crate::text;
use crate::widgets::{Icon, Sign, busy_already, choice, option, shapes};

const SAMPLERS: [&str; 4] = ["euler", "ddim", "euler-ancestral", "dpmpp-2m"];

/// Asks for pictures.
#[component]
pub(super) fn Form(offer: Offer, wish: Wish, asked: Callback<Job>) -> impl IntoView {
    let the = the_project();
    let (busy, fault) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let layouts = offer.layouts.clone();
    let saved: Vec<(Uuid, Layout)> = layouts.iter().map(|layout| (layout.id, layout.value.clone())).collect();
    let offer = StoredValue::new(offer);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if offer.with_value(|offer| untrack(|| offer.missing(wish))).is_some() {
            return fault.set(Some(
                "The model that was chosen is not there any more. Choose another one.".to_owned(),
            ));
        }
        let request = match wish.request(&saved) {
            Ok(request) => request,
            Err(why) => return fault.set(Some(why.to_owned())),
        };
        if busy_already(busy) {
            return;
        }
        fault.set(None);
        spawn_local(async move {
            let answer = api::post::<Job>(&the.path_now("images"), &request).await;
            busy.try_set(false);
            match answer {
                Ok(job) => {
                    wish.next_seed();
                    asked.try_run(job);
                }
                Err(error) => drop(fault.try_set(Some(error.to_string()))),
            }
        });
    };
    let chips = move || {
        let known = offer.with_value(|offer| offer.subjects_of(wish));
        (!known.is_empty()).then(|| {
            let chips = known.into_iter().map(|known| chip(known, wish)).collect_view();
            view! { <div class="row" role="group" aria-label="Put a subject into the prompt">{chips}</div> }
        })
    };
    let strangers = move || {
        let names = offer.with_value(|offer| offer.strangers(wish));
        (!names.is_empty()).then(|| {
            view! { <p class="help">{format!("The run does not know {}: it was trained without.", prompt::list(&names))}</p> }
        })
    };
    let subjects = Signal::derive(move || offer.with_value(|offer| offer.subjects_of(wish).len()));
    view! {
        <form class="card form" on:submit=submit aria-label="New pictures">
            <div class="field">
                <label for="prompt">"Prompt"</label>
                <textarea
                    id="prompt"
                    rows="3"
                    required
                    maxlength="1000"
                    placeholder="A photo of … and … in a garden."
                    prop:value=wish.prompt
                    on:input=move |event| wish.prompt.set(event_target_value(&event))
                ></textarea>
                {chips} {strangers}
            </div>
            {models(offer, wish)} <StartField layouts subjects wish />
            <div class="columns">
                <SeedField wish />
                {shape(wish)}
                <Number id="count" label="Pictures" least=1.0 most=64.0 step="1" value=Signal::derive(move || f64::from(wish.count.get())) set=Callback::new(move |n: f64| wish.count.set(n as u32)) />
            </div>
            <Details wish />
            <p class="fault" role="alert">{fault}</p>
            <button class="button primary">
                <Icon sign=Sign::Generate />
                {move || {
                    if busy.get() { "Asking…".to_owned() } else { format!("Generate {}", text::count(wish.count.get() as usize, "picture")) }
                }}
            </button>
        </form>
    }
}

/// Runs that are done, and bases alone.
fn models(offer: StoredValue<Offer>, wish: Wish) -> impl IntoView {
    let all: Vec<(String, String)> = offer.with_value(|offer| {
        let runs = offer.done().map(|run| (run.id.to_string(), format!("{} ({})", run.name, run.base)));
        let bases = offer.bases.iter().map(|base| &base.name);
        runs.chain(bases.map(|name| (format!("base:{name}"), format!("{name} alone, untrained")))).collect()
    });
    let value = Signal::derive(move || match wish.run.get() {
        Some(run) => run.to_string(),
        None => format!("base:{}", wish.base.get()),
    });
    let option = move |(key, name): (String, String)| option(value, &key, name);
    let missing = Memo::new(move |_| offer.with_value(|offer| offer.missing(wish)));
    let choose = move |event: web_sys::Event| {
        let key = event_target_value(&event);
        let base = key.strip_prefix("base:").map(str::to_owned);
        wish.draw_with(key.parse().ok(), base, |wish| offer.with_value(|offer| offer.suited(wish)));
    };
    view! {
        <div class="field">
            <label for="model">"Model"</label>
            <select id="model" on:change=choose>
                {all.into_iter().map(option).collect_view()}
                {move || missing.get().map(|words| view! { <option value="" disabled prop:selected=true>{words}</option> })}
            </select>
            {move || {
                missing.get().map(|_| view! { <p class="fault" role="status">"It is not there any more: choose another model."</p> })
            }}
        </div>
    }
}

/// A button that puts a subject's name into the prompt.
fn chip(known: Known, wish: Wish) -> impl IntoView {
    let Known { place, name, today } = known;
    let words = today.map_or_else(|| name.clone(), |today| format!("{today}, trained as {name}"));
    let add = move |_| {
        wish.prompt.update(|prompt| {
            let joint = match prompt.trim_end() {
                "" => "A photo of a ",
                text if text.ends_with([' ', ',']) || text.ends_with(" a") || text.ends_with(" of") => " ",
                _ => " and a ",
            };
            let kept = prompt.trim_end().trim_end_matches('.').to_owned();
            *prompt = format!("{kept}{joint}{name}");
        });
        crate::browser::focus("#prompt");
    };
    view! {
        <button type="button" class="chip" style=("--dot", photos::color(place)) on:click=add>
            <span class="dot" aria-hidden="true"></span>
            {words}
        </button>
    }
}

/// Where the pictures start, and how strongly.
#[component]
fn StartField(
    layouts: Vec<Stored<Layout>>,
    /// How many a random layout places.
    subjects: Signal<usize>,
    wish: Wish,
) -> impl IntoView {
    let the = the_project();
    let key = Signal::derive(move || match wish.start.get() {
        Start::Noise => "noise".to_owned(),
        Start::Random => "random".to_owned(),
        Start::Saved(id) => id.to_string(),
        Start::Own(_) => "own".to_owned(),
    });
    let sizes: Vec<(Uuid, usize)> =
        layouts.iter().map(|layout| (layout.id, layout.value.subjects.len())).collect();
    let in_layout = move |start: &Start| match start {
        Start::Noise | Start::Random => subjects.get_untracked(),
        Start::Saved(id) => sizes
            .iter()
            .find(|(known, _)| known == id)
            .map_or_else(|| subjects.get_untracked(), |(_, size)| *size),
        Start::Own(layout) => layout.subjects.len(),
    };
    let choose = move |event: web_sys::Event| {
        let start = match event_target_value(&event).as_str() {
            "noise" => Some(Start::Noise),
            "random" => Some(Start::Random),
            id => id.parse().ok().map(Start::Saved),
        };
        if let Some(start) = start {
            wish.start_from(start, &in_layout);
        }
    };
    let option = move |value: &str, name: &str| option(key, value, name.to_owned());
    let saved = layouts
        .into_iter()
        .map(|layout| option(&layout.id.to_string(), &format!("Layout “{}”", layout.name)))
        .collect_view();
    let with_layout = move || wish.run.get().is_some() && wish.start.get() != Start::Noise;
    view! {
        // A layout that was chosen is seen, whatever the model.
        <div class="field" hidden=move || wish.run.get().is_none() && matches!(wish.start.get(), Start::Noise | Start::Random)>
            <label for="start">"Where the subjects go"</label>
            <select id="start" on:change=choose>
                {option("noise", "Wherever the model puts them")}
                {option("random", "A random layout for each picture")} {saved}
                {move || matches!(wish.start.get(), Start::Own(_)).then(|| option("own", "The layout of that picture"))}
            </select>
            <p class="help">
                "A layout keeps the subjects apart from the first step. "
                <A href=move || format!("/projects/{}/layouts", the.id.get())>"Design one"</A>
            </p>
        </div>
        <div class="field" hidden=move || !with_layout()>
            <label for="gamma">{move || format!("Strength of the layout (gamma): {:.1}", wish.gamma.get())}</label>
            <input
                id="gamma"
                type="range"
                min="0"
                max="6"
                step="0.1"
                prop:value=move || wish.gamma.get().to_string()
                on:input=move |event| wish.gamma.set(event_target_value(&event).parse().unwrap_or(2.0))
            />
            <p class="help">"0 forgets it; 1 to 2 keeps places and colours; more makes the picture look like the collage."</p>
        </div>
    }
}

/// The seed, its lock and its dice.
#[component]
fn SeedField(wish: Wish) -> impl IntoView {
    let write = move |event: web_sys::Event| {
        if let Ok(seed) = event_target_value(&event).trim().parse() {
            wish.seed.set(seed);
            wish.locked.set(true);
        } else {
            // What is no seed does not stay there as if it were taken.
            wish.seed.notify();
        }
    };
    view! {
        <div class="field">
            <label for="seed">"Seed"</label>
            <div class="with-button">
                <input id="seed" inputmode="numeric" class="mono" autocomplete="off" prop:value=move || wish.seed.get().to_string() on:change=write />
                <button type="button" class="button square" title="Another seed" aria-label="Another seed" on:click=move |_| wish.seed.set(drawn_seed())>
                    <Icon sign=Sign::Dice />
                </button>
                <button
                    type="button"
                    class="button square"
                    aria-label="Keep the seed"
                    aria-pressed=move || wish.locked.get().to_string()
                    title=move || if wish.locked.get() { "The seed stays" } else { "Each time another seed" }
                    on:click=move |_| wish.locked.update(|locked| *locked = !*locked)
                >
                    {move || view! { <Icon sign=if wish.locked.get() { Sign::Lock } else { Sign::Unlock } /> }}
                </button>
            </div>
            <p class="help">{move || if wish.locked.get() { "The same each time." } else { "Another each time." }}</p>
        </div>
    }
}

/// Width to height.
fn shape(wish: Wish) -> AnyView {
    let now = Signal::derive(move || wish.aspect.get().map_or("", Aspect::word).to_owned());
    let mut options = vec![option(now, "", "As the layout or the run has it".to_owned())];
    options.extend(shapes(now));
    choice("shape", "Shape", options, Callback::new(move |word: String| wish.aspect.set(word.parse().ok())))
}

/// A number with its range.
#[component]
fn Number(
    id: &'static str,
    label: &'static str,
    least: f64,
    most: f64,
    step: &'static str,
    value: Signal<f64>,
    set: Callback<f64>,
    #[prop(optional)] help: &'static str,
) -> impl IntoView {
    // While it is being written only what is in the range counts; at the end it is brought there.
    let write = move |event: web_sys::Event| {
        let number = event_target_value(&event).parse::<f64>();
        if let Some(number) = number.ok().filter(|number| (least..=most).contains(number)) {
            set.run(number);
        }
    };
    let end = move |event: web_sys::Event| {
        if let Ok(number) = event_target_value(&event).parse::<f64>() {
            set.run(number.clamp(least, most));
        }
    };
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <input id=id type="number" min=least max=most step=step prop:value=move || value.get().to_string() on:input=write on:change=end />
            {(!help.is_empty()).then(|| view! { <p class="help">{help}</p> })}
        </div>
    }
}

/// What is rarely changed.
#[component]
fn Details(wish: Wish) -> impl IntoView {
    let rounded = |value: f32| f64::from((value * 100.0).round()) / 100.0;
    let samplers = SAMPLERS.map(|name| option(wish.sampler.into(), name, name.to_owned())).into();
    let sampler = choice("sampler", "Sampler", samplers, Callback::new(move |name| wish.sampler.set(name)));
    view! {
        <details>
            <summary>"Steps, guidance, sampler"</summary>
            <div class="stack">
                <div class="columns">
                    <Number id="steps" label="Steps" least=1.0 most=1000.0 step="1" value=Signal::derive(move || f64::from(wish.steps.get())) set=Callback::new(move |n: f64| wish.steps.set(n as u32)) />
                    <Number
                        id="guidance"
                        label="Guidance"
                        least=0.0
                        most=100.0
                        step="0.5"
                        help="How closely to follow the prompt; 1 and less leave it out."
                        value=Signal::derive(move || rounded(wish.guidance.get()))
                        set=Callback::new(move |n: f64| wish.guidance.set(n as f32))
                    />
                    <Number
                        id="scale"
                        label="Strength of the training"
                        least=-20.0
                        most=100.0
                        step="0.1"
                        value=Signal::derive(move || rounded(wish.scale.get()))
                        set=Callback::new(move |n: f64| wish.scale.set(n as f32))
                    />
                    {sampler}
                </div>
                <label class="check">
                    <input
                        type="checkbox"
                        prop:checked=move || wish.karras.get() == Some(true)
                        on:change=move |event| wish.karras.set(Some(event_target_checked(&event)))
                    />
                    "Karras’ spacing of noise levels"
                </label>
                <div class="field">
                    <label for="negative">"What not to draw"</label>
                    <textarea
                        id="negative"
                        rows="2"
                        maxlength="1000"
                        placeholder="Nothing in particular"
                        prop:value=wish.negative
                        on:input=move |event| wish.negative.set(event_target_value(&event))
                    ></textarea>
                </div>
            </div>
        </details>
    }
}
