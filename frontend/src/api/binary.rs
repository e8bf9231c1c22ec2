//! Sending and receiving images.

use gloo_net::http::{Method, RequestBuilder, Response};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::request::checked;
use super::{Answer, ApiError};

/// Something with its `ETag`.
pub(crate) struct Tagged<T> {
    /// The thing.
    pub(crate) value: T,
    /// Its `ETag`, without quotes.
    pub(crate) tag: Option<String>,
}

fn tag(response: &Response) -> Option<String> {
    Some(response.headers().get("ETag")?.trim_matches('"').to_owned())
}

/// Reads an image, as the browser keeps it.
pub(crate) async fn read_image(path: &str) -> Answer<Tagged<Blob>> {
    let response = checked(RequestBuilder::new(path).send().await).await?;
    let tag = tag(&response);
    let blob = web_sys::Response::from(response).blob().map_err(|_| ApiError::Offline)?;
    let blob = JsFuture::from(blob).await.map_err(|_| ApiError::Offline)?;
    let value = blob.dyn_into().map_err(|_| ApiError::Unreadable("no data".to_owned()))?;
    Ok(Tagged { value, tag })
}

/// Writes a mask, a PNG, in the place of the one with the `ETag` `base`, or as the first one. Returns its own `ETag`.
pub(crate) async fn write_mask(path: &str, base: Option<&str>, png: &[u8]) -> Answer<String> {
    let request = RequestBuilder::new(path).method(Method::PUT).header("Content-Type", "image/png");
    let request = match base {
        Some(base) => request.header("If-Match", &format!("\"{base}\"")),
        None => request.header("If-None-Match", "*"),
    };
    let body = js_sys::Uint8Array::from(png);
    let request = request.body(body).map_err(|error| ApiError::Unreadable(error.to_string()))?;
    let response = checked(request.send().await).await?;
    tag(&response).ok_or_else(|| ApiError::Unreadable("a mask without an ETag".to_owned()))
}
