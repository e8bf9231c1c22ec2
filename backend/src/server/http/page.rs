//! The page: files that were embedded when the program was built, from the folder `page`, which `cargo xtask page` fills.
//!
//! Beside a file may stand the same, compressed, with `.br` or `.gz` behind its name. Names have a digest of the content in
//! them, so browsers keep the files for good; the pages alone are asked for each time. An address that names no file is
//! one of the page's own places, and gets the page.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rust_embed::{Embed, EmbeddedFile};
use sha2::{Digest, Sha256};

use super::extract::etag;
use super::files::is_known;
use super::problem::ApiError;
use crate::digest::hex;

#[derive(Embed)]
#[folder = "page"]
struct Files;

const INDEX: &str = "index.html";
/// The page of the places that are the editors'.
const WORKBENCH: &str = "workbench.html";
/// The page of links, and of the place to play.
const SHARING: &str = "sharing.html";
const PAGES: [&str; 3] = [INDEX, WORKBENCH, SHARING];
/// The scripts that start workers; they name files by their digests, so they are asked for each time.
const WORKERS: [&str; 3] = ["preview-gpu.js", "preview-cpu.js", "grabcut.js"];
/// What a program without its page shows.
const MISSING: &str = "<!doctype html><html lang=\"en\"><title>MuDI Studio</title><h1>MuDI Studio</h1><p>The server runs, but this program \
    was built without its page. Build both with <code>cargo xtask serve</code>, or the page with <code>cargo xtask page</code> and the \
    program after it; the API is described in \
    <a href=\"/api/reference/\">/api/reference/</a>.</p></html>";

/// Answers what no route of the API does.
pub(super) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return Err(ApiError::missing("there is no such route; /api/reference/ shows them"));
    }
    if !method.is_safe() {
        let error = ApiError::method("the page can only be read");
        return Err(error.with(header::ALLOW, HeaderValue::from_static("GET,HEAD")));
    }
    if let Some(file) = Files::get(path).filter(|_| WORKERS.contains(&path)) {
        return answer(path, &file, &headers, "no-cache");
    }
    let is_page = PAGES.contains(&path);
    if let Some(file) = Files::get(path).filter(|_| !is_page && !path.starts_with('.')) {
        return answer(path, &file, &headers, "public, max-age=31536000, immutable");
    }
    if path.rsplit('/').next().is_some_and(|name| name.contains('.')) && !is_page {
        return Err(ApiError::missing("the page has no such file; load it again, it may have changed"));
    }
    let place = place(path);
    match Files::get(place) {
        Some(file) => answer(place, &file, &headers, "no-cache"),
        None => Ok((StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], MISSING)
            .into_response()),
    }
}

/// The page of an address: the editors of masks and layouts are a program of their own, and so are links and the place to play.
fn place(path: &str) -> &'static str {
    let steps: Vec<&str> = path.split('/').collect();
    match steps[..] {
        ["projects", _, "photos", _, "mask"] | ["projects", _, "layouts", _] => WORKBENCH,
        ["projects", _, "share" | "play"] => SHARING,
        _ => INDEX,
    }
}

fn answer(
    path: &str,
    file: &EmbeddedFile,
    headers: &HeaderMap,
    keep: &'static str,
) -> Result<Response, ApiError> {
    let (encoding, packed) = packed(path, headers).unzip();
    let tag = etag(format!("{}{}", hex(&file.metadata.sha256_hash()), encoding.unwrap_or_default()))
        .ok_or_else(|| ApiError::internal("a file's tag is none"))?;
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let bytes = packed.map_or_else(|| file.data.clone(), |packed| packed.data);
        let mut response = Body::from(bytes.into_owned()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, content_type(path));
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// The smallest form of a file that the browser can read, where there is one.
fn packed(path: &str, headers: &HeaderMap) -> Option<(&'static str, EmbeddedFile)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let accepts = |encoding: &str| {
        accepted.split(',').any(|item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            name.trim().eq_ignore_ascii_case(encoding) && weight.is_none_or(|weight| weight > 0.0)
        })
    };
    [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(encoding, _)| accepts(encoding))
        .find_map(|(encoding, extension)| Some((encoding, Files::get(&format!("{path}.{extension}"))?)))
}

fn content_type(path: &str) -> HeaderValue {
    HeaderValue::from_static(match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    })
}

/// The SHA-256, in base 64, of each script that stands in the pages themselves.
pub(super) fn inline_scripts() -> Vec<String> {
    let pages = PAGES.into_iter().filter_map(Files::get);
    pages.flat_map(|file| scripts_in(&String::from_utf8_lossy(&file.data))).collect()
}

fn scripts_in(html: &str) -> Vec<String> {
    let bodies = html.split("<script").skip(1).filter_map(|script| {
        let (attributes, rest) = script.split_once('>')?;
        (!attributes.contains("src=")).then(|| rest.split("</script>").next())?
    });
    bodies.map(|body| STANDARD.encode(Sha256::digest(body.as_bytes()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editors_have_a_page_of_their_own() {
        for path in ["projects/x/photos/y/mask", "projects/x/layouts/y"] {
            assert_eq!(place(path), WORKBENCH);
        }
        for path in ["projects/x/share", "projects/x/play"] {
            assert_eq!(place(path), SHARING);
        }
        for path in ["", "projects/x/layouts", "projects/x/photos", "index.html", "nowhere"] {
            assert_eq!(place(path), INDEX);
        }
    }

    #[test]
    fn scripts_within_the_page_are_known_by_their_digests() {
        let found =
            scripts_in("<head><script type=\"module\">start()</script><script src=\"a.js\"></script></head>");
        // As `printf 'start()' | openssl dgst -sha256 -binary | base64` has it.
        assert_eq!(found, ["DIm7WJS6ZKDYe5qFLPy+h4JFI9Bol5QmYC57mt3Fb00="]);
        assert!(scripts_in("<p>no script</p>").is_empty());
    }
}
