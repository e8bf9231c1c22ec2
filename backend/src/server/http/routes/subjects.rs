//! Subjects.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{NewSubject, Page, SubjectChange, SubjectSummary};
use mudi_domain::subject::{Subject, SubjectError, SubjectId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::tagged;
use crate::server::http::App;
use crate::server::http::extract::{Body, IfMatch, Params, version};
use crate::server::http::problem::ApiError;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(change, delete))
}

impl From<SubjectError> for ApiError {
    fn from(error: SubjectError) -> Self {
        Self::refused(error.to_string())
    }
}

/// The subjects of a project, in the order in which they were added.
#[utoipa::path(get, path = "/api/projects/{project}/subjects", tag = "subjects", security(("session" = ["viewer"])),
    responses((status = 200, body = Page<SubjectSummary>)))]
async fn list(
    State(server): State<App>,
    Params(project): Params<Uuid>,
) -> Result<Json<Page<SubjectSummary>>, ApiError> {
    Ok(Json(server.store.subjects(project).await?))
}

/// Adds a subject.
#[utoipa::path(post, path = "/api/projects/{project}/subjects", tag = "subjects",
    security(("session" = ["editor"])), request_body = NewSubject,
    responses((status = 201, body = SubjectSummary)))]
async fn create(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(new): Body<NewSubject>,
) -> Result<Response, ApiError> {
    let subject = Subject::new(new.id, &new.name)?;
    server.store.create_subject(project, &subject).await?;
    let made = server.store.subject(project, subject.id()).await?;
    Ok((StatusCode::CREATED, tagged(made.version, made)).into_response())
}

/// Renames a subject. With `If-Match` only if it is still the version that was read.
#[utoipa::path(patch, path = "/api/projects/{project}/subjects/{subject}", tag = "subjects",
    security(("session" = ["editor"])), params(IfMatch), request_body = SubjectChange,
    responses((status = 200, body = SubjectSummary)))]
async fn change(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, SubjectId)>,
    headers: HeaderMap,
    Body(change): Body<SubjectChange>,
) -> Result<Response, ApiError> {
    let subject = Subject::new(id, &change.name)?;
    let changed = server.store.rename_subject(project, version(&headers)?, &subject).await?;
    Ok(tagged(changed.version, changed))
}

/// Deletes a subject and its photos. Runs keep what they train on.
#[utoipa::path(delete, path = "/api/projects/{project}/subjects/{subject}", tag = "subjects",
    security(("session" = ["editor"])), responses((status = 204, description = "It is gone")))]
async fn delete(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, SubjectId)>,
) -> Result<StatusCode, ApiError> {
    server.store.delete_subject(project, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
