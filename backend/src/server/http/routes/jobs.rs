//! Jobs: looked at, paused, resumed, cancelled.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{Job, JobState, Page};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::http::App;
use crate::server::http::extract::{ListQuery, Params, Search};
use crate::server::http::files::{ASKING, unchanging};
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::store::{StoreError, Wanted};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(latents))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// The jobs of a project, oldest first.
#[utoipa::path(get, path = "/api/projects/{project}/jobs", tag = "jobs", security(("session" = ["viewer"])),
    params(ListQuery), responses((status = 200, body = Page<Job>)))]
async fn list(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Search(query): Search<ListQuery>,
) -> Result<Json<Page<Job>>, ApiError> {
    Ok(Json(server.store.jobs(project, query.range()?).await?))
}

/// A job, with its place in the queue and its time left.
#[utoipa::path(get, path = "/api/projects/{project}/jobs/{job}", tag = "jobs", security(("session" = ["viewer"])),
    responses((status = 200, body = Job)))]
async fn read(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Job>, ApiError> {
    Ok(Json(server.store.job(project, id).await?))
}

/// What the pictures that a job is making will be like, as far as is known: the newest latents, in the form of the API's type
/// `Latents`. They are there only while the job samples; each `progress` event tells of new ones.
#[utoipa::path(get, path = "/api/projects/{project}/jobs/{job}/latents", tag = "jobs", security(("session" = ["viewer"])),
    responses((status = 200, body = Octets, content_type = "application/octet-stream"),
        (status = 304, description = "The asker has them")))]
async fn latents(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Whether it is a job of this project.
    server.store.job(project, id).await?;
    let held = server.latents.of(id).ok_or(StoreError::Missing("picture that is being made"))?;
    unchanging(&held.tag, &headers, ASKING, async || Ok(held.bytes.clone().into_response())).await
}

/// Halts a job. One that runs writes a checkpoint after its step.
#[utoipa::path(post, path = "/api/projects/{project}/jobs/{job}/pause", tag = "jobs",
    security(("session" = ["editor"])), responses((status = 200, body = Job)))]
async fn pause(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Job>, ApiError> {
    halt(&server, project, id, Wanted::Pause).await
}

/// Lets a paused job go on, or one that has failed: a training from its checkpoint, the others with what is not made yet.
#[utoipa::path(post, path = "/api/projects/{project}/jobs/{job}/resume", tag = "jobs",
    security(("session" = ["editor"])), responses((status = 200, body = Job)))]
async fn resume(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Job>, ApiError> {
    let (job, event) = server.store.resume(project, id).await?;
    if let Some(event) = event {
        server.queue.tell(id, event);
    }
    server.queue.wake();
    Ok(Json(job))
}

/// Ends a job. One that runs ends after its step.
#[utoipa::path(post, path = "/api/projects/{project}/jobs/{job}/cancel", tag = "jobs",
    security(("session" = ["editor"])), responses((status = 200, body = Job)))]
async fn cancel(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Job>, ApiError> {
    halt(&server, project, id, Wanted::Cancel).await
}

async fn halt(server: &App, project: Uuid, id: Uuid, wanted: Wanted) -> Result<Json<Job>, ApiError> {
    let (job, event) = server.store.halt(project, id, wanted).await?;
    if let Some(event) = event {
        server.queue.tell(id, event);
    }
    if job.state == JobState::Running {
        // The worker settles its state.
        server.queue.interrupt_job(id);
    }
    Ok(Json(job))
}
