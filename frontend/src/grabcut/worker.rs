//! What runs in the worker.

use image::{GrayImage, RgbImage};
use js_sys::{Array, Uint8Array};
use mudi_domain::grabcut::cut_out;
use mudi_domain::mask::Mask;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use super::Question;

/// Starts the worker that cuts out a subject by its colours.
pub fn start_grabcut() {
    console_error_panic_hook::set_once();
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let answering = scope.clone();
    let asked = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let found = answer(&event.data(), |round| tell(&answering, &JsValue::from(round)));
        let Some(mask) = found else { return tell(&answering, &JsValue::NULL) };
        let bytes = Uint8Array::from(mask.as_raw().as_slice());
        // Handed over instead of copied once more; the page meets a mask of any other kind with a fault.
        let _ = answering.post_message_with_transfer(&bytes, &Array::of1(&bytes.buffer()));
    });
    scope.set_onmessage(Some(asked.into_js_value().unchecked_ref()));
    tell(&scope, &JsValue::TRUE);
}

fn tell(scope: &DedicatedWorkerGlobalScope, what: &JsValue) {
    // Numbers and the like can always be sent.
    let _ = scope.post_message(what);
}

/// The mask that is asked for; none where nothing was found, or the question is not one.
fn answer(message: &JsValue, told: impl FnMut(u32)) -> Option<GrayImage> {
    let parts: &Array = message.dyn_ref()?;
    let question: Question = serde_json::from_str(&parts.get(0).as_string()?).ok()?;
    let pixels: Uint8Array = parts.get(1).dyn_into().ok()?;
    let photo = RgbImage::from_raw(question.sent[0], question.sent[1], pixels.to_vec())?;
    let mask = cut_out(&photo, &question.hints, told);
    (!mask.is_empty()).then(|| enlarged(&mask, question.wanted))
}

/// The mask at the photo's size, with an edge about as wide as a pixel of the small one is.
fn enlarged(mask: &Mask, [width, height]: [u32; 2]) -> GrayImage {
    let gain = (width as f32 / mask.width().max(1) as f32 / 2.0).max(1.0);
    let mut enlarged = mask.resize(width, height).into_gray();
    for coverage in enlarged.iter_mut() {
        *coverage = ((f32::from(*coverage) - 127.5) * gain + 127.5).clamp(0.0, 255.0) as u8;
    }
    enlarged
}
