//! Sending one file, with word of how much is sent.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, ProgressEvent, XmlHttpRequest};

use super::{Answer, ApiError, decoded};
use crate::browser;
use crate::text;

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

/// Sends `file` to `path`, and tells `progress` which share of it is sent, and that in words. (`fetch` does not tell.) What comes back has
/// its status. `sent` gives it up.
pub(crate) async fn upload<T: DeserializeOwned>(
    path: &str,
    file: &File,
    sent: &Sent,
    progress: impl Fn(f64, String) + 'static,
) -> Answer<(u16, T)> {
    let (status, text) = upload_text(path, file, sent, Box::new(progress)).await?;
    Ok((status, decoded(&text)?))
}

/// The same; what comes back is the text of the answer. Boxed: every type that is read would bring a copy of all this otherwise.
pub(crate) fn upload_text<'a>(
    path: &'a str,
    file: &'a File,
    sent: &'a Sent,
    progress: Box<dyn Fn(f64, String)>,
) -> LocalBoxFuture<'a, Answer<(u16, String)>> {
    Box::pin(async move {
        let broken = |_: JsValue| ApiError::Offline;
        let request = XmlHttpRequest::new().map_err(broken)?;
        *sent.0.borrow_mut() = Some(request.clone());
        request.open("POST", path).map_err(broken)?;
        request.set_request_header("Content-Type", "application/octet-stream").map_err(broken)?;
        let begun = browser::ticks();
        let moved = Closure::<dyn Fn(ProgressEvent)>::new(move |event: ProgressEvent| {
            let share = event.loaded() / event.total().max(1.0);
            progress(share, text::sent(share, (browser::ticks() - begun) / 1000.0));
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
            200..300 => Ok((status, text)),
            _ => Err(ApiError::of(status, &text)),
        }
    })
}
