//! Photos: uploaded, looked at, captioned.

use std::path::PathBuf;

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{Page, Photo, PhotoChange};
use mudi_domain::subject::SubjectId;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::tagged;
use crate::dataset::decode::decode;
use crate::server::http::App;
use crate::server::http::extract::{
    Body, IfMatch, LONGEST_CAPTION, Params, Search, line, list_range, name, version,
};
use crate::server::http::files::file;
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::http::upload::receive;
use crate::server::media::{self, MediaError};
use crate::server::store::NewPhoto;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(upload))
        .routes(routes!(read, change, delete))
        .routes(routes!(image))
        .routes(routes!(thumbnail))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PhotosQuery {
    /// Only the photos of this subject.
    #[param(value_type = Option<String>)]
    subject: Option<SubjectId>,
    /// `next` of the part before.
    after: Option<Uuid>,
    /// The most items, 1 to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The photos of a project, oldest first.
#[utoipa::path(get, path = "/api/projects/{project}/photos", tag = "photos", security(("session" = ["viewer"])),
    params(PhotosQuery), responses((status = 200, body = Page<Photo>)))]
async fn list(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Search(query): Search<PhotosQuery>,
) -> Result<Json<Page<Photo>>, ApiError> {
    let range = list_range(query.after, query.limit)?;
    Ok(Json(server.store.photos(project, query.subject.as_ref(), range).await?))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    /// The file's name.
    name: String,
}

/// Uploads a photo: a JPEG, PNG or WebP file as the body. It is turned upright and kept without the camera's notes. The
/// same file again is the same photo, so an upload that broke off can be repeated.
#[utoipa::path(post, path = "/api/projects/{project}/subjects/{subject}/photos", tag = "photos",
    security(("session" = ["editor"])), params(UploadQuery),
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses((status = 201, body = Photo), (status = 200, body = Photo, description = "It was there already")))]
async fn upload(
    State(server): State<App>,
    Params((project, subject)): Params<(Uuid, SubjectId)>,
    Search(query): Search<UploadQuery>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let name = name(&query.name)?;
    server.store.subject(project, &subject).await?;
    let upload = receive(&server, body, server.settings.upload_limit).await?;
    let (path, shown) = (upload.path().to_owned(), PathBuf::from(&name));
    let permit = server.guard.decoder().await?;
    let ready = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let bytes = std::fs::read(path)?;
        let decoded = decode(&shown, &bytes).map_err(MediaError::from)?;
        Ok::<_, ApiError>(media::photo(&decoded, &bytes)?)
    })
    .await??;
    let keeping = server.store.keeping(project).await?;
    let added = async {
        let photo = NewPhoto {
            name,
            source: upload.digest.clone(),
            file: keeping.put(ready.photo.bytes, ready.photo.extension).await?,
            thumbnail: keeping.put(ready.thumbnail.bytes, ready.thumbnail.extension).await?,
            mask: None,
            size: ready.size,
            caption: String::new(),
        };
        server.store.add_photo(project, &subject, &photo).await
    };
    let (photo, new) = match added.await {
        Ok(added) => added,
        Err(error) => {
            keeping.undo().await?;
            return Err(error.into());
        }
    };
    // What is there already may have been made of the same upload in another way.
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    match new {
        true => drop(keeping),
        false => keeping.undo().await?,
    }
    Ok((status, tagged(photo.version, photo)).into_response())
}

/// A photo.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}", tag = "photos",
    security(("session" = ["viewer"])), responses((status = 200, body = Photo)))]
async fn read(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Response, ApiError> {
    let photo = server.store.photo(project, id).await?;
    Ok(tagged(photo.version, photo))
}

/// Changes a photo's caption, or moves it to another subject with its mask and its caption; there it gets the next number. With
/// `If-Match` only if it is still the version that was read.
#[utoipa::path(patch, path = "/api/projects/{project}/photos/{photo}", tag = "photos",
    security(("session" = ["editor"])), params(IfMatch), request_body = PhotoChange, responses((status = 200, body = Photo)))]
async fn change(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
    Body(change): Body<PhotoChange>,
) -> Result<Response, ApiError> {
    let caption = change.caption.map(|caption| line("caption", &caption, 0, LONGEST_CAPTION)).transpose()?;
    let (caption, subject) = (caption.as_deref(), change.subject.as_ref());
    if caption.is_none() && subject.is_none() {
        return Err(ApiError::refused("nothing is to be changed; give a `caption`, a `subject`, or both"));
    }
    let photo = server.store.change_photo(project, id, version(&headers)?, caption, subject).await?;
    Ok(tagged(photo.version, photo))
}

/// Deletes a photo and its mask. Runs keep what they train on.
#[utoipa::path(delete, path = "/api/projects/{project}/photos/{photo}", tag = "photos",
    security(("session" = ["editor"])), responses((status = 204, description = "It is gone")))]
async fn delete(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<StatusCode, ApiError> {
    server.store.delete_photo(project, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The photo itself.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}/image", tag = "photos",
    security(("session" = ["viewer"])),
    responses((status = 200, content((Octets = "image/jpeg"), (Octets = "image/png"))), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn image(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.photo_file(project, id).await?;
    file(&server, project, &files.file, &headers).await
}

/// The photo, with a longer side of 384 pixels.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}/thumbnail", tag = "photos",
    security(("session" = ["viewer"])), 
    responses((status = 200, body = Octets, content_type = "image/jpeg"), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn thumbnail(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.photo_file(project, id).await?;
    file(&server, project, &files.thumbnail, &headers).await
}
