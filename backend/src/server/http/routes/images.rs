//! Generated images.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use mudi_domain::api::{Image, Job, JobKind, JobState, LayoutChoice, NewEvaluation, NewImages, Page};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::checks;
use crate::server::http::App;
use crate::server::http::extract::{Body, Params, Search, list_range};
use crate::server::http::files::file;
use crate::server::http::openapi::Octets;
use crate::server::http::problem::ApiError;
use crate::server::http::wishes;
use crate::server::jobs::bases;
use crate::server::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, delete))
        .routes(routes!(picture))
        .routes(routes!(thumbnail))
        .routes(routes!(canvas))
        .routes(routes!(evaluate))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ImagesQuery {
    /// Only the images of this job.
    job: Option<Uuid>,
    /// Whether the newest come first.
    #[serde(default)]
    newest: bool,
    /// `next` of the part before, which was asked for in the same order.
    after: Option<Uuid>,
    /// The most items, 1 to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The images of a project, oldest first, or newest first.
#[utoipa::path(get, path = "/api/projects/{project}/images", tag = "images", security(("session" = ["viewer"])),
    params(ImagesQuery), responses((status = 200, body = Page<Image>)))]
async fn list(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Search(query): Search<ImagesQuery>,
) -> Result<Json<Page<Image>>, ApiError> {
    let range = list_range(query.after, query.limit)?;
    Ok(Json(server.store.images(project, query.job, query.newest, range).await?))
}

/// Makes images: a job that waits for its turn.
#[utoipa::path(post, path = "/api/projects/{project}/images", tag = "images", security(("session" = ["editor"])),
    request_body = NewImages, responses((status = 202, body = Job)))]
async fn create(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(new): Body<NewImages>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    wishes::images(&new)?;
    wishes::spacing(&new)?;
    match (new.run, &new.base) {
        (Some(run), None) => {
            let data = server.store.run_data(project, run).await?;
            if data.run.state != JobState::Done {
                return Err(ApiError::conflict(format!(
                    "the run is {}; wait until it is done",
                    data.run.state.word()
                )));
            }
            bases::find(&server.settings.models, &data.run.base).map_err(|fault| {
                ApiError::refused(format!("the base model that the run was trained on is gone: {fault}"))
            })?;
            match &new.layout {
                LayoutChoice::None => {}
                LayoutChoice::Random => checks::random_layout(&data.run, &new.prompt)?,
                LayoutChoice::Fixed(layout) => checks::layout(&data, layout)?,
            }
        }
        (None, Some(base)) => {
            bases::find(&server.settings.models, base).map_err(ApiError::refused)?;
            if new.layout != LayoutChoice::None {
                return Err(ApiError::refused(
                    "a layout needs a run: its subjects are what the layout places",
                ));
            }
        }
        _ => return Err(ApiError::refused("name either a run or a base model")),
    }
    let request = serde_json::to_string(&new).map_err(|error| ApiError::internal(error.to_string()))?;
    let job = server.store.create_job(project, JobKind::Generate, new.run, &request).await?;
    server.queue.wake();
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Judges images of one run by Detect-and-Compare: a job that waits for its turn. Images that have a score keep it.
#[utoipa::path(post, path = "/api/projects/{project}/evaluations", tag = "images",
    security(("session" = ["editor"])), request_body = NewEvaluation, responses((status = 202, body = Job)))]
async fn evaluate(
    State(server): State<App>,
    Params(project): Params<Uuid>,
    Body(new): Body<NewEvaluation>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    if !(1..=500).contains(&new.images.len()) {
        return Err(ApiError::refused(format!("`images` names {}; name 1 to 500", new.images.len())));
    }
    let mut runs = BTreeSet::new();
    for &id in &new.images {
        runs.insert(server.store.image(project, id).await?.run);
    }
    if runs.contains(&None) {
        return Err(ApiError::refused(
            "an image is of no run: it was made by a base model alone, or its run was deleted; images are compared with the photos of the run \
             that made them",
        ));
    }
    let [Some(run)] = runs.into_iter().collect::<Vec<_>>()[..] else {
        return Err(ApiError::refused(
            "the images are not of one run; images are compared with the photos of the run that made them",
        ));
    };
    let request = serde_json::to_string(&new).map_err(|error| ApiError::internal(error.to_string()))?;
    let job = server.store.create_job(project, JobKind::Evaluate, Some(run), &request).await?;
    server.queue.wake();
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// An image.
#[utoipa::path(get, path = "/api/projects/{project}/images/{image}", tag = "images",
    security(("session" = ["viewer"])), responses((status = 200, body = Image)))]
async fn read(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<Json<Image>, ApiError> {
    Ok(Json(server.store.image(project, id).await?))
}

/// Deletes an image.
#[utoipa::path(delete, path = "/api/projects/{project}/images/{image}", tag = "images",
    security(("session" = ["editor"])), responses((status = 204, description = "It is gone")))]
async fn delete(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
) -> Result<StatusCode, ApiError> {
    server.store.delete_image(project, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The image itself, with what it was made with in its metadata.
#[utoipa::path(get, path = "/api/projects/{project}/images/{image}/picture", tag = "images",
    security(("session" = ["viewer"])),
    responses((status = 200, body = Octets, content_type = "image/png"), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn picture(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.image_file(project, id).await?;
    file(&server, project, &files.file, &headers).await
}

/// The image, with a longer side of 384 pixels.
#[utoipa::path(get, path = "/api/projects/{project}/images/{image}/thumbnail", tag = "images",
    security(("session" = ["viewer"])), 
    responses((status = 200, body = Octets, content_type = "image/jpeg"), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn thumbnail(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.image_file(project, id).await?;
    file(&server, project, &files.thumbnail, &headers).await
}

/// The layout's canvas that the image started from.
#[utoipa::path(get, path = "/api/projects/{project}/images/{image}/canvas", tag = "images",
    security(("session" = ["viewer"])), 
    responses((status = 200, body = Octets, content_type = "image/png"), (status = 206, description = "A range"),
        (status = 304, description = "The browser has it")))]
async fn canvas(
    State(server): State<App>,
    Params((project, id)): Params<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let files = server.store.image_file(project, id).await?;
    let canvas = files.canvas.ok_or(StoreError::Missing("canvas"))?;
    file(&server, project, &canvas, &headers).await
}
