//! The routes, by what they are about.

mod checks;
mod datasets;
mod documents;
mod events;
mod images;
mod jobs;
mod links;
mod masks;
mod photos;
mod preview;
mod projects;
mod runs;
mod segmenter;
mod session;
mod subjects;
mod system;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::App;
use super::extract::etag;

/// What every answer to an error is made of.
#[derive(OpenApi)]
#[openapi(components(schemas(mudi_domain::api::Problem, mudi_domain::api::JobEvent)))]
struct Shared;

/// All routes.
pub(super) fn all() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Shared::openapi())
        .merge(system::routes())
        .merge(session::routes())
        .merge(projects::routes())
        .merge(links::routes())
        .merge(subjects::routes())
        .merge(photos::routes())
        .merge(masks::routes())
        .merge(segmenter::routes())
        .merge(datasets::routes())
        .merge(documents::routes())
        .merge(runs::routes())
        .merge(preview::routes())
        .merge(images::routes())
        .merge(jobs::routes())
        .merge(events::routes())
}

/// JSON with the `ETag` of its version.
fn tagged<T: serde::Serialize>(version: i64, value: T) -> Response {
    let mut response = Json(value).into_response();
    if let Some(tag) = etag(version) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
