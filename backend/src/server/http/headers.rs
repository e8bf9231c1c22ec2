//! Headers that tell a browser to be careful.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::page;

/// No other site may frame or read an answer, or learn where somebody came from.
const CAREFUL: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(self), microphone=(), geolocation=()"),
    ("x-frame-options", "DENY"),
];

/// Scripts, styles and everything else come from this server alone. Of scripts within the page, only the one that starts it
/// may run: it is known by its digest.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let start: String = page::inline_scripts().iter().map(|digest| format!(" 'sha256-{digest}'")).collect();
    let policy = format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{start}; img-src 'self' blob: data:; \
         worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    // Digests are plain characters, so the text is a header's.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'self'"))
});

/// Adds the headers to an answer.
pub(super) async fn careful(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in CAREFUL {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
