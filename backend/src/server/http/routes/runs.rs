//! Training runs.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{Access, Forecast, JobState, Metric, NewRun, Page, Proposal, Run, Samples, Seen};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::checks;
use crate::server::http::App;
use crate::server::http::extract::{Body, ListQuery, Params, Search, name};
use crate::server::http::files::streamed;
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::jobs::{TRAINED, bases, foresee};
use crate::server::store::StoreError;
use crate::train::{LORA_FILE, read_metrics, read_shown, sample_steps, samples_file, shown_file};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, delete))
        .routes(routes!(metrics))
        .routes(routes!(samples))
        .routes(routes!(sample))
        .routes(routes!(seen))
        .routes(routes!(seen_sheet))
        .routes(routes!(forecast))
        .routes(routes!(weights))
}

/// The runs of a project, oldest first.
#[utoipa::path(get, path = "/api/projects/{project}/runs", tag = "runs", security(("session" = ["viewer"])),
    params(ListQuery), responses((status = 200, body = Page<Run>)))]
async fn list(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Search(query): Search<ListQuery>,
) -> Result<Json<Page<Run>>, ApiError> {
    Ok(Json(server.store.runs(project, query.range()?).await?))
}

/// Trains on the project's photos as they are now. Every photo needs a mask. The run's job waits for its turn.
#[utoipa::path(post, path = "/api/projects/{project}/runs", tag = "runs", security(("session" = ["editor"])),
    request_body = NewRun, responses((status = 201, body = Run)))]
async fn create(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(mut new): Body<NewRun>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    new.name = name(&new.name)?;
    let base = bases::find(&server.settings.models, &new.base).map_err(ApiError::refused)?;
    let recipe = new.recipe.clone();
    let fits = tokio::task::spawn_blocking(move || foresee::check_targets(&base, &recipe));
    fits.await?.map_err(ApiError::refused)?;
    checks::subjects(&server, project, &new.recipe).await?;
    checks::masks(&server, project).await?;
    let run = server.store.create_run(project, &new).await?;
    server.queue.wake();
    Ok((StatusCode::CREATED, Json(run)))
}

/// A run.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}", tag = "runs", security(("session" = ["viewer"])),
    responses((status = 200, body = Run)))]
async fn read(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Run>, ApiError> {
    Ok(Json(server.store.run(project, id).await?))
}

/// Deletes a run that is not being trained, with its weights. Images that were made with it stay.
#[utoipa::path(delete, path = "/api/projects/{project}/runs/{run}", tag = "runs",
    security(("session" = ["editor"])), responses((status = 204, description = "It is gone")))]
async fn delete(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<StatusCode, ApiError> {
    server.store.delete_run(project, id).await?;
    // Whoever listens to its job would wait for good.
    server.queue.access_changed();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MetricsQuery {
    /// Only steps after this one.
    #[serde(default)]
    after: i64,
}

/// What the steps gave, up to the last checkpoint. Newer ones are in the events of the job.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}/metrics", tag = "runs",
    security(("session" = ["viewer"])), params(MetricsQuery), responses((status = 200, body = Page<Metric>)))]
async fn metrics(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    Search(query): Search<MetricsQuery>,
) -> Result<Json<Page<Metric>>, ApiError> {
    server.store.run(project, id).await?;
    let folder = server.store.run_folder(project, id).join(TRAINED);
    // Before the first checkpoint there is no file.
    let found = tokio::task::spawn_blocking(move || read_metrics(&folder)).await?.unwrap_or_default();
    let after = u64::try_from(query.after).unwrap_or_default();
    let items = found.into_iter().filter(|metric| metric.step > after).map(|metric| Metric {
        step: metric.step,
        loss: metric.loss,
        gradient_norm: metric.gradient_norm,
        learning_rate: metric.learning_rate,
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// After which steps the run drew pictures: those that its recipe asks for by `sample-every` and `sample-prompts`.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}/samples", tag = "runs",
    security(("session" = ["viewer"])), responses((status = 200, body = Page<Samples>)))]
async fn samples(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Page<Samples>>, ApiError> {
    server.store.run(project, id).await?;
    let folder = server.store.run_folder(project, id).join(TRAINED);
    let steps = tokio::task::spawn_blocking(move || sample_steps(&folder)).await?;
    Ok(Json(Page { items: steps.into_iter().map(|step| Samples { step }).collect(), next: None }))
}

/// The pictures after so many steps, on one sheet: a row for each prompt.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}/samples/{step}", tag = "runs",
    security(("session" = ["viewer"])),
    responses((status = 200, body = Octets, content_type = "image/png")))]
