//! Sending and receiving images.

use gloo_net::http::{Method, RequestBuilder, Response};
use serde::Serialize;
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
    // A proxy that compresses an answer makes its ETag a weak one.
    Some(response.headers().get("ETag")?.trim_start_matches("W/").trim_matches('"').to_owned())
}

/// Reads an image, as the browser keeps it.
pub(crate) async fn read_image(path: &str) -> Answer<Tagged<Blob>> {
    let response = checked(RequestBuilder::new(path).send().await).await?;
    let tag = tag(&response);
    Ok(Tagged { value: blob(response).await?, tag })
}

/// Posts `body` to where an image comes back.
pub(crate) async fn post_for_image(path: &str, body: &impl Serialize) -> Answer<Blob> {
    let unreadable = |error: gloo_net::Error| ApiError::Unreadable(error.to_string());
    let request = RequestBuilder::new(path).method(Method::POST).json(body).map_err(unreadable)?;
    blob(checked(request.send().await).await?).await
}

async fn blob(response: Response) -> Answer<Blob> {
    let blob = web_sys::Response::from(response).blob().map_err(|_| ApiError::Offline)?;
    let blob = JsFuture::from(blob).await.map_err(|_| ApiError::Offline)?;
    blob.dyn_into().map_err(|_| ApiError::Unreadable("no data".to_owned()))
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
