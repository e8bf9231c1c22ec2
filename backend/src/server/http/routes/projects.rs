//! Projects.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{Access, NewProject, Page, Project, ProjectChange};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::tagged;
use crate::server::http::App;
use crate::server::http::extract::{Body, ListQuery, Params, Search, name, version};
use crate::server::http::gate::Caller;
use crate::server::http::problem::ApiError;
use crate::server::sample;

/// The longest name, in characters.
const NAME: usize = 200;
/// What is put behind the name of a copy.
const COPY: &str = ", copy";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, delete))
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

/// Copies a project's subjects, photos, masks, recipes and layouts into a new one, without runs, images and links.
#[utoipa::path(post, path = "/api/projects/{project}/copies", tag = "projects", security(("session" = ["owner"])),
    responses((status = 201, body = Project)))]
async fn copy(State(server): State<App>, Params(id): Params<Uuid>) -> Result<Response, ApiError> {
    let original = server.store.project(id, Access::Owner).await?;
    let kept: String = original.name.chars().take(NAME - COPY.len()).collect();
    let project = server.store.copy_project(id, &format!("{kept}{COPY}")).await?;
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
    request_body = ProjectChange, responses((status = 200, body = Project)))]
async fn change(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
    Params(id): Params<Uuid>,
    headers: HeaderMap,
    Body(change): Body<ProjectChange>,
) -> Result<Response, ApiError> {
    server.store.rename_project(id, version(&headers)?, &name(&change.name)?).await?;
    let project = server.store.project(id, caller.access(id)).await?;
    Ok(tagged(project.version, project))
}

/// Deletes a project and every byte of it. Its jobs are cancelled.
#[utoipa::path(delete, path = "/api/projects/{project}", tag = "projects", security(("session" = ["owner"])),
    responses((status = 204, description = "It is gone")))]
async fn delete(State(server): State<App>, Params(id): Params<Uuid>) -> Result<StatusCode, ApiError> {
    // The worker finds its job gone, and clears away what it may still have written.
    server.queue.interrupt_project(id);
    server.store.delete_project(id).await?;
    server.queue.access_changed();
    Ok(StatusCode::NO_CONTENT)
}
