//! The photo's colours, and the automatic mask.
//!
//! The mask is that of the server's segmenter, or GrabCut's, which looks at the colours in a worker and needs no server; the answer
//! is the same message.

use gloo_timers::future::TimeoutFuture;
use image::GrayImage;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{MaskPoint, MaskPrompt};
use mudi_domain::grabcut::Hints;
use mudi_editor::mask::Message;

use super::desk::Desk;
use super::files::decode_mask;
use crate::api;
use crate::grabcut::{Progress, Question, Search};

/// The longer side, in pixels, at which the subject is sought: GrabCut takes no more.
const SOUGHT: u32 = 800;
/// Why there is no mask.
const NOTHING: &str = "Nothing was found there. Mark the subject, or paint it by hand.";
const UNREADABLE: &str = "The browser does not let the photo's colours be read; paint the mask by hand.";
const NO_WORKER: &str =
    "What looks for the subject could not be started. Load the page again, or paint the mask by hand.";

/// Reads the photo's colours for the magic wand.
pub(super) fn colours(desk: Desk) {
    desk.said.set("Reading the photo's colours…".to_owned());
    spawn_local(async move {
        // A frame, so that the words are seen before the work begins.
        TimeoutFuture::new(30).await;
        match desk.with(|stage| stage.painter.photo().colours(0)) {
            Some(Ok(colours)) => desk.send(Message::Colours(colours)),
            Some(Err(_)) => desk.said.set("The browser does not let the photo's colours be read.".to_owned()),
            None => {}
        }
    });
}

/// Finds the subject that the hints mean: by Segment Anything, where that is wanted, knows what was pointed at and answers, in
/// the page or on the server; else by the photo's colours.
pub(super) fn find(desk: Desk, number: u64, hints: Hints) {
    stop(desk);
    desk.said.set("Looking for the subject…".to_owned());
    let wanted = desk.by_segmenter.try_get_untracked().flatten();
    match prompt(&hints).filter(|_| wanted != Some(false)) {
        Some(prompt) if desk.clicks.click(number, &hints, &prompt) => {}
        _ => find_elsewhere(desk, number, hints, wanted == Some(true)),
    }
}

/// The same, without the page's segmenter; `by_segmenter` says whether the server's is asked.
pub(super) fn find_elsewhere(desk: Desk, number: u64, hints: Hints, by_segmenter: bool) {
    spawn_local(async move {
        let asked = prompt(&hints).filter(|_| by_segmenter);
        let answer = match asked {
            Some(prompt) => by_server(desk, &prompt).await,
            None => None,
        };
        match answer {
            Some(found) => desk.send(Message::Found(number, Ok(found))),
            None => by_colours(desk, number, &hints),
        }
    });
}

/// What a segmenter can be asked: places and a box, but no lines.
pub(super) fn prompt(hints: &Hints) -> Option<MaskPrompt> {
    let places = hints.strokes.iter().map(|stroke| match stroke.places[..] {
        [[x, y]] => Some(MaskPoint { x, y, on_subject: stroke.on_subject }),
        _ => None,
    });
    Some(MaskPrompt { points: places.collect::<Option<_>>()?, bounds: hints.bounds })
}

/// None where the server has no segmenter, or sees no subject there.
async fn by_server(desk: Desk, prompt: &MaskPrompt) -> Option<GrayImage> {
    let file = api::post_for_image(&desk.segment.try_get_value()?, prompt).await.ok()?;
    let mask = decode_mask(&file).await.ok()?;
    let size = desk.look(|editor| editor.mask().dimensions())?;
    (mask.dimensions() == size).then_some(mask)
}

/// Begins to look for the subject by the photo's colours, in a worker.
fn by_colours(desk: Desk, number: u64, hints: &Hints) {
    // What is not wanted any more, as when the page is gone, is not begun.
    if desk.look(|editor| editor.prompt().awaits(number)) != Some(true) {
        return;
    }
    let begun = desk.with(|stage| {
        let (width, height) = stage.editor.mask().dimensions();
        let longest = width.max(height);
        let level = (0..16).find(|level| longest >> level <= SOUGHT).unwrap_or_default();
        let small = stage.painter.photo().colours(level).map_err(|_| UNREADABLE)?;
        let scale = small.width() as f32 / width as f32;
        let question = Question {
            sent: [small.width(), small.height()],
            hints: hints.scaled(scale),
            wanted: [width, height],
        };
        Search::begin(&small, question, move |progress| heard(desk, number, progress)).map_err(|_| NO_WORKER)
    });
    match begun {
        Some(Ok(search)) => desk.search.set_value(Some(search)),
        Some(Err(fault)) => desk.send(Message::Found(number, Err(fault.to_owned()))),
        None => {}
    }
}

fn heard(desk: Desk, number: u64, progress: Progress) {
    let found = match progress {
        Progress::Round(round) => {
            desk.rounds.try_set(round);
            return;
        }
        Progress::Found(Some(mask)) => Ok(mask),
        Progress::Found(None) => Err(NOTHING),
        Progress::Failed => Err(NO_WORKER),
    };
    desk.send(Message::Found(number, found.map_err(str::to_owned)));
}

/// Ends the search that goes on.
pub(super) fn stop(desk: Desk) {
    let Some(search) = desk.search.try_update_value(Option::take).flatten() else { return };
    desk.rounds.try_set(0);
    // It may be the one that has just called: it is dropped when it has returned.
    spawn_local(async move { drop(search) });
}
