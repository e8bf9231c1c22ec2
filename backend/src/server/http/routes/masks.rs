//! Masks.

use std::path::PathBuf;

use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::http::App;
use crate::server::http::extract::{Params, etag, if_match};
use crate::server::http::files::file;
use crate::server::http::problem::ApiError;
use crate::server::http::upload::receive;
use crate::server::media;
use crate::server::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, write, delete))
}

/// A photo's mask: 8 bit gray, white on the subject, of the photo's size.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}/mask", tag = "photos",
    security(("session" = ["viewer"])), responses((status = 200, body = Vec<u8>, content_type = "image/png")))]
async fn read(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.photo_file(project, photo).await?;
    let mask = files.mask.ok_or(StoreError::Missing("mask"))?;
    file(&server, project, &mask, &headers).await
}

/// Draws a photo's mask: a PNG of the photo's size as the body. `If-Match` must name the mask that was read, or
/// `If-None-Match: *` say that there was none: of two writers the second is told so.
#[utoipa::path(put, path = "/api/projects/{project}/photos/{photo}/mask", tag = "photos",
    security(("session" = ["editor"])), request_body(content = Vec<u8>, content_type = "image/png"),
    responses((status = 204, description = "The mask is kept; its ETag is in the header")))]
async fn write(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let before = before(&headers)?;
    let files = server.store.photo_file(project, photo).await?;
    if files.mask != before {
        return Err(StoreError::Stale("mask").into());
    }
    let upload = receive(&server, body, server.settings.upload_limit).await?;
    let (path, size) = (upload.path().to_owned(), (files.width, files.height));
    let permit = server.guard.decoder().await?;
    let mask = tokio::task::spawn_blocking(move || {
        Ok::<_, ApiError>(media::mask(&PathBuf::from("the mask"), &std::fs::read(path)?, size)?)
    })
    .await??;
    drop(permit);
    let keeping = server.store.keeping(project).await?;
    let kept = keeping.put(mask.bytes, mask.extension).await?;
    let written = server.store.mask_photo(project, photo, before.as_deref(), Some(&kept)).await;
    drop(keeping);
    // The mask that was, or, where somebody else was quicker, the one that is not to be.
    let unneeded = if written.is_ok() { before } else { Some(kept.clone()) };
    if let Some(unneeded) = unneeded {
        server.store.release_file(project, &unneeded).await?;
    }
    written?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(etag(&kept).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// Takes a photo's mask away. `If-Match` must name the mask that was read.
#[utoipa::path(delete, path = "/api/projects/{project}/photos/{photo}/mask", tag = "photos",
    security(("session" = ["editor"])), responses((status = 204, description = "It is gone")))]
async fn delete(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let before = before(&headers)?.ok_or(StoreError::Missing("mask"))?;
    server.store.mask_photo(project, photo, Some(&before), None).await?;
    server.store.release_file(project, &before).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The mask that the client has seen; none where it has seen that there is none.
fn before(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == b"*") {
        return Ok(None);
    }
    if_match(headers)?.map(Some).ok_or_else(|| {
        ApiError::unconditional(
            "name the mask that you change by If-Match, or send If-None-Match: * for a first one",
        )
    })
}
