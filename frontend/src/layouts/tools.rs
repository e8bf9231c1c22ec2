//! What can be done to what is chosen.

use leptos::prelude::*;
use mudi_domain::api::Access;
use mudi_editor::layout::{Align, Message, Order};

use super::bench::Bench;
use crate::browser;
use crate::frame::the_project;
use crate::widgets::{Icon, Sign, shapes};

fn align_sign(align: Align) -> Sign {
    match align {
        Align::Left => Sign::Left,
        Align::Center => Sign::Center,
        Align::Right => Sign::Right,
        Align::Top => Sign::Top,
        Align::Middle => Sign::Middle,
        Align::Bottom => Sign::Bottom,
    }
}

/// The canvas's proportions.
pub(super) fn shape(bench: Bench) -> impl IntoView {
    let now = Signal::derive(move || bench.aspect().into());
    let choose = move |event| {
        if let Ok(aspect) = event_target_value(&event).parse() {
            bench.send(Message::Aspect(aspect));
        }
    };
    view! {
        <label class="check">
            "Shape"
            <select on:change=choose>{shapes(now)}</select>
        </label>
    }
}

/// The bar above the canvas.
#[component]
pub(super) fn Tools(bench: Bench) -> impl IntoView {
    let chosen = Memo::new(move |_| bench.shown.with(|shown| shown.chosen.len()));
    let button = move |sign: Sign, label: &'static str, least: usize, message: fn() -> Message| {
        view! {
            <button
                class="button plain square"
                aria-label=label
                title=label
                disabled=move || { chosen.get() < least }
                on:click=move |_| bench.send(message())
            >
                <Icon sign />
            </button>
        }
    };
    let aligns = Align::ALL
        .into_iter()
        .map(|(align, label)| {
            view! {
                <button
                    class="button plain square"
                    aria-label=label
                    title=label
                    disabled=move || chosen.get() == 0
                    on:click=move |_| bench.send(Message::Align(align))
                >
                    <Icon sign=align_sign(align) />
                </button>
            }
        })
        .collect_view();
    let random = move |_| bench.send(Message::Random((browser::ticks() * 1000.0) as u64 % 1_000_000_007));
    let shape = the_project().allows(Access::Editor).then(|| shape(bench));
    view! {
        <div class="layout-tools" role="toolbar" aria-label="Arrange">
            <div role="group" aria-label="History">
                <button
                    class="button plain square"
                    aria-label="Undo"
                    title="Undo (Ctrl+Z)"
                    disabled=move || !bench.shown.with(|shown| shown.undo)
                    on:click=move |_| bench.send(Message::Undo)
                >
                    <Icon sign=Sign::Undo />
                </button>
                <button
                    class="button plain square"
                    aria-label="Redo"
                    title="Redo (Ctrl+Shift+Z)"
                    disabled=move || !bench.shown.with(|shown| shown.redo)
                    on:click=move |_| bench.send(Message::Redo)
                >
                    <Icon sign=Sign::Redo />
                </button>
            </div>
            <button class="button" title="Places all of them by the law of Seg-Mix" on:click=random>
                <Icon sign=Sign::Dice />
                "Random"
            </button>
            <div role="group" aria-label="Change">
                {button(Sign::Mirror, "Mirror (F)", 1, || Message::Flip)}
                {button(Sign::Copy, "Duplicate (Ctrl+D)", 1, || Message::Duplicate)}
                {button(Sign::Trash, "Take off the canvas (Delete)", 1, || Message::Remove)}
            </div>
            <div role="group" aria-label="Order">
                {button(Sign::Front, "To the front (Shift+])", 1, || Message::Order(Order::Front))}
                {button(Sign::Forward, "Forward (])", 1, || Message::Order(Order::Forward))}
                {button(Sign::Backward, "Backward ([)", 1, || Message::Order(Order::Backward))}
                {button(Sign::Back, "To the back (Shift+[)", 1, || Message::Order(Order::Back))}
            </div>
            <div role="group" aria-label="Align">{aligns}</div>
            <div role="group" aria-label="Distribute">
                {button(Sign::Across, "Equal gaps across", 3, || Message::Distribute(0))}
                {button(Sign::Down, "Equal gaps down", 3, || Message::Distribute(1))}
            </div>
            {shape}
            <label class="check">
                <input
                    type="checkbox"
                    prop:checked=move || bench.shown.with(|shown| shown.snapping)
                    on:change=move |event| bench.send(Message::Snap(event_target_checked(&event)))
                />
                "Snap"
            </label>
        </div>
    }
}
