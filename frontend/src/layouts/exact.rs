//! The canvas that will be encoded, to the pixel, and what gamma does with it.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use image::RgbImage;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::aspect::Aspect;
use mudi_domain::collage::Collage;
use mudi_domain::geometry::UnitBox;
use mudi_domain::layout::{EXTENT, Placement};
use mudi_domain::subject::SubjectId;
use mudi_editor::layout::gamma;
use wasm_bindgen::{Clamped, JsValue};
use web_sys::{HtmlCanvasElement, ImageData};

use super::bench::Bench;
use crate::masks::context;
use crate::widgets::Slider;

/// How long after the last change the canvas is made, in milliseconds.
const CALM: u32 = 250;
/// Sides of the squares that are as large as the canvas that can be looked at, in pixels.
const SIZES: [u32; 5] = [96, 144, 512, 768, 1024];
/// What both sides of a canvas are multiples of, in pixels.
pub(super) const MULTIPLE: u32 = 8;
/// A part that is longer than so many canvases is refused, and not made for that.
const LARGEST: u32 = 4;
/// The same of the pictures of noise.
const NOISE: u32 = 256;
/// The side of the squares that are averaged there.
const SQUARE: u32 = 8;
/// The gammas of the pictures.
const GAMMAS: [f32; 5] = [0.0, 1.0, 2.0, 3.0, 4.0];
/// The seed of their noise.
const SEED: u64 = 1;

/// Puts an image on a canvas of the page.
pub(crate) fn put(canvas: &HtmlCanvasElement, image: &RgbImage) -> Result<(), JsValue> {
    canvas.set_width(image.width());
    canvas.set_height(image.height());
    let rgba: Vec<u8> = image.pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
    let data = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), image.width(), image.height())?;
    context(canvas, false)?.put_image_data(&data, 0.0, 0.0)
}

/// Width and height, in pixels, of a canvas about as large as a square of `side` pixels, both multiples of `multiple`.
pub(super) fn size(aspect: Aspect, side: u32, multiple: u32) -> (u32, u32) {
    let [height, width] = aspect.size(side as usize, multiple as usize).map(|length| length as u32);
    (width, height)
}

/// The layout's canvas, as large as [`size`] has it, of the cutouts themselves or, where it must be quick, of small copies; why there is none,
/// where that is so; nothing while cutouts are on their way, or the canvas is empty.
pub(super) fn rendered(
    bench: Bench,
    side: u32,
    multiple: u32,
    quick: bool,
) -> Option<Result<Collage, String>> {
    let mut layout = bench.layout()?;
    let size = size(layout.aspect, side, multiple);
    let (unit, limit) = (size.1, LARGEST * size.0.max(size.1));
    let missing = |placed: &Placement| bench.cutouts.missing(&placed.subject, placed.photo.unwrap_or(0));
    if let Some(why) = layout.subjects.iter().find_map(missing) {
        return Some(Err(why));
    }
    // Cutouts of the size that they have on the canvas are laid on it as they are, each found by its place in the list.
    let mut pieces = Vec::new();
    for (index, placed) in layout.subjects.iter_mut().enumerate() {
        let Placement { subject, photo, width, height, .. } = placed;
        let fitting = |proportion: f64| {
            let tall = height.unwrap_or(*width * proportion);
            // What is scaled already would round it otherwise.
            if EXTENT.contains(&tall) {
                *height = Some(tall);
            }
            let rect = UnitBox { x: 0.0, y: 0.0, width: *width, height: tall }.to_pixels(unit, unit);
            (rect.width.min(limit), rect.height.min(limit + 1))
        };
        pieces.push(bench.cutouts.scaled(subject, photo.unwrap_or(0), quick, fitting)?);
        *photo = Some(index);
    }
    let lookup = |_: &SubjectId, index: Option<usize>| pieces.get(index?).map(Rc::as_ref);
    Some(layout.render(size, lookup).map_err(|error| error.to_string()))
}

