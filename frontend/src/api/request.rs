//! Sending and receiving JSON.

use futures_util::future::LocalBoxFuture;
use gloo_net::http::{Method, Request, RequestBuilder, Response};
use mudi_domain::api::Page;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::RequestInit;

use super::{Answer, ApiError, Connection};
use crate::browser;
use crate::saves::Sending;

/// Browsers let requests outlive the page whose bodies have at most 64 KiB together.
const MOST_LASTING: usize = 32 << 10;

/// Reads `path`.
pub(crate) async fn get<T: DeserializeOwned>(path: &str) -> Answer<T> {
    decoded(&exchanged(Method::GET, path, None, None).await?)
}

/// Reads all parts of the list at `path`.
pub(crate) async fn list<T: DeserializeOwned>(path: &str) -> Answer<Vec<T>> {
    let mut items = Vec::new();
    let mut take = |text: &str| {
        let part: Page<T> = decoded(text)?;
        items.extend(part.items);
        Ok(part.next)
    };
    every_part(path, &mut take).await?;
    Ok(items)
}

/// Lets `take` have the text of each part of a list; it says where the next one begins.
fn every_part<'a>(
    path: &'a str,
    take: &'a mut dyn FnMut(&str) -> Answer<Option<String>>,
) -> LocalBoxFuture<'a, Answer<()>> {
    Box::pin(async move {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut after = String::new();
        loop {
            let path = format!("{path}{joint}limit=500{after}");
            match take(&exchanged(Method::GET, &path, None, None).await?)? {
                Some(id) => after = format!("&after={id}"),
                None => return Ok(()),
            }
        }
    })
}

/// Posts `body`.
pub(crate) async fn post<T: DeserializeOwned>(path: &str, body: &impl Serialize) -> Answer<T> {
    decoded(&exchanged(Method::POST, path, None, Some(encoded(body)?)).await?)
}

/// Posts `body` to where nothing comes back.
pub(crate) async fn post_empty(path: &str, body: &impl Serialize) -> Answer<()> {
    exchanged(Method::POST, path, None, Some(encoded(body)?)).await.map(drop)
}

/// Puts `body` where nothing comes back.
pub(crate) async fn put_empty(path: &str, body: &impl Serialize) -> Answer<()> {
    exchanged(Method::PUT, path, None, Some(encoded(body)?)).await.map(drop)
}

/// Puts `body` in the place of what has the version `version`, by a request that outlives the page.
pub(crate) async fn put<T: DeserializeOwned>(path: &str, version: i64, body: &impl Serialize) -> Answer<T> {
    decoded(&exchanged(Method::PUT, path, Some(version.to_string()), Some(encoded(body)?)).await?)
}

/// Changes what has the version `version`, by a request that outlives the page.
pub(crate) async fn patch<T: DeserializeOwned>(path: &str, version: i64, body: &impl Serialize) -> Answer<T> {
    decoded(&exchanged(Method::PATCH, path, Some(version.to_string()), Some(encoded(body)?)).await?)
}

/// Deletes `path`.
pub(crate) async fn delete(path: &str) -> Answer<()> {
    delete_version(path, None).await
}

/// The same; of what has a tag only the version `tag`, where one is given.
pub(crate) async fn delete_version(path: &str, tag: Option<&str>) -> Answer<()> {
    exchanged(Method::DELETE, path, tag.map(str::to_owned), None).await.map(drop)
}

/// Reads the bytes at `path`.
pub(crate) async fn bytes(path: &str) -> Answer<Vec<u8>> {
    let response = send(Method::GET, path, None, None).await?;
    response.binary().await.map_err(|_| ApiError::Offline)
}

fn encoded(body: &impl Serialize) -> Answer<String> {
    serde_json::to_string(body).map_err(|error| ApiError::Unreadable(error.to_string()))
}

/// Reads the text of an answer.
pub(crate) fn decoded<T: DeserializeOwned>(text: &str) -> Answer<T> {
    serde_json::from_str(text).map_err(|error| ApiError::Unreadable(error.to_string()))
}

/// Sends a request, and the text of the answer. Boxed: every type that is sent or read would bring a copy of all this otherwise.
fn exchanged(
    method: Method,
    path: &str,
    version: Option<String>,
    body: Option<String>,
) -> LocalBoxFuture<'_, Answer<String>> {
    Box::pin(async move {
        let response = send(method, path, version, body).await?;
        response.text().await.map_err(|_| ApiError::Offline)
    })
}

/// Sends a request; an answer that is none of success is an error. What happens is told to the [`Connection`].
async fn send(method: Method, path: &str, version: Option<String>, body: Option<String>) -> Answer<Response> {
    let method_lasts = method != Method::POST;
    // Whatever changes something is waited for.
    let _sending = (method != Method::GET).then(|| Sending::to(path));
    let mut request = RequestBuilder::new(path).method(method);
    if let Some(version) = version {
        request = request.header("If-Match", &format!("\"{version}\""));
    }
    let sent = match body {
        Some(body) => {
            let lasts = method_lasts && body.len() < MOST_LASTING;
            let request = request.header("Content-Type", "application/json").body(JsValue::from(body));
            let request = request.map_err(|error| ApiError::Unreadable(error.to_string()))?;
            if lasts { lasting(request).await } else { request.send().await }
        }
        None => request.send().await,
    };
    checked(sent).await
}

/// Of a request that outlives the page.
pub(crate) fn outliving() -> RequestInit {
    let options = RequestInit::new();
    // Setting a field of a fresh object cannot fail; web-sys has no name for this one.
    let _ = js_sys::Reflect::set(&options, &"keepalive".into(), &JsValue::TRUE);
    options
}

/// Sends a request that the browser brings to its end where the page is closed.
async fn lasting(request: Request) -> Result<Response, gloo_net::Error> {
    let failed = |error: JsValue| gloo_net::Error::GlooError(format!("{error:?}"));
    let sent = browser::window().fetch_with_request_and_init(&request.into(), &outliving());
    let response = JsFuture::from(sent).await.map_err(failed)?;
    Ok(Response::from(response.unchecked_into::<web_sys::Response>()))
}

/// The answer, unless it is none of success.
pub(super) async fn checked(sent: Result<Response, gloo_net::Error>) -> Answer<Response> {
    let Ok(response) = sent else {
        Connection::lost();
        return Err(ApiError::Offline);
    };
    if response.ok() {
        Connection::found();
        return Ok(response);
    }
    let error = ApiError::of(response.status(), &response.text().await.unwrap_or_default());
    match error {
        ApiError::Offline => Connection::lost(),
        _ => Connection::found(),
    }
    if response.status() == 401 {
        Connection::signed_out();
    }
    Err(error)
}
