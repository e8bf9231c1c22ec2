//! The canvas under the pointer.

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use mudi_editor::Phase;
use mudi_editor::layout::{Message, Pointer, key_message};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{KeyboardEvent, PointerEvent, ResizeObserver};

use super::bench::Bench;
use super::drawing::{Drawing, extent};
use super::exact;
use crate::browser;
use crate::masks::{Pressed, context};

/// How near to a handle a mouse has to be, and a finger, in CSS pixels.
const REACH: (f64, f64) = (12.0, 24.0);

/// The canvas.
#[component]
pub(super) fn Easel(
    bench: Bench,
    /// The side of the square that is as large as the canvas that will be encoded, in pixels: one is the step of the arrow keys.
    size: RwSignal<u32>,
    /// Opens the sheet of keys.
    help: RwSignal<bool>,
) -> impl IntoView {
    let (frame, canvas) = (NodeRef::<html::Div>::new(), NodeRef::<html::Canvas>::new());
    let ratio = Memo::new(move |_| bench.aspect().ratio());
    let fit = move || {
        let Some(frame) = frame.get_untracked() else { return };
        let (room, ratio) = ((frame.client_width(), frame.client_height()), ratio.get_untracked());
        let room = (f64::from(room.0), f64::from(room.1));
        bench.with_drawing(|drawing| drawing.resize(room, ratio, browser::window().device_pixel_ratio()));
        // A new size clears the canvas, and the next frame would show it so.
        bench.paint();
    };
    let watch = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn Fn()>)>);
    Effect::new(move |_| {
        let (Some(frame), Some(canvas)) = (frame.get(), canvas.get()) else { return };
        let Ok(context) = context(&canvas, false) else { return };
        bench.draw_on(Drawing::new(context));
        fit();
        let seen = Closure::<dyn Fn()>::new(fit);
        if let Ok(observer) = ResizeObserver::new(seen.as_ref().unchecked_ref()) {
            observer.observe(&frame);
            watch.set_value(Some((observer, seen)));
        }
    });
    Effect::new(move |_| {
        ratio.track();
        fit();
    });
    // A cutout that has arrived is seen at once.
    Effect::new(move |_| {
        bench.cutouts.progress.track();
        bench.redraw();
    });
    let keys = window_event_listener(ev::keydown, move |event| {
        if key_down(bench, size, help, &event) {
            event.prevent_default();
        }
    });
    on_cleanup(move || {
        keys.remove();
        watch.try_update_value(|watch| watch.take().map(|(observer, _)| observer.disconnect()));
    });
    let shape = move || {
        let (across, down) = extent(ratio.get());
        (across / down).to_string()
    };
    let pointer = move |phase: Phase| move |event: PointerEvent| send(bench, phase, &event);
    view! {
        <div class="easel" node_ref=frame style=("--shape", shape)>
            <canvas
                node_ref=canvas
                tabindex="0"
                role="application"
                aria-label="Canvas. Choose a subject in the list, then move it with the arrow keys. Question mark lists the keys."
                on:pointerdown=pointer(Phase::Down)
                on:pointermove=pointer(Phase::Move)
                on:pointerup=pointer(Phase::Up)
                on:pointercancel=pointer(Phase::Cancel)
                on:contextmenu=|event| event.prevent_default()
            ></canvas>
            {move || {
                let (there, asked) = bench.cutouts.progress.get();
                (there < asked)
                    .then(|| view! { <p class="easel-note" role="status">{format!("Cutting out {} of {asked}…", there + 1)}</p> })
            }}
        </div>
    }
}

fn send(bench: Bench, phase: Phase, event: &PointerEvent) {
    let Some(canvas) =
        event.current_target().and_then(|target| target.dyn_into::<web_sys::HtmlElement>().ok())
    else {
        return;
    };
    // Whoever only points drags nothing.
    if phase == Phase::Move && event.buttons() == 0 {
        return;
    }
    if phase == Phase::Down {
        if event.button() != 0 {
            return;
        }
        event.prevent_default();
        // Without it a drag that leaves the canvas would end there.
        let _ = canvas.set_pointer_capture(event.pointer_id());
        let _ = canvas.focus();
    }
    let corner = canvas.get_bounding_client_rect();
    let at = (f64::from(event.client_x()) - corner.left(), f64::from(event.client_y()) - corner.top());
    let reach = if event.pointer_type() == "mouse" { REACH.0 } else { REACH.1 };
    let Some((at, unit)) = bench.with_drawing(|drawing| (drawing.place(at), drawing.unit())) else { return };
    let (shift, alt) = (event.shift_key(), event.alt_key());
    let pointer = Pointer { id: event.pointer_id(), phase, at, reach: reach / unit.max(1.0), shift, alt };
    bench.send(Message::Pointer(pointer));
}

/// Whether the key meant something here.
fn key_down(bench: Bench, size: RwSignal<u32>, help: RwSignal<bool>, event: &KeyboardEvent) -> bool {
    let Some(pressed) = Pressed::of(event) else { return false };
    let (key, control) = (&pressed.key, pressed.control);
    // Sliders keep the keys that they live by.
    if key.starts_with("Arrow") && pressed.within("input") {
        return false;
    }
    if key == "?" {
        help.set(true);
        return true;
    }
    let aspect = bench.shown.with_untracked(|shown| shown.aspect);
    let pixel = 1.0 / f64::from(exact::size(aspect, size.get_untracked(), exact::MULTIPLE).1.max(1));
    match key_message(key, control, event.shift_key(), pixel) {
        // With nothing chosen arrows scroll the page.
        Some(Message::Nudge(..)) if bench.shown.with_untracked(|shown| shown.chosen.is_empty()) => false,
        Some(message) => {
            bench.send(message);
            true
        }
        None => false,
    }
}