/// The exact canvas, and gamma.
#[component]
pub(super) fn Exact(
    bench: Bench,
    /// The side of the square that is as large as the canvas, in pixels.
    side: RwSignal<u32>,
    /// The strength with which it is put into the noise.
    strength: RwSignal<f64>,
) -> impl IntoView {
    let canvas = NodeRef::<html::Canvas>::new();
    let (fault, small) = (RwSignal::new(None::<String>), RwSignal::new(None::<Collage>));
    let number = StoredValue::new(0_u32);
    // What is chosen changes nothing of it.
    let placed = Memo::new(move |_| {
        bench.shown.with(|shown| (shown.aspect, shown.placements.clone(), shown.dragging))
    });
    Effect::new(move |_| {
        // Read, not tracked: a memo that nobody has read does not follow anything.
        placed.with(|_| ());
        bench.cutouts.progress.track();
        let wanted = side.get();
        let mine = number.get_value() + 1;
        number.set_value(mine);
        spawn_local(async move {
            TimeoutFuture::new(CALM).await;
            // Something has changed meanwhile, or the page is gone.
            if number.try_get_value() != Some(mine)
                || bench.look(mudi_editor::layout::Designer::is_dragging) != Some(false)
            {
                return;
            }
            let Some(canvas) = canvas.get_untracked() else { return };
            match rendered(bench, wanted, MULTIPLE, false) {
                Some(Ok(collage)) => {
                    fault.set(None);
                    // What cannot be drawn now is drawn after the next change.
                    let _ = put(&canvas, &collage.image);
                    // A picture of noise shows no more than small copies do.
                    small.set(rendered(bench, NOISE, MULTIPLE, true).and_then(Result::ok));
                }
                Some(Err(why)) => fault.set(Some(why)),
                None => {
                    fault.set(None);
                    small.set(None);
                    canvas.set_width(1);
                    canvas.set_height(1);
                }
            }
        });
    });
    let option = move |length: u32| {
        let name = move || {
            let (width, height) = size(bench.aspect(), length, MULTIPLE);
            format!("{width} × {height}")
        };
        view! { <option value=length.to_string() selected=length == side.get_untracked()>{name}</option> }
    };
    let options = SIZES.map(option).into_iter().collect_view();
    let choose = move |event| {
        if let Ok(length) = event_target_value(&event).parse() {
            side.set(length);
        }
    };
    view! {
        <section>
            <div class="exact-head">
                <h2>"What is encoded"</h2>
                <select aria-label="Size of the canvas" on:change=choose>{options}</select>
            </div>
            <canvas
                class="exact-canvas"
                node_ref=canvas
                role="img"
                aria-label="The canvas as it will be encoded"
                width="1"
                height="1"
            ></canvas>
            {move || fault.get().map(|fault| view! { <p class="fault" role="alert">{fault}</p> })}
            <Gamma strength />
            <p class="help">
                "Sampling starts from noise whose mean is gamma times this canvas. At 0 the layout is ignored; 2 suits two or three subjects, 3 more; above 4 images saturate."
            </p>
            {move || small.with(Option::is_some).then(|| view! { <Noise small strength /> })}
        </section>
    }
}

/// How strongly the layout is put into the noise.
#[component]
pub(super) fn Gamma(strength: RwSignal<f64>) -> impl IntoView {
    view! {
        <Slider
            label="Gamma"
            unit=""
            value=strength
            least=0.0
            most=6.0
            step=0.1
            changed=Callback::new(move |value| strength.set(value))
        />
    }
}

/// The noise with the canvas in it, at several gammas.
#[component]
fn Noise(small: RwSignal<Option<Collage>>, strength: RwSignal<f64>) -> impl IntoView {
    let coarse = move |gamma: f32| {
        small.with_untracked(|small| {
            small.as_ref().map(|canvas| gamma::averaged(&gamma::noised(canvas, gamma, SEED), SQUARE))
        })
    };
    let picture = move |value: Signal<f32>, averaged: bool, label: String| {
        let canvas = NodeRef::<html::Canvas>::new();
        Effect::new(move |_| {
            let (Some(canvas), gamma) = (canvas.get(), value.get()) else { return };
            small.track();
            let image = if averaged {
                coarse(gamma)
            } else {
                small.with_untracked(|small| small.as_ref().map(|canvas| gamma::noised(canvas, gamma, SEED)))
            };
            if let Some(image) = image {
                // A picture of noise less is no reason to stop.
                let _ = put(&canvas, &image);
            }
        });
        view! { <canvas node_ref=canvas role="img" aria-label=label width="1" height="1"></canvas> }
    };
    let now = Signal::derive(move || strength.get() as f32);
    let row = GAMMAS
        .map(|gamma| {
            view! {
                <button class="noise" aria-label=format!("Set gamma to {gamma}") on:click=move |_| strength.set(f64::from(gamma))>
                    {picture(Signal::stored(gamma), true, format!("The noise at gamma {gamma}"))}
                    <span>{format!("{gamma}")}</span>
                </button>
            }
        })
        .into_iter()
        .collect_view();
    view! {
        <figure class="noises">
            <div class="noise-now">
                {picture(now, false, "The noise that sampling starts with".to_owned())}
                {picture(now, true, "The same noise, averaged".to_owned())}
            </div>
            <figcaption class="help">
                "Left: the start as it is. The canvas is in it, too faint to be seen pixel by pixel. Right: the same, in grey and averaged over 8 × 8 pixels, as a network that looks at all of them can. Below: gamma 0 to 4. (Drawn with pixels; sampling does it with latents.)"
            </figcaption>
            <div class="noise-row">{row}</div>
        </figure>
    }
}
