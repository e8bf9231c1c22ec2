//! The tools, and back and forth.

use leptos::prelude::*;
use mudi_editor::mask::{Message, Tool, ViewChange};

use super::desk::Desk;
use crate::widgets::{Icon, Sign};

fn sign(tool: Tool) -> Sign {
    match tool {
        Tool::Brush => Sign::Brush,
        Tool::Eraser => Sign::Eraser,
        Tool::Lasso => Sign::Lasso,
        Tool::Wand => Sign::Wand,
        Tool::Frame => Sign::Frame,
        Tool::Point => Sign::Point,
        Tool::Mark => Sign::Mark,
        Tool::Hand => Sign::Hand,
    }
}

fn key(tool: Tool) -> &'static str {
    match tool {
        Tool::Brush => "B",
        Tool::Eraser => "E",
        Tool::Lasso => "L",
        Tool::Wand => "W",
        Tool::Frame => "M",
        Tool::Point => "P",
        Tool::Mark => "K",
        Tool::Hand => "H",
    }
}

/// The bar at the side; below the photo where the window is narrow.
#[component]
pub(super) fn Toolbar(desk: Desk) -> impl IntoView {
    let tool = Memo::new(move |_| desk.shown.with(|shown| shown.as_ref().map(|shown| shown.tools.tool)));
    let steps =
        Memo::new(move |_| desk.shown.with(|shown| shown.as_ref().map(|shown| (shown.undo, shown.redo))));
    let zoom = Memo::new(move |_| desk.shown.with(|shown| shown.as_ref().map_or(0, |shown| shown.zoom)));
    let tools = Tool::ALL
        .into_iter()
        .map(|each| {
            view! {
                <button
                    class="tool"
                    aria-pressed=move || (tool.get() == Some(each)).to_string()
                    aria-keyshortcuts=key(each)
                    title=format!("{} ({}): {}", each.name(), key(each), each.help())
                    on:click=move |_| desk.send(Message::Tool(each))
                >
                    <Icon sign=sign(each) />
                    <span>{each.name()}</span>
                </button>
            }
        })
        .collect_view();
    let undo = move || steps.get().and_then(|(undo, _)| undo);
    let redo = move || steps.get().and_then(|(_, redo)| redo);
    let named = |verb: &str, what: Option<&str>| {
        what.map_or_else(|| verb.to_owned(), |what| format!("{verb}: {what}"))
    };
    let view = move |change: ViewChange| move |_| desk.send(Message::View(change));
    view! {
        <div class="mask-tools" role="toolbar" aria-label="Tools" aria-orientation="vertical">
            {tools}
            <span class="tool-gap" aria-hidden="true"></span>
            <button
                class="tool"
                aria-label=move || named("Undo", undo())
                title=move || format!("{} (Ctrl+Z)", named("Undo", undo()))
                disabled=move || undo().is_none()
                on:click=move |_| desk.send(Message::Undo)
            >
                <Icon sign=Sign::Undo />
                <span>"Undo"</span>
            </button>
            <button
                class="tool"
                aria-label=move || named("Redo", redo())
                title=move || format!("{} (Ctrl+Shift+Z)", named("Redo", redo()))
                disabled=move || redo().is_none()
                on:click=move |_| desk.send(Message::Redo)
            >
                <Icon sign=Sign::Redo />
                <span>"Redo"</span>
            </button>
            <div class="mask-zoom" role="group" aria-label="Zoom">
                <button class="tool" aria-label="Zoom out" title="Zoom out (−)" on:click=view(ViewChange::ZoomMiddle(0.8))>
                    <Icon sign=Sign::Minus />
                </button>
                <button class="tool number" title="Show the whole photo (0)" on:click=view(ViewChange::Fit)>
                    <span class="visually-hidden">"Show the whole photo. Zoom: "</span>
                    {move || format!("{} %", zoom.get())}
                </button>
                <button class="tool" aria-label="Zoom in" title="Zoom in (+)" on:click=view(ViewChange::ZoomMiddle(1.25))>
                    <Icon sign=Sign::Plus />
                </button>
            </div>
        </div>
    }
}
