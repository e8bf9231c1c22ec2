//! Projects.

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{NewProject, Page, Project, ProjectChange};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::tagged;
use crate::server::archive::project as archive;
use crate::server::http::App;
use crate::server::http::extract::{Body, IfMatch, ListQuery, Params, Search, name, version};
use crate::server::http::gate::Caller;
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::http::upload::{Temporary, receive};
use crate::server::sample;
use crate::server::store::new_id;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, delete))
        .routes(routes!(export))
        .routes(routes!(import))
        .routes(routes!(copy))
        .routes(routes!(sample))
}

/// The projects that whoever asks may see, oldest first.
#[utoipa::path(get, path = "/api/projects", tag = "projects", security(("session" = ["viewer"])), params(ListQuery),
    responses((status = 200, body = Page<Project>)))]
async fn list(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
    Search(query): Search<ListQuery>,
) -> Result<Json<Page<Project>>, ApiError> {
    Ok(Json(server.store.projects(query.range()?, |id| caller.access(id)).await?))
}

/// Makes a project.
#[utoipa::path(post, path = "/api/projects", tag = "projects", security(("session" = ["owner"])),
    request_body = NewProject, responses((status = 201, body = Project)))]
async fn create(State(server): State<App>, Body(new): Body<NewProject>) -> Result<Response, ApiError> {
    let project = server.store.create_project(&name(&new.name)?).await?;
    Ok((StatusCode::CREATED, tagged(project.version, project)).into_response())
}

/// Makes a project of two toys, with photos and masks, to look around in.
#[utoipa::path(post, path = "/api/samples", tag = "projects", security(("session" = ["owner"])),
    responses((status = 201, body = Project)))]
async fn sample(State(server): State<App>) -> Result<Response, ApiError> {
    let project = sample::make(&server).await?;
    Ok((StatusCode::CREATED, tagged(project.version, project)).into_response())
}

/// A project.
#[utoipa::path(get, path = "/api/projects/{project}", tag = "projects", security(("session" = ["viewer"])),
    responses((status = 200, body = Project)))]
async fn read(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
    Params(id): Params<Uuid>,
) -> Result<Response, ApiError> {
    let project = server.store.project(id, caller.access(id)).await?;
    Ok(tagged(project.version, project))
}

/// Renames a project. With `If-Match` only if it is still the version that was read.
#[utoipa::path(patch, path = "/api/projects/{project}", tag = "projects", security(("session" = ["editor"])),
    params(IfMatch), request_body = ProjectChange, responses((status = 200, body = Project)))]
async fn change(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
    Params(id): Params<Uuid>,
    headers: HeaderMap,
    Body(change): Body<ProjectChange>,
) -> Result<Response, ApiError> {
    let (version, name) = (version(&headers)?, name(&change.name)?);
    let project = server.store.rename_project(id, version, &name, caller.access(id)).await?;
    Ok(tagged(project.version, project))
}

/// Deletes a project and every byte of it. Its jobs are cancelled.
#[utoipa::path(delete, path = "/api/projects/{project}", tag = "projects", security(("session" = ["owner"])),
    responses((status = 204, description = "It is gone")))]
async fn delete(State(server): State<App>, Params(id): Params<Uuid>) -> Result<StatusCode, ApiError> {
    // The worker finds its job gone, and clears away what it may still have written.
    server.queue.interrupt_project(id);
    let deleted = server.store.delete_project(id).await;
    // Where files of it could not be removed, its rows have gone all the same; and a worker may have begun another of its jobs.
    server.queue.interrupt_project(id);
    server.queue.access_changed();
    deleted?;
    Ok(StatusCode::NO_CONTENT)
}

/// The whole project as one file: photos, masks, runs with their weights, layouts, images. Links are not part of it.
#[utoipa::path(get, path = "/api/projects/{project}/archive", tag = "projects", security(("session" = ["owner"])),
    responses((status = 200, body = Octets, content_type = "application/zip")))]
async fn export(State(server): State<App>, Params(id): Params<Uuid>) -> Result<Response, ApiError> {
    let temporary = Temporary::new(server.store.incoming().join(new_id().to_string()));
    archive::pack(&server, id, temporary.path()).await?;
    temporary.send("application/zip", "project.mudi.zip").await
}

/// Makes a project of one that was exported; it gets new ids. Jobs that were not over are paused.
#[utoipa::path(post, path = "/api/projects/import", tag = "projects", security(("session" = ["owner"])),
    request_body(content = Octets, content_type = "application/zip"), responses((status = 201, body = Project)))]
async fn import(State(server): State<App>, body: Bytes) -> Result<Response, ApiError> {
    let upload = receive(&server, body, server.settings.archive_limit).await?;
    let project = archive::unpack(&server, upload.path(), str::to_owned).await?;
    Ok((StatusCode::CREATED, tagged(project.version, project)).into_response())
}

/// Makes a second project of all that is in this one.
#[utoipa::path(post, path = "/api/projects/{project}/copies", tag = "projects", security(("session" = ["owner"])),
    responses((status = 201, body = Project)))]
async fn copy(State(server): State<App>, Params(id): Params<Uuid>) -> Result<Response, ApiError> {
    let temporary = Temporary::new(server.store.incoming().join(new_id().to_string()));
    archive::pack(&server, id, temporary.path()).await?;
    let project = archive::unpack(&server, temporary.path(), copied).await?;
    Ok((StatusCode::CREATED, tagged(project.version, project)).into_response())
}

/// What a copy is called, in at most 200 characters.
fn copied(name: &str) -> String {
    const SUFFIX: &str = ", copy";
    name.chars().take(200 - SUFFIX.len()).chain(SUFFIX.chars()).collect()
}
