//! Kept files as answers: whole or in part, or not at all where the browser has them.

use std::ops::Range;
use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use super::App;
use super::extract::etag;
use super::problem::ApiError;
use crate::server::store::StoreError;

/// Answers with a file of `project`. Its name is its `ETag`; browsers keep it, but ask each time whether they still may.
pub(super) async fn file(
    server: &App,
    project: Uuid,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let tag = etag(name).ok_or_else(|| ApiError::internal("a file's name is not one"))?;
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let size = server.store.blobs().size(project, name).await?;
        let range = range(headers, &tag, size)?;
        let found = server.store.blobs().get(project, name, range.clone()).await?;
        let mut response = Body::from_stream(found.into_stream()).into_response();
        let length = range.as_ref().map_or(size, |range| range.end - range.start);
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        if let Some(range) = range {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, value(&text)?);
        }
        response.headers_mut().insert(header::CONTENT_TYPE, content_type(name));
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, ASKING);
    Ok(response)
}

/// How long a browser keeps what is named by its content.
pub(super) const FOREVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// A browser keeps it, but asks each time whether it still may.
pub(super) const ASKING: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Answers with bytes of which `name` says all, and which are not `made` where the browser has them.
pub(super) async fn unchanging(
    name: &str,
    headers: &HeaderMap,
    keep: HeaderValue,
    made: impl AsyncFnOnce() -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let tag = etag(name).ok_or_else(|| ApiError::internal("a digest is no tag"))?;
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = made().await?;
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, keep);
    Ok(response)
}

/// A file outside of the store, as a body that is read while it is sent, and its size.
pub(super) async fn streamed(path: &Path) -> Result<(Body, u64), ApiError> {
    let file = match tokio::fs::File::open(path).await {
        // It was deleted a moment ago.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Missing("file").into());
        }
        opened => opened?,
    };
    let size = file.metadata().await?.len();
    let stream = futures_util::stream::try_unfold(file, async |mut file| {
        let mut chunk = vec![0; 64 << 10];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((chunk, file)))
    });
    Ok((Body::from_stream(stream), size))
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(|error| ApiError::internal(error.to_string()))
}

fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    })
}

/// Whether the browser has the file with this tag.
pub(super) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let same =
        |known: &str| known.trim().strip_prefix("W/").unwrap_or(known.trim()).as_bytes() == tag.as_bytes();
    known.trim() == "*" || known.split(',').any(same)
}

/// A part can be asked for with GET alone (RFC 9110, section 14.2): HEAD is answered as for the whole.
pub(super) async fn parts_by_get(mut request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        request.headers_mut().remove(header::RANGE);
    }
    next.run(request).await
}

/// The part that is asked for: one range of bytes (RFC 9110, section 14). Several ranges, and units other than bytes, are
/// answered with the whole file, as the standard allows.
fn range(headers: &HeaderMap, tag: &HeaderValue, size: u64) -> Result<Option<Range<u64>>, ApiError> {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    // A part of another version than the one that the client has is of no use.
    if headers.get(header::IF_RANGE).is_some_and(|known| known != tag) {
        return Ok(None);
    }
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Ok(None),
    };
    if range.start >= range.end {
        let error = ApiError::range(format!("the file has {size} bytes"));
        return Err(error.with(header::CONTENT_RANGE, value(&format!("bytes */{size}"))?));
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Option<Range<u64>>, ApiError> {
        let headers = HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]);
        range(&headers, &HeaderValue::from_static("\"a\""), 10)
    }

    #[test]
    fn ranges_are_cut_at_the_end_of_the_file() {
        for (text, expected) in [
            ("bytes=0-3", Some(0..4)),
            ("bytes=4-", Some(4..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-30", Some(0..10)),
            ("bytes=8-99", Some(8..10)),
            ("bytes=0-0", Some(0..1)),
            ("bytes=0-1,4-5", None),
            ("bytes=5-2", None),
            ("bytes=a-b", None),
            ("lines=0-3", None),
        ] {
            assert_eq!(asked(text).unwrap(), expected, "{text}");
        }
        assert!(asked("bytes=10-").is_err() && asked("bytes=-0").is_err());
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let tag = HeaderValue::from_static("\"a\"");
        let known = |text: &str| {
            is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, text.parse().unwrap())]), &tag)
        };
        assert!(known("\"a\"") && known("\"b\", W/\"a\"") && known("*"));
        assert!(!known("\"b\"") && !known("a"));
    }
}
