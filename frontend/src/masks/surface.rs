//! The canvas, on which pointers draw.

use leptos::html;
use leptos::prelude::*;
use mudi_domain::grabcut::ROUNDS;
use mudi_editor::Phase;
use mudi_editor::mask::{Message, ViewChange};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{PointerEvent, ResizeObserver};

use super::cursor;
use super::desk::Desk;
use super::input::{self, Elsewhere, Space};
use crate::browser;

/// What the focus goes to where a choice that had it is made.
pub(super) const CANVAS: &str = ".mask-marks";

/// The two canvases, one above the other, and the brush's outline.
#[component]
pub(super) fn Surface(
    desk: Desk,
    ground: NodeRef<html::Canvas>,
    marks: NodeRef<html::Canvas>,
    elsewhere: Elsewhere,
) -> impl IntoView {
    let outline = NodeRef::<html::Div>::new();
    let frame = NodeRef::<html::Div>::new();
    let space = Space(StoredValue::new(false));
    let moved = move || cursor::follow(desk, outline);
    input::keys(desk, space, elsewhere, moved);
    let fit = move || {
        let Some(frame) = frame.get_untracked() else { return };
        let size = (f64::from(frame.client_width()), f64::from(frame.client_height()));
        if size.0 > 0.0 && size.1 > 0.0 {
            desk.with(|stage| stage.painter.resize(size, browser::window().device_pixel_ratio()));
            desk.send(Message::View(ViewChange::Window(size.0, size.1)));
            // A new size clears the canvas, and the next frame would show it so.
            desk.paint();
        }
    };
    let ready = Memo::new(move |_| desk.shown.with(Option::is_some));
    let watch = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn Fn()>)>);
    Effect::new(move |_| {
        let (Some(frame), true) = (frame.get(), ready.get()) else { return };
        fit();
        let seen = Closure::<dyn Fn()>::new(fit);
        if let Ok(observer) = ResizeObserver::new(seen.as_ref().unchecked_ref()) {
            observer.observe(&frame);
            watch.set_value(Some((observer, seen)));
        }
    });
    on_cleanup(move || {
        watch.try_update_value(|watch| watch.take().map(|(observer, _)| observer.disconnect()));
    });
    // A brush that becomes larger by a key is seen at once.
    Effect::new(move |_| {
        desk.shown.track();
        moved();
    });
    let pointer = move |phase: Phase| {
        move |event: PointerEvent| {
            if phase == Phase::Down {
                event.prevent_default();
            }
            input::pointer(desk, space, phase, &event);
            moved();
        }
    };
    let leave = move |_| {
        desk.send(Message::Leave);
        moved();
    };
    view! {
        <div class="mask-frame" node_ref=frame>
            <canvas node_ref=ground class="mask-ground" aria-hidden="true"></canvas>
            <canvas
                node_ref=marks
                class="mask-marks"
                tabindex="0"
                role="application"
                aria-label="Photo and mask. Arrows move the cursor, Enter presses and lifts it, question mark lists the keys."
                on:pointerdown=pointer(Phase::Down)
                on:pointermove=pointer(Phase::Move)
                on:pointerup=pointer(Phase::Up)
                on:pointercancel=pointer(Phase::Cancel)
                on:pointerleave=leave
                on:wheel=move |event| input::wheel(desk, &event)
                on:contextmenu=|event| event.prevent_default()
            ></canvas>
            <div class="brush hidden" node_ref=outline aria-hidden="true"></div>
            {move || {
                (!ready.get())
                    .then(|| {
                        view! {
                            <div class="mask-waiting" role="status">
                                <p>"Loading the photo and its mask…"</p>
                            </div>
                        }
                    })
            }}
            <Found desk />
        </div>
    }
}

/// What to do with an automatic mask.
#[component]
fn Found(desk: Desk) -> impl IntoView {
    use mudi_editor::mask::Combine;

    let state = Memo::new(move |_| {
        desk.shown.with(|shown| shown.as_ref().map(|shown| (shown.looking, shown.found, shown.fault.clone())))
    });
    let settle = move |message: Message| {
        desk.send(message);
        browser::focus_soon(CANVAS);
    };
    let accept = move |how: Combine| move |_| settle(Message::Accept(how));
    let drop = move |_| settle(Message::Escape);
    move || {
        match state.get() {
        Some((true, ..)) => {
            // Until the first round is over nobody knows how long it will take.
            let round = move || Some(desk.rounds.get()).filter(|round| *round > 0);
            view! {
                <div class="mask-found" role="status">
                    <p>"Looking for the subject…"</p>
                    <progress class="bar" max=ROUNDS value=round aria-label="How far it is"></progress>
                    <button class="button plain" title="Esc" on:click=drop>"Cancel"</button>
                </div>
            }
            .into_any()
        }
        Some((_, true, _)) => view! {
            <div class="mask-found" role="group" aria-label="Automatic mask">
                <p>"Blue is what was found."</p>
                <button class="button primary" title="Enter" on:click=accept(Combine::Replace)>"Use it"</button>
                <button class="button" title="+" on:click=accept(Combine::Add)>"Add"</button>
                <button class="button" title="−" on:click=accept(Combine::Remove)>"Take away"</button>
                <button class="button plain" title="Esc" on:click=drop>"Drop"</button>
            </div>
        }
        .into_any(),
        Some((_, _, Some(fault))) => view! {
            <div class="mask-found" role="alert">
                <p>{fault}</p>
                <button class="button" on:click=drop>"Close"</button>
            </div>
        }
        .into_any(),
        _ => ().into_any(),
    }
    }
}
