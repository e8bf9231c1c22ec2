//! Masks.

use std::collections::HashSet;
use std::path::PathBuf;

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use indexmap::IndexSet;
use mudi_domain::api::{Job, JobKind, MaskPrompt, NewMasks};
use mudi_vision::sam::Prompt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::dataset::decode::decode;
use crate::segment::SegmentError;
use crate::server::http::App;
use crate::server::http::extract::{Body, IfMatch, IfNoneMatch, Params, etag, if_match};
use crate::server::http::files::file;
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::http::upload::receive;
use crate::server::media::{self, MediaError};
use crate::server::store::{Range, StoreError};

/// The most points of a prompt.
const MAX_POINTS: usize = 64;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read, write, delete))
        .routes(routes!(thumbnail))
        .routes(routes!(point))
        .routes(routes!(make))
}

/// A photo's mask: 8 bit gray, white on the subject, of the photo's size.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}/mask", tag = "photos",
    security(("session" = ["viewer"])),
    responses((status = 200, body = Octets, content_type = "image/png"), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn read(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.photo_file(project, photo).await?;
    let mask = files.mask.ok_or(StoreError::Missing("mask"))?;
    file(&server, project, &mask, &headers).await
}

/// A photo's mask, with a longer side of 384 pixels, as the photo's thumbnail.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}/mask/thumbnail", tag = "photos",
    security(("session" = ["viewer"])),
    responses((status = 200, body = Octets, content_type = "image/png"), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn thumbnail(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.photo_file(project, photo).await?;
    let small = files.mask_thumbnail.ok_or(StoreError::Missing("mask"))?;
    file(&server, project, &small, &headers).await
}

/// Draws a photo's mask: a PNG of the photo's size as the body. `If-Match` must name the mask that was read, or
/// `If-None-Match: *` say that there was none: of two writers the second is told so.
#[utoipa::path(put, path = "/api/projects/{project}/photos/{photo}/mask", tag = "photos",
    security(("session" = ["editor"])), params(IfMatch, IfNoneMatch), request_body(content = Octets, content_type = "image/png"),
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
        let _permit = permit;
        Ok::<_, ApiError>(media::mask(&PathBuf::from("the mask"), &std::fs::read(path)?, size)?)
    })
    .await??;
    let keeping = server.store.keeping(project).await?;
    let written = async {
        let kept = mask.keep(&keeping).await?;
        let unneeded = server.store.mask_photo(project, photo, before.as_deref(), Some(&kept)).await?;
        Ok::<_, StoreError>((kept.file, unneeded))
    };
    let (kept, unneeded) = match written.await {
        Ok(written) => written,
        // Somebody else was quicker: the mask is not to be.
        Err(error) => {
            keeping.undo().await?;
            return Err(error.into());
        }
    };
    drop(keeping);
    server.store.release(project, &unneeded).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(etag(&kept).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// Takes a photo's mask away. `If-Match` must name the mask that was read.
#[utoipa::path(delete, path = "/api/projects/{project}/photos/{photo}/mask", tag = "photos",
    security(("session" = ["editor"])), params(IfMatch),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let before = before(&headers)?.ok_or(StoreError::Missing("mask"))?;
    let unneeded = server.store.mask_photo(project, photo, Some(&before), None).await?;
    server.store.release(project, &unneeded).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The mask of what a click, several, or a box point at, by the server's segmenter. It is not kept: `PUT` the mask that is to
/// stay.
#[utoipa::path(post, path = "/api/projects/{project}/photos/{photo}/segment", tag = "photos",
    security(("session" = ["editor"])), request_body = MaskPrompt,
    responses((status = 200, body = Octets, content_type = "image/png")))]
async fn point(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    Body(wanted): Body<MaskPrompt>,
) -> Result<Response, ApiError> {
    if wanted.points.len() > MAX_POINTS {
        return Err(ApiError::refused(format!(
            "there are {} points; give at most {MAX_POINTS}",
            wanted.points.len()
        )));
    }
    if wanted.points.is_empty() && wanted.bounds.is_none() {
        return Err(ApiError::refused(
            "nothing points at the subject; give a point on it, or a box around it",
        ));
    }
    let prompt = Prompt::from(&wanted);
    let files = server.store.photo_file(project, photo).await?;
    // Before the bytes are read: whoever waits holds none.
    let permit = server.guard.decoder().await?;
    let bytes = server.store.blobs().read(project, &files.file).await?;
    let shared = server.clone();
    let mask = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let read = || Ok(decode(&PathBuf::from("the photo"), &bytes).map_err(MediaError::from)?.rgb());
        let seer = shared.sight.look(&shared.settings.segmenter_folder())?;
        let mask = seer.mask::<ApiError>(&files.file, read, &prompt)?;
        let mask =
            mask.ok_or_else(|| ApiError::refused("the segmenter sees no subject there; point elsewhere"))?;
        Ok::<_, ApiError>(media::encode_mask(&mask)?)
    })
    .await??;
    Ok(([(header::CONTENT_TYPE, "image/png")], mask.bytes).into_response())
}

/// Makes the masks of photos that have none or an empty one, and those that are wanted anew, from the classes of their subjects: a job that waits
/// for its turn. Its events tell of each photo whether it got one.
#[utoipa::path(post, path = "/api/projects/{project}/masks", tag = "photos", security(("session" = ["editor"])),
    request_body = NewMasks, responses((status = 202, body = Job)))]
async fn make(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(mut new): Body<NewMasks>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let all = Range { after: Uuid::nil(), limit: u32::MAX - 1 };
    let names_some = !new.photos.is_empty();
    let anew: HashSet<&String> = new.anew.iter().collect();
    let wanted: IndexSet<Uuid> = server
        .store
        .photos(project, None, all)
        .await?
        .items
        .into_iter()
        .filter(|photo| !photo.is_masked() || photo.mask.as_ref().is_some_and(|mask| anew.contains(mask)))
        .map(|photo| photo.id)
        .collect();
    // Each once, whatever was named.
    let named: IndexSet<Uuid> = new.photos.into_iter().filter(|photo| wanted.contains(photo)).collect();
    new.photos = if names_some { named } else { wanted }.into_iter().collect();
    if new.photos.is_empty() {
        return Err(ApiError::conflict(
            "none of these photos is without a mask; name the masks that are to be made anew",
        ));
    }
    let request = serde_json::to_string(&new).map_err(|error| ApiError::internal(error.to_string()))?;
    let job = server.store.create_job(project, JobKind::Segment, None, &request).await?;
    server.queue.wake();
    Ok((StatusCode::ACCEPTED, Json(job)))
}

impl From<SegmentError> for ApiError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Outside { .. } => Self::refused(error.to_string()),
            // Which of its files the server misses goes to its log.
            error => {
                tracing::warn!(%error, "the segmenter cannot be used");
                Self::conflict("this server has no segmenter that can be used; draw the mask by hand")
            }
        }
    }
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
