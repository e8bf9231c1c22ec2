//! The photo's colours, and the automatic mask.
//!
//! The mask is that of the server's segmenter, or GrabCut's, which looks at the colours and needs no server; the answer is the
//! same message.

use gloo_timers::future::TimeoutFuture;
use image::GrayImage;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{MaskPoint, MaskPrompt};
use mudi_domain::grabcut::{Hints, cut_out};
use mudi_domain::mask::Mask;
use mudi_editor::mask::Message;

use super::desk::Desk;
use super::files::decode_mask;
use crate::api;

/// The longer side, in pixels, at which the subject is sought: GrabCut takes no more.
const SOUGHT: u32 = 800;

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
        let found = match answer {
            Some(found) => Some(Ok(found)),
            None => by_colours(desk, &hints).await,
        };
        if let Some(found) = found {
            desk.send(Message::Found(number, found));
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

/// None where the page is gone.
async fn by_colours(desk: Desk, hints: &Hints) -> Option<Result<GrayImage, String>> {
    // A frame, so that the words are seen before the work begins.
    TimeoutFuture::new(30).await;
    desk.with(|stage| {
        let (width, height) = stage.editor.mask().dimensions();
        let longest = width.max(height);
        let level = (0..16).find(|level| longest >> level <= SOUGHT).unwrap_or_default();
        let small = stage.painter.photo().colours(level).map_err(|_| {
            "The browser does not let the photo's colours be read; paint the mask by hand.".to_owned()
        })?;
        let scale = small.width() as f32 / width as f32;
        let mask = cut_out(&small, &hints.scaled(scale));
        if mask.is_empty() {
            return Err("Nothing was found there. Mark the subject, or paint it by hand.".to_owned());
        }
        Ok(enlarged(&mask, width, height))
    })
}

/// The mask at the photo's size, with an edge about as wide as a pixel of the small one is.
fn enlarged(mask: &Mask, width: u32, height: u32) -> GrayImage {
    let gain = (width as f32 / mask.width().max(1) as f32 / 2.0).max(1.0);
    let mut enlarged = mask.resize(width, height).into_gray();
    for coverage in enlarged.iter_mut() {
        *coverage = ((f32::from(*coverage) - 127.5) * gain + 127.5).clamp(0.0, 255.0) as u8;
    }
    enlarged
}
