//! MuDI data folders, as zip files: in and out.

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::response::Response;
use mudi_domain::api::{Page, Photo};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::archive::data_folder;
use crate::server::http::App;
use crate::server::http::extract::Params;
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::http::upload::{Temporary, receive};
use crate::server::store::new_id;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(download, upload))
}

/// Adds the subjects and photos of a MuDI data folder: a zip with `metadata.jsonl`, photos and masks as the body. What is
/// in the project already stays as it is, so an upload that broke off can be repeated.
#[utoipa::path(post, path = "/api/projects/{project}/dataset", tag = "photos", security(("session" = ["editor"])),
    request_body(content = Octets, content_type = "application/zip"),
    responses((status = 200, body = Page<Photo>)))]
async fn upload(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    body: Bytes,
) -> Result<Json<Page<Photo>>, ApiError> {
    let upload = receive(&server, body, server.settings.archive_limit).await?;
    Ok(Json(Page { items: data_folder::import(&server, project, upload.path()).await?, next: None }))
}

/// The project's photos, masks and captions as a MuDI data folder, zipped.
#[utoipa::path(get, path = "/api/projects/{project}/dataset", tag = "photos", security(("session" = ["editor"])),
    responses((status = 200, body = Octets, content_type = "application/zip")))]
async fn download(State(server): State<App>, Params(project): Params<Uuid>) -> Result<Response, ApiError> {
    let temporary = Temporary::new(server.store.incoming().join(new_id().to_string()));
    data_folder::export(&server, project, temporary.path()).await?;
    temporary.send("application/zip", "dataset.zip").await
}
