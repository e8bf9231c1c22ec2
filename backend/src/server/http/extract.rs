//! What handlers take out of requests, with this API's errors.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::listener::PATIENCE;
use super::problem::ApiError;
use crate::server::store::Range;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);
/// The parameters of the path.
pub(super) struct Params<T>(pub(super) T);
/// The parameters behind the `?`.
pub(super) struct Search<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        // Whoever sends a head and nothing else shall not hold a connection for good.
        let read = tokio::time::timeout(PATIENCE, Json::from_request(request, state)).await;
        let read = read.map_err(|_| ApiError::invalid("the request has stopped; send it again"))?;
        let Json(value) = read.map_err(|rejection: JsonRejection| {
            ApiError::rejection(rejection.status(), rejection.body_text())
        })?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // An id that is none names nothing.
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection: PathRejection| ApiError::missing(rejection.body_text()))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Search<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection: QueryRejection| ApiError::invalid(rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// The description of `If-Match`, which [`if_match`] reads.
#[derive(utoipa::IntoParams)]
#[into_params(names("If-Match"), parameter_in = Header)]
#[expect(dead_code, reason = "it is there for the description")]
pub(super) struct IfMatch(
    /// The `ETag` of what was read: of two writers the second is told so.
    Option<String>,
);

/// The description of `If-None-Match` where something is written.
#[derive(utoipa::IntoParams)]
#[into_params(names("If-None-Match"), parameter_in = Header)]
#[expect(dead_code, reason = "it is there for the description")]
pub(super) struct IfNoneMatch(
    /// `*` where nothing was there.
    Option<String>,
);

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// `next` of the part before.
    after: Option<Uuid>,
    /// The most items, 1 to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl ListQuery {
    /// The part; 100 items where nothing else is said.
    pub(super) fn range(&self) -> Result<Range, ApiError> {
        list_range(self.after, self.limit)
    }
}

/// The part of a list behind `after`, of `limit` items.
pub(super) fn list_range(after: Option<Uuid>, limit: Option<u32>) -> Result<Range, ApiError> {
    let limit = limit.unwrap_or(100);
    if !(1..=500).contains(&limit) {
        return Err(ApiError::invalid(format!("limit is {limit}; ask for 1 to 500 items")));
    }
    Ok(Range { after: after.unwrap_or_default(), limit })
}

/// The `ETag` of a version or of a file's name.
pub(super) fn etag(value: impl std::fmt::Display) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{value}\"")).ok()
}

/// The value of `If-Match` without quotes; none where the request changes whatever there is.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // A proxy that compresses an answer makes its ETag a weak one; it names the same version.
    let text = text.strip_prefix("W/").unwrap_or(text);
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match inner.filter(|inner| !inner.is_empty() && !inner.contains('"')) {
        Some(inner) => Ok(Some(inner.to_owned())),
        None => Err(ApiError::invalid("If-Match needs one ETag in quotes, as the server gave it")),
    }
}

/// The version of `If-Match`.
pub(super) fn version(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(text) = if_match(headers)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| ApiError::stale("If-Match is not an ETag of this; read it again"))
}

/// A name without white space around it, of 1 to 200 characters, none of them a control character.
pub(crate) fn name(text: &str) -> Result<String, ApiError> {
    line("name", text, 1, 200)
}

/// The longest caption, in characters. Text encoders read far fewer.
pub(crate) const LONGEST_CAPTION: usize = 1000;

/// A text on one line, as captions are: line breaks and other control characters become spaces.
pub(crate) fn one_line(text: &str) -> String {
    let parts = text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// A line of text without white space around it.
pub(crate) fn line(field: &str, text: &str, least: usize, most: usize) -> Result<String, ApiError> {
    let text = text.trim();
    let length = text.chars().count();
    if !(least..=most).contains(&length) {
        return Err(ApiError::refused(format!(
            "`{field}` has {length} characters; write {least} to {most} on one line"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(ApiError::refused(format!(
            "`{field}` has a line break or another control character; write it on one line"
        )));
    }
    Ok(text.to_owned())
}