async fn sample(
    State(server): State<App>,
    Params((project, id, step)): Params<(Uuid, Uuid, u64)>,
) -> Result<Response, ApiError> {
    server.store.run(project, id).await?;
    sheet(&samples_file(&server.store.run_folder(project, id).join(TRAINED), step), "sample").await
}

/// A sheet of pictures in a run's folder. A resumed run makes the same again, byte for byte.
async fn sheet(path: &Path, what: &'static str) -> Result<Response, ApiError> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Missing(what).into());
        }
        Err(error) => return Err(error.into()),
    };
    let headers = [(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "private, max-age=3600")];
    Ok((headers, bytes).into_response())
}

/// What training showed the model lately: photos and collages of the cut-out subjects.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}/seen", tag = "runs",
    security(("session" = ["viewer"])), responses((status = 200, body = Seen)))]
async fn seen(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Seen>, ApiError> {
    server.store.run(project, id).await?;
    let folder = server.store.run_folder(project, id).join(TRAINED);
    let found = tokio::task::spawn_blocking(move || read_shown(&folder)).await?;
    let nothing = Seen { step: 0, captions: Vec::new() };
    Ok(Json(found.map_or(nothing, |shown| Seen { step: shown.step, captions: shown.captions })))
}

/// The pictures that training showed the model in a step, in a row. Only those of the latest such step are kept.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}/seen/{step}", tag = "runs",
    security(("session" = ["viewer"])),
    responses((status = 200, body = Octets, content_type = "image/png")))]
async fn seen_sheet(
    State(server): State<App>,
    Params((project, id, step)): Params<(Uuid, Uuid, u64)>,
) -> Result<Response, ApiError> {
    server.store.run(project, id).await?;
    sheet(&shown_file(&server.store.run_folder(project, id).join(TRAINED), step), "picture").await
}

/// What a run would need, before it is made: memory, and time where runs on the same base tell.
#[utoipa::path(post, path = "/api/projects/{project}/forecast", tag = "runs", security(("session" = ["editor"])),
    request_body = Proposal, responses((status = 200, body = Forecast)))]
async fn forecast(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(proposal): Body<Proposal>,
) -> Result<Json<Forecast>, ApiError> {
    server.store.project(project, Access::Editor).await?;
    let base = bases::find(&server.settings.models, &proposal.base).map_err(ApiError::refused)?;
    checks::subjects(&server, project, &proposal.recipe).await?;
    let paces = server.store.paces(&proposal.base).await?;
    let subjects = server.store.subjects(project).await?.items;
    let (memory, device) = (server.settings.memory_bytes(), server.settings.device.planned());
    let found = tokio::task::spawn_blocking(move || {
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
        foresee::forecast(&base, &proposal.recipe, &names, &paces, memory, device)
    });
    Ok(Json(found.await?.map_err(ApiError::refused)?))
}

/// The weights of a finished run: a LoRA with PEFT's names, as diffusers reads it.
#[utoipa::path(get, path = "/api/projects/{project}/runs/{run}/weights", tag = "runs",
    security(("session" = ["player"])),
    responses((status = 200, body = Octets, content_type = "application/octet-stream")))]
async fn weights(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Response, ApiError> {
    let run = server.store.run(project, id).await?;
    if run.state != JobState::Done {
        return Err(ApiError::conflict(format!(
            "the run is {}; its weights are there when it is done",
            run.state.word()
        )));
    }
    let path = server.store.run_folder(project, id).join(TRAINED).join(LORA_FILE);
    let (body, size) = streamed(&path).await?;
    let named = format!("attachment; filename=\"{id}.safetensors\"");
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, size.into()),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&named).map_err(|error| ApiError::internal(error.to_string()))?,
        ),
    ]);
    Ok((headers, body).into_response())
}
