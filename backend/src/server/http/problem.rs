//! The one error of the API: a status, a stable code, and what to do.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::Problem;

use crate::server::media::MediaError;
use crate::server::store::StoreError;

/// An error's answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// What programs read of it, where HTTP says how.
    header: Option<(HeaderName, HeaderValue)>,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident: $status:ident, $code:literal;)*) => {
        impl ApiError {
            $($(#[$meta])* pub(crate) fn $name(detail: impl Into<String>) -> Self {
                Self { status: StatusCode::$status, code: $code, detail: detail.into(), header: None }
            })*
        }
    };
}

kinds! {
    /// The request does not say what the route needs.
    invalid: BAD_REQUEST, "invalid";
    /// A value is not allowed.
    refused: UNPROCESSABLE_ENTITY, "refused";
    /// A file is not what it should be.
    bad_file: UNPROCESSABLE_ENTITY, "bad_file";
    /// Nobody is signed in.
    sign_in: UNAUTHORIZED, "sign_in";
    /// The password or the link's secret is not right.
    wrong_secret: UNAUTHORIZED, "wrong_secret";
    /// The level of access is too low.
    no_access: FORBIDDEN, "no_access";
    /// Another site's page asks.
    cross_site: FORBIDDEN, "cross_site";
    /// There is no such thing.
    missing: NOT_FOUND, "missing";
    /// The route has other methods.
    method: METHOD_NOT_ALLOWED, "method";
    /// It cannot be so.
    conflict: CONFLICT, "conflict";
    /// Somebody else was quicker.
    stale: PRECONDITION_FAILED, "stale";
    /// The request does not say which version it changes.
    unconditional: PRECONDITION_REQUIRED, "precondition_required";
    /// Too many bytes.
    too_large: PAYLOAD_TOO_LARGE, "too_large";
    /// A range that the file does not have.
    range: RANGE_NOT_SATISFIABLE, "range";
    /// A body of another kind.
    media_type: UNSUPPORTED_MEDIA_TYPE, "media_type";
    /// Too many requests.
    too_often: TOO_MANY_REQUESTS, "too_often";
    /// The disk has no room.
    disk_full: INSUFFICIENT_STORAGE, "disk_full";
    /// A fault of the server. The detail goes to the log, not to the client.
    internal: INTERNAL_SERVER_ERROR, "internal";
}

/// How one signs in, for programs. No browser knows this scheme, so none asks for a password by itself.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Cookie realm=\"MuDI Studio\", cookie-name=\"mudi_session\"");

impl ApiError {
    /// The error with a header for programs.
    pub(crate) fn with(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    /// Changes the status of a rejection of axum to the error that this API has for it.
    pub(crate) fn rejection(status: StatusCode, text: String) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::too_large("the request's text has more than 1 MiB; send less at once")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::media_type(text),
            StatusCode::UNPROCESSABLE_ENTITY => Self::refused(text),
            _ => Self::invalid(text),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Missing(_) => Self::missing(detail),
            StoreError::Stale(_) => Self::stale(detail),
            StoreError::Conflict(_) => Self::conflict(detail),
            StoreError::Full => Self::disk_full(detail),
            error if crate::server::store::is_full(&error) => Self::disk_full(StoreError::Full.to_string()),
            _ => Self::internal(detail),
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Encode(_) => Self::internal(error.to_string()),
            _ => Self::bad_file(error.to_string()),
        }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        if crate::server::store::is_full(&error) {
            Self::disk_full(StoreError::Full.to_string())
        } else {
            Self::internal(error.to_string())
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(detail = self.detail, "a request failed");
            "the server has failed; its log says why".to_owned()
        } else {
            self.detail
        };
        let problem = Problem {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            code: self.code.to_owned(),
            detail,
        };
        // Numbers and texts always serialize.
        let mut response = (self.status, serde_json::to_vec(&problem).unwrap_or_default()).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        headers.extend(self.header);
        response
    }
}
