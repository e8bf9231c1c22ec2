//! MuDI data folders, as zip files: in and out.

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use mudi_domain::api::{Page, Photo};
use tokio::io::AsyncReadExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::archive;
use crate::server::http::App;
use crate::server::http::extract::Params;
use crate::server::http::problem::ApiError;
use crate::server::http::upload::{Temporary, receive};
use crate::server::store::new_id;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(download, upload))
}

/// Adds the subjects and photos of a MuDI data folder: a zip with `metadata.jsonl`, photos and masks as the body. What is
/// in the project already stays as it is, so an upload that broke off can be repeated.
#[utoipa::path(post, path = "/api/projects/{project}/dataset", tag = "photos", security(("session" = ["editor"])),
    request_body(content = Vec<u8>, content_type = "application/zip"),
    responses((status = 200, body = Page<Photo>)))]
async fn upload(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    body: Bytes,
) -> Result<Json<Page<Photo>>, ApiError> {
    let upload = receive(&server, body, server.settings.archive_limit).await?;
    Ok(Json(Page { items: archive::import(&server, project, upload.path()).await?, next: None }))
}

/// The project's photos, masks and captions as a MuDI data folder, zipped.
#[utoipa::path(get, path = "/api/projects/{project}/dataset", tag = "photos", security(("session" = ["editor"])),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip")))]
async fn download(State(server): State<App>, Params(project): Params<Uuid>) -> Result<Response, ApiError> {
    let temporary = Temporary::new(server.store.incoming().join(new_id().to_string()));
    archive::export(&server, project, temporary.path()).await?;
    let file = tokio::fs::File::open(temporary.path()).await?;
    let size = file.metadata().await?.len();
    // The file is removed when the stream is dropped.
    let stream = stream::try_unfold((file, temporary), async |(mut file, temporary)| {
        let mut chunk = vec![0; 64 << 10];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((chunk, (file, temporary))))
    });
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_LENGTH, size.into()),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"dataset.zip\"")),
    ]);
    Ok((headers, Bytes::from_stream(stream)).into_response())
}
