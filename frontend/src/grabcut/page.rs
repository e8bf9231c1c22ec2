//! The page's side: starting the worker, and ending it.

use image::{GrayImage, RgbImage};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::Question;

/// The script that `cargo xtask page` makes to start the worker.
const SCRIPT: &str = "/grabcut.js";

/// What is heard of a search.
#[derive(Debug)]
pub(crate) enum Progress {
    /// So many times the cut was sought.
    Round(u32),
    /// The mask; none where nothing was found.
    Found(Option<GrayImage>),
    /// The worker could not be started, or has failed.
    Failed,
}

/// A search that goes on; it ends, at once, when this is dropped.
pub(crate) struct Search {
    worker: Worker,
    _heard: Closure<dyn FnMut(MessageEvent)>,
    _failed: Closure<dyn Fn(Event)>,
}

impl Search {
    /// Looks for the subject in `photo`, and tells how far it is.
    ///
    /// # Errors
    /// Where the browser has no workers. One that cannot load its program is [`Progress::Failed`].
    pub(crate) fn begin(
        photo: &RgbImage,
        question: Question,
        told: impl Fn(Progress) + Clone + 'static,
    ) -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(SCRIPT, &options)?;
        let text = serde_json::to_string(&question).map_err(|error| JsValue::from(error.to_string()))?;
        let pixels = Uint8Array::from(photo.as_raw().as_slice());
        let mut parts = Some(Array::of2(&text.into(), &pixels));
        let (asked, [width, height], heard) = (worker.clone(), question.wanted, told.clone());
        let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let message = event.data();
            if message.is_truthy() && message.as_bool().is_some() {
                let sent = parts.take().map(|parts| asked.post_message(&parts));
                if sent.is_none_or(|sent| sent.is_err()) {
                    heard(Progress::Failed);
                }
            } else if let Some(round) = message.as_f64() {
                heard(Progress::Round(round as u32));
            } else if message.is_null() {
                heard(Progress::Found(None));
            } else {
                let bytes = message.dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec());
                let mask = bytes.ok().and_then(|bytes| GrayImage::from_raw(width, height, bytes));
                heard(mask.map_or(Progress::Failed, |mask| Progress::Found(Some(mask))));
            }
        });
        let failed = Closure::<dyn Fn(Event)>::new(move |_| told(Progress::Failed));
        worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
        worker.set_onerror(Some(failed.as_ref().unchecked_ref()));
        Ok(Self { worker, _heard: heard, _failed: failed })
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}
