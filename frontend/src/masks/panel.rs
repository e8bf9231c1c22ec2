//! Settings of the tool in hand, the view, and what is done to the whole mask.

use leptos::prelude::*;
use mudi_editor::mask::{Edit, MAX_RADIUS, Message, Show, Tool, ToolChange, Tools};

use super::clicks::ClickNote;
use super::desk::Desk;
use super::stage::Shown;
use super::surface::CANVAS;
use crate::browser;
use crate::widgets::{Asked, Slider, ToysOnly};

/// The panel.
#[component]
pub(super) fn Panel(desk: Desk, may_edit: bool) -> impl IntoView {
    let of = move |what: fn(&Shown) -> f64| {
        Signal::derive(move || desk.shown.with(|shown| shown.as_ref().map_or(0.0, what)))
    };
    let tool = Memo::new(move |_| desk.shown.with(|shown| shown.as_ref().map(|shown| shown.tools.tool)));
    let largest =
        Memo::new(move |_| desk.shown.with(|s| s.as_ref().map_or(100.0, |s| f64::from(s.tools.largest))));
    let change = move |change: ToolChange| desk.send(Message::Setting(change));
    let flag = move |what: fn(&Tools) -> bool| {
        move || desk.shown.with(|shown| shown.as_ref().is_some_and(|shown| what(&shown.tools)))
    };
    let settings = move || match tool.get() {
        Some(Tool::Brush | Tool::Eraser) => view! {
            // Small brushes need fine steps: the slider's middle is a tenth of its end.
            <Slider
                label="Size"
                unit="px"
                value=of(|shown| shown.tools.size().map_or(0.0, f64::from))
                least=1.0
                most=largest.get()
                bent=true
                changed=Callback::new(move |value: f64| change(ToolChange::Size(value as f32)))
            />
            <Slider
                label="Hardness"
                unit="%"
                value=of(|shown| f64::from(shown.tools.hardness) * 100.0)
                least=0.0
                most=100.0
                changed=Callback::new(move |value: f64| change(ToolChange::Hardness(value as f32 / 100.0)))
            />
            <label class="check">
                <input
                    type="checkbox"
                    prop:checked=flag(|tools| tools.pressure)
                    on:change=move |event| change(ToolChange::Pressure(event_target_checked(&event)))
                />
                "A pen's pressure sets the size"
            </label>
        }
        .into_any(),
        Some(Tool::Wand) => view! {
            <Slider
                label="Tolerance"
                unit="of 255"
                value=of(|shown| f64::from(shown.tools.tolerance))
                least=0.0
                most=255.0
                changed=Callback::new(move |value: f64| change(ToolChange::Tolerance(value as u8)))
            />
            <label class="check">
                <input
                    type="checkbox"
                    prop:checked=flag(|tools| tools.contiguous)
                    on:change=move |event| change(ToolChange::Contiguous(event_target_checked(&event)))
                />
                "Only what hangs together"
            </label>
        }
        .into_any(),
        _ => ().into_any(),
    };
    let turn = move || {
        tool.get().and_then(Tool::turned).map(|words| {
            view! {
                <label class="check" title="O">
                    <input
                        type="checkbox"
                        prop:checked=flag(|tools| tools.turned)
                        on:change=move |_| change(ToolChange::Turn)
                    />
                    {words}
                </label>
            }
        })
    };
    let help = move || tool.get().map(Tool::help);
    let masked = Memo::new(move |_| desk.shown.with(|shown| shown.as_ref().map(|shown| shown.masked)));
    let views = Show::ALL
        .into_iter()
        .map(|show| {
            let chosen = move || {
                desk.shown
                    .with(|shown| shown.as_ref().is_some_and(|shown| shown.style.show == show))
                    .to_string()
            };
            view! {
                <button class="chip" aria-pressed=chosen on:click=move |_| desk.send(Message::Show(show))>
                    {show.name()}
                </button>
            }
        })
        .collect_view();
    let whole = [
        (Edit::Grow, "Grow", "G"),
        (Edit::Shrink, "Shrink", "S"),
        (Edit::Feather, "Feather", "F"),
        (Edit::Invert, "Invert", "I"),
        (Edit::Clear, "Clear", "Delete"),
        (Edit::Fill, "Fill", ""),
    ]
    .into_iter()
    .map(|(edit, name, key)| {
        let title = if key.is_empty() { name.to_owned() } else { format!("{name} ({key})") };
        view! { <button class="button" title=title on:click=move |_| desk.send(Message::Edit(edit))>{name}</button> }
    })
    .collect_view();
    view! {
        <aside class="editor-side mask-panel" aria-label="Settings">
            <section>
                <h2>{move || tool.get().map_or("Tool", Tool::name)}</h2>
                <p class="help">{help}</p>
                {settings}
                {turn}
            </section>
            <section>
                <h2>"Automatic mask"</h2>
                <p class="help">
                    "Looks for the subject by its colours, in a box or where clicks say. Correct it by marks, or take it and paint. Where the server has Segment Anything’s own weights, let it look first: then the mask follows the pointer of the click tool."
                </p>
                <ClickNote desk />
                <ToysOnly asked=Asked::Clicks />
                <button class="button" on:click=move |_| find(desk)>"Find the subject"</button>
            </section>
            <section>
                <h2>"View"</h2>
                <div class="mask-views" role="group" aria-label="How the mask is shown">{views}</div>
                <Slider
                    label="Opacity"
                    unit="%"
                    value=of(|shown| f64::from(shown.style.opacity) * 100.0)
                    least=0.0
                    most=100.0
                    changed=Callback::new(move |value: f64| desk.send(Message::Opacity(value as f32 / 100.0)))
                />
            </section>
            <section>
                <h2>"Whole mask"</h2>
                <Slider
                    label="Radius"
                    unit="px"
                    value=of(|shown| f64::from(shown.tools.radius))
                    least=1.0
                    most=f64::from(MAX_RADIUS)
                    bent=true
                    changed=Callback::new(move |value: f64| change(ToolChange::Radius(value as u32)))
                />
                <div class="mask-edits">{whole}</div>
                {may_edit
                    .then(|| {
                        view! {
                            <button
                                class="button"
                                disabled=move || masked.get() != Some(true)
                                on:click=move |_| {
                                    desk.send(Message::Remove);
                                    browser::focus_soon(CANVAS);
                                }
                            >
                                "Remove the mask"
                            </button>
                        }
                    })}
            </section>
        </aside>
    }
}

/// Looks for the subject in the middle of the photo.
fn find(desk: Desk) {
    desk.send(Message::FindMiddle);
}
