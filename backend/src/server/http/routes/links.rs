//! Links: capabilities that grant access to one project.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mudi_domain::api::{Access, CreatedLink, Link, NewLink, Page};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::http::App;
use crate::server::http::extract::{Body, Params, line};
use crate::server::http::problem::ApiError;
use crate::server::http::secrets::secret;
use crate::server::store::now;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(delete))
}

/// The links of a project, without their secrets.
#[utoipa::path(get, path = "/api/projects/{project}/links", tag = "links", security(("session" = ["owner"])),
    responses((status = 200, body = Page<Link>)))]
async fn list(
    State(server): State<App>,
    Params(project): Params<Uuid>,
) -> Result<Json<Page<Link>>, ApiError> {
    Ok(Json(Page { items: server.store.links(project).await?, next: None }))
}

/// Makes a link. Its secret is told this once.
#[utoipa::path(post, path = "/api/projects/{project}/links", tag = "links", security(("session" = ["owner"])),
    request_body = NewLink, responses((status = 201, body = CreatedLink)))]
async fn create(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(mut new): Body<NewLink>,
) -> Result<(StatusCode, Json<CreatedLink>), ApiError> {
    if !matches!(new.access, Access::Viewer | Access::Player | Access::Editor) {
        return Err(ApiError::refused("a link grants the access of a viewer, a player or an editor"));
    }
    if new.expires.is_some_and(|expires| expires <= now()) {
        return Err(ApiError::refused(
            "`expires` is in the past; give milliseconds since 1970, or leave it out",
        ));
    }
    new.label = line("label", &new.label, 0, 200)?;
    let secret = secret()?;
    let link = server.store.create_link(project, &new, &secret).await?;
    Ok((StatusCode::CREATED, Json(CreatedLink { link, secret })))
}

/// Revokes a link: from now on it grants nothing, and open streams of events end.
#[utoipa::path(delete, path = "/api/projects/{project}/links/{link}", tag = "links",
    security(("session" = ["owner"])), responses((status = 204, description = "It grants nothing any more")))]
async fn delete(
    State(server): State<App>,
    Params((project, link)): Params<(Uuid, Uuid)>,
) -> Result<StatusCode, ApiError> {
    server.store.delete_link(project, link).await?;
    server.queue.access_changed();
    Ok(StatusCode::NO_CONTENT)
}
