//! What a browser needs to make masks of clicks by itself.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use mudi_domain::api::SegmenterModel;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::dataset::decode::decode;
use crate::server::http::App;
use crate::server::http::extract::Params;
use crate::server::http::files::{ASKING, FOREVER, unchanging};
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::media::MediaError;
use crate::server::sight::Seer;
use crate::server::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<App> {
    let files = OpenApiRouter::new().routes(routes!(file)).layer(CompressionLayer::new());
    OpenApiRouter::new().routes(routes!(model)).routes(routes!(embedding)).merge(files)
}

/// The segmenter; where it has not been used yet, it is loaded.
async fn look(server: &App) -> Result<Arc<Seer>, ApiError> {
    let shared = server.clone();
    let seer = tokio::task::spawn_blocking(move || shared.sight.look(&shared.settings.segmenter_folder()));
    Ok(seer.await??)
}

/// The part of the server's segmenter that a browser runs: prompt encoder and mask decoder of a Segment Anything.
#[utoipa::path(get, path = "/api/projects/{project}/segmenter", tag = "photos", security(("session" = ["editor"])),
    responses((status = 200, body = SegmenterModel)))]
async fn model(
    State(server): State<App>,
    Params(_project): Params<Uuid>,
) -> Result<Json<SegmenterModel>, ApiError> {
    let seer = look(&server).await?;
    let side = u32::try_from(seer.side).unwrap_or(u32::MAX);
    let files = seer.decoder.iter().map(|(file, _)| file.clone()).collect();
    Ok(Json(SegmenterModel { side, files }))
}

/// A file of that part, by the SHA-256 of its content: what has been fetched once never changes.
#[utoipa::path(get, path = "/api/projects/{project}/segmenter/files/{sha256}", tag = "photos",
    security(("session" = ["editor"])),
    responses((status = 200, body = Octets, content_type = "application/octet-stream"),
        (status = 304, description = "The browser has it")))]
async fn file(
    State(server): State<App>,
    Params((_, sha256)): Params<(Uuid, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let seer = look(&server).await?;
    let (_, content) = seer
        .decoder
        .iter()
        .find(|(file, _)| file.sha256 == sha256)
        .ok_or(StoreError::Missing("file of the segmenter"))?;
    unchanging(&sha256, &headers, FOREVER, async || Ok(content.clone().into_response())).await
}

/// A photo as the segmenter's image encoder sees it, `[grid, grid, C]` in 16-bit numbers, the lower byte first. It is computed
/// once; the `ETag` names the photo's content and the model.
#[utoipa::path(get, path = "/api/projects/{project}/photos/{photo}/embedding", tag = "photos",
    security(("session" = ["editor"])),
    responses((status = 200, body = Octets, content_type = "application/octet-stream"),
        (status = 304, description = "The browser has it")))]
async fn embedding(
    State(server): State<App>,
    Params((project, photo)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name = server.store.photo_file(project, photo).await?.file;
    let seer = look(&server).await?;
    let tag = format!("{name}-{}", &seer.id[..16.min(seer.id.len())]);
    unchanging(&tag, &headers, ASKING, async || {
        // Before the bytes are read: whoever waits holds none.
        let permit = server.guard.decoder().await?;
        let bytes = server.store.blobs().read(project, &name).await?;
        let embedding = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let read = || Ok(decode(&PathBuf::from("the photo"), &bytes).map_err(MediaError::from)?.rgb());
            seer.embedding::<ApiError>(&name, read)
        })
        .await??;
        Ok(embedding.into_response())
    })
    .await
}
