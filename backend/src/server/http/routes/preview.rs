//! The model that visitors' browsers run.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{JobState, PreviewLora, PreviewModel, Run};
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::http::App;
use crate::server::http::extract::{Params, list_range};
use crate::server::http::files::{FOREVER, streamed, unchanging};
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::jobs::TRAINED;
use crate::server::preview::{Known, PreviewError};
use crate::server::store::StoreError;
use crate::train::LORA_FILE;

pub(super) fn routes() -> OpenApiRouter<App> {
    // Half precision gives way by a twelfth; at the fastest level it would grow by a twentieth.
    let files = OpenApiRouter::new().routes(routes!(file)).layer(CompressionLayer::new());
    OpenApiRouter::new().routes(routes!(model)).merge(files)
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::None(_) => StoreError::Missing("model for previews").into(),
            error => Self::internal(error.to_string()),
        }
    }
}

async fn look(server: &App) -> Result<std::sync::Arc<Known>, ApiError> {
    let shared = server.clone();
    let known = tokio::task::spawn_blocking(move || {
        shared.preview.look(&shared.settings.models, &shared.settings.preview)
    });
    Ok(known.await??)
}

/// The small model that the browser runs while a layout is arranged, and the project's LoRA on it.
#[utoipa::path(get, path = "/api/projects/{project}/preview", tag = "preview", security(("session" = ["player"])),
    responses((status = 200, body = PreviewModel)))]
async fn model(
    State(server): State<App>,
    Params(project): Params<Uuid>,
) -> Result<Json<PreviewModel>, ApiError> {
    let known = look(&server).await?;
    let newest = newest_run(&server, project, &known.name).await?;
    let side = known.sizes.side_for(newest.as_ref().map(|run| &run.recipe));
    let lora = match newest {
        Some(run) => Some(lora_of(&server, project, run).await?),
        None => None,
    };
    let looked = known.clone();
    let [needs, decoder] = tokio::task::spawn_blocking(move || looked.needs(side)).await??;
    Ok(Json(PreviewModel {
        name: known.name.clone(),
        side: u32::try_from(side).unwrap_or(u32::MAX),
        reduction: u32::try_from(known.reduction).unwrap_or(u32::MAX),
        multiple: u32::try_from(known.sizes.multiple).unwrap_or(u32::MAX),
        negative: known.negative.to_owned(),
        guidance: server.settings.preview_guidance as f32,
        files: known.files.clone(),
        lora,
        needs,
        decoder,
    }))
}

/// The newest finished run on `base`.
async fn newest_run(server: &App, project: Uuid, base: &str) -> Result<Option<Run>, ApiError> {
    let mut newest = None;
    let mut after = None;
    loop {
        let page = server.store.runs(project, list_range(after, Some(500))?).await?;
        let finished = |run: &&Run| run.state == JobState::Done && run.base == base;
        newest = page.items.iter().rfind(finished).cloned().or(newest);
        match page.next {
            // It is the id of the last run.
            Some(next) => {
                after = Some(next.parse().map_err(|_| ApiError::internal("a page's end is no id"))?);
            }
            None => return Ok(newest),
        }
    }
}

async fn lora_of(server: &App, project: Uuid, run: Run) -> Result<PreviewLora, ApiError> {
    let path = server.store.run_folder(project, run.id).join(TRAINED).join(LORA_FILE);
    let bytes = match tokio::fs::metadata(&path).await {
        // The run was deleted a moment ago.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Missing("run").into());
        }
        found => found?.len(),
    };
    let Run { id, name, recipe, subjects, .. } = run;
    Ok(PreviewLora { run: id, name, alpha: recipe.alpha, bytes, subjects })
}

/// A file of that model, by the SHA-256 of its content: what has been fetched once never changes.
#[utoipa::path(get, path = "/api/projects/{project}/preview/files/{sha256}", tag = "preview",
    security(("session" = ["player"])),
    responses((status = 200, body = Octets, content_type = "application/octet-stream"),
        (status = 304, description = "The browser has it")))]
async fn file(
    State(server): State<App>,
    Params((_, sha256)): Params<(Uuid, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let known = look(&server).await?;
    let path = known.path(&sha256).ok_or(StoreError::Missing("file of the model for previews"))?;
    unchanging(&sha256, &headers, FOREVER, async || {
        let (body, size) = streamed(path).await?;
        Ok(([(header::CONTENT_LENGTH, size)], body).into_response())
    })
    .await
}
