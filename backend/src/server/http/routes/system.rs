//! Health, metrics, and the API's description.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{Base, Page};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::server::http::App;
use crate::server::http::openapi;
use crate::server::http::problem::ApiError;
use crate::server::jobs::bases;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(metrics))
        .routes(routes!(describe))
        .routes(routes!(list_bases))
}

/// Whether the server works: its database answers.
#[utoipa::path(get, path = "/healthz", tag = "system", security(("session" = ["nobody"])),
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn healthz(State(server): State<App>) -> Result<&'static str, ApiError> {
    server.store.ping().await?;
    Ok("ok")
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system", security(("session" = ["owner"])),
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(server): State<App>) -> Result<Response, ApiError> {
    let jobs = server.store.job_counts().await?;
    let text = server.counters.text(jobs).map_err(|error| ApiError::internal(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// This description.
#[utoipa::path(get, path = "/api/openapi.json", tag = "system", security(("session" = ["nobody"])),
    responses((status = 200, body = Object)))]
async fn describe() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::TEXT.as_str())
}

/// The base models that runs can use.
#[utoipa::path(get, path = "/api/bases", tag = "runs", security(("session" = ["viewer"])),
    responses((status = 200, body = Page<Base>)))]
async fn list_bases(State(server): State<App>) -> Result<Json<Page<Base>>, ApiError> {
    let folder = server.settings.models.clone();
    let items = tokio::task::spawn_blocking(move || bases::all(&folder)).await?;
    Ok(Json(Page { items, next: None }))
}
