//! The browsable reference of the API: Swagger UI, whose files are in this program, over the API's description.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::App;
use super::problem::ApiError;

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // What is tried out changes real projects, so one has to ask for it.
    Arc::new(Config::from("/api/openapi.json").doc_expansion("none").filter(true).try_it_out_enabled(false))
});

/// Files that are the same for everybody: no access is needed.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/reference", get(async || Redirect::permanent("/api/reference/")))
        .route("/api/reference/", get(async || answer("index.html")))
        .route("/api/reference/{*file}", get(async |Path(file): Path<String>| answer(&file)))
}

fn answer(file: &str) -> Result<Response, ApiError> {
    let found = utoipa_swagger_ui::serve(file, CONFIG.clone())
        .map_err(|error| ApiError::internal(error.to_string()))?
        .ok_or_else(|| ApiError::missing("the reference has no such file; it begins at /api/reference/"))?;
    let kind =
        HeaderValue::from_str(&found.content_type).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, kind)], found.bytes).into_response())
}
