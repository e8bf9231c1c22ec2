//! Sending one file, with word of how much is sent.

use std::cell::RefCell;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, ProgressEvent, XmlHttpRequest};

use super::{Answer, ApiError};

/// A request that can be given up.
#[derive(Clone, Default)]
pub(crate) struct Sent(Rc<RefCell<Option<XmlHttpRequest>>>);

impl Sent {
    /// Sends no more of it.
    pub(crate) fn abort(&self) {
        // Outside of the borrow: the browser tells of the end at once.
        let request = self.0.borrow_mut().take();
        if let Some(request) = request {
            // One that has ended already stays as it is.
            let _ = request.abort();
        }
    }
}

/// Sends `file` to `path`, and tells `progress` which share of it is sent. (`fetch` does not tell.) What comes back has its status.
/// `sent` gives it up.
pub(crate) async fn upload<T: DeserializeOwned>(
    path: &str,
    file: &File,
    sent: &Sent,
    progress: impl Fn(f64) + 'static,
) -> Answer<(u16, T)> {
    let broken = |_: JsValue| ApiError::Offline;
    let request = XmlHttpRequest::new().map_err(broken)?;
    *sent.0.borrow_mut() = Some(request.clone());
    request.open("POST", path).map_err(broken)?;
    request.set_request_header("Content-Type", "application/octet-stream").map_err(broken)?;
    let moved = Closure::<dyn Fn(ProgressEvent)>::new(move |event: ProgressEvent| {
        progress(event.loaded() / event.total().max(1.0));
    });
    request.upload().map_err(broken)?.set_onprogress(Some(moved.as_ref().unchecked_ref()));
    // Held until the request has ended, one way or the other.
    let ended = Rc::new(RefCell::new(None));
    let (held, asked) = (Rc::clone(&ended), request.clone());
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let end = Closure::<dyn Fn()>::new(move || {
            // A function that resolves a promise does not fail.
            let _ = resolve.call0(&JsValue::NULL);
        });
        asked.set_onloadend(Some(end.as_ref().unchecked_ref()));
        *held.borrow_mut() = Some(end);
    });
    request.send_with_opt_blob(Some(file)).map_err(broken)?;
    JsFuture::from(promise).await.map_err(broken)?;
    request.set_onloadend(None);
    let status = request.status().unwrap_or(0);
    let text = request.response_text().ok().flatten().unwrap_or_default();
    match status {
        0 => Err(ApiError::Offline),
        200..300 => serde_json::from_str(&text)
            .map(|value| (status, value))
            .map_err(|error| ApiError::Unreadable(error.to_string())),
        _ => Err(ApiError::of(status, &text)),
    }
}
