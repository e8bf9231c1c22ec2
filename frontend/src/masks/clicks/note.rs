//! Whether Segment Anything is asked, and where it runs.

use leptos::prelude::*;

use super::super::desk::Desk;
use super::Stage;

/// The choice, and a line that says what is going on.
#[component]
pub(in crate::masks) fn ClickNote(desk: Desk) -> impl IntoView {
    let clicks = desk.clicks;
    let words = move || match clicks.stage.get() {
        Stage::Off => String::new(),
        Stage::Asking => "Asking the server for its segmenter…".to_owned(),
        Stage::Missing => "This server has no segmenter; colours decide.".to_owned(),
        Stage::Unanswered(why) => {
            format!(
                "Whether this server has a segmenter is not known: {why}. Tick the box again to ask again."
            )
        }
        Stage::Loading { received, total } if received < total => {
            format!("Loading its decoder: {:.1} of {:.1} MB", received as f64 / 1e6, total as f64 / 1e6)
        }
        Stage::Starting | Stage::Loading { .. } => "Preparing its decoder…".to_owned(),
        Stage::Seeing => "The server looks at the photo, once…".to_owned(),
        Stage::Lost => "The GPU was lost; it is set up again…".to_owned(),
        Stage::Elsewhere(reason) => format!("It runs on the server, without a mask at the pointer: {reason}"),
        Stage::Ready { device, gpu, emulated } => {
            let place = match (gpu, emulated) {
                (true, false) => format!("on your GPU ({device})"),
                (true, true) => format!("on a GPU emulated by your processor ({device})"),
                (false, _) => {
                    let why = clicks.why_no_gpu.get().unwrap_or_default();
                    format!("on your processor, which is slower than a GPU: {why}")
                }
            };
            match clicks.took.get() {
                Some(took) => format!("{took:.0} ms a mask, {place}"),
                None => format!("Point at the subject: the mask follows. It is made {place}."),
            }
        }
    };
    view! {
        <label class="check">
            <input
                type="checkbox"
                prop:checked=move || desk.by_segmenter.get() == Some(true)
                on:change=move |event| desk.ask_segmenter(event_target_checked(&event))
            />
            "Segment Anything first"
        </label>
        <p class="help click-note" role="status">{words}</p>
    }
}
