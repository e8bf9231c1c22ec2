//! Saved recipes and layouts: the same routes for both.

use utoipa_axum::router::OpenApiRouter;

use crate::server::http::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(recipes::routes()).merge(layouts::routes())
}

macro_rules! documents {
    ($module:ident, $tag:literal, $value:ty, $all:literal, $one:literal) => {
        #[doc = concat!("Saved ", $tag, ".")]
        mod $module {
            use axum::Json;
            use axum::extract::State;
            use axum::http::{HeaderMap, StatusCode};
            use axum::response::{IntoResponse, Response};
            use mudi_domain::api::{NewStored, Page, Stored};
            use utoipa_axum::router::OpenApiRouter;
            use utoipa_axum::routes;
            use uuid::Uuid;

            use super::super::tagged;
            use crate::server::http::App;
            use crate::server::http::extract::{Body, IfMatch, ListQuery, Params, Search, name, version};
            use crate::server::http::problem::ApiError;
            use crate::server::store::Document;

            pub(super) fn routes() -> OpenApiRouter<App> {
                OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, delete))
            }

            /// Those of a project, oldest first.
            #[utoipa::path(get, path = $all, tag = $tag, operation_id = concat!("list_", $tag),
                security(("session" = ["viewer"])), params(ListQuery),
                responses((status = 200, body = Page<Stored<$value>>)))]
            async fn list(
                State(server): State<App>,
                Params(project): Params<Uuid>,
                Search(query): Search<ListQuery>,
            ) -> Result<Json<Page<Stored<$value>>>, ApiError> {
                Ok(Json(server.store.documents(project, query.range()?).await?))
            }

            /// Saves one.
            #[utoipa::path(post, path = $all, tag = $tag, operation_id = concat!("create_", $tag),
                security(("session" = ["editor"])), request_body = NewStored<$value>,
                responses((status = 201, body = Stored<$value>)))]
            async fn create(
                State(server): State<App>,
                Params(project): Params<Uuid>,
                Body(new): Body<NewStored<$value>>,
            ) -> Result<Response, ApiError> {
                let stored = server.store.create_document(project, &checked(new)?).await?;
                Ok((StatusCode::CREATED, tagged(stored.version, stored)).into_response())
            }

            /// One of them.
            #[utoipa::path(get, path = $one, tag = $tag, operation_id = concat!("read_", $tag),
                security(("session" = ["viewer"])), responses((status = 200, body = Stored<$value>)))]
            async fn read(
                State(server): State<App>,
                Params((project, id)): Params<(Uuid, Uuid)>,
            ) -> Result<Response, ApiError> {
                let stored: Stored<$value> = server.store.document(project, id).await?;
                Ok(tagged(stored.version, stored))
            }

            /// Puts another in its place. With `If-Match` only if it is still the version that was read.
            #[utoipa::path(put, path = $one, tag = $tag, operation_id = concat!("replace_", $tag),
                security(("session" = ["editor"])), params(IfMatch), request_body = NewStored<$value>,
                responses((status = 200, body = Stored<$value>)))]
            async fn replace(
                State(server): State<App>,
                Params((project, id)): Params<(Uuid, Uuid)>,
                headers: HeaderMap,
                Body(new): Body<NewStored<$value>>,
            ) -> Result<Response, ApiError> {
                let version = version(&headers)?;
                let stored = server.store.replace_document(project, id, version, &checked(new)?).await?;
                Ok(tagged(stored.version, stored))
            }

            /// Deletes one.
            #[utoipa::path(delete, path = $one, tag = $tag, operation_id = concat!("delete_", $tag),
                security(("session" = ["editor"])), responses((status = 204, description = "It is gone")))]
            async fn delete(
                State(server): State<App>,
                Params((project, id)): Params<(Uuid, Uuid)>,
            ) -> Result<StatusCode, ApiError> {
                server.store.delete_document::<$value>(project, id).await?;
                Ok(StatusCode::NO_CONTENT)
            }

            fn checked(new: NewStored<$value>) -> Result<NewStored<$value>, ApiError> {
                new.value.check().map_err(ApiError::refused)?;
                Ok(NewStored { name: name(&new.name)?, value: new.value })
            }
        }
    };
}

documents!(
    recipes,
    "recipes",
    mudi_domain::recipe::Recipe,
    "/api/projects/{project}/recipes",
    "/api/projects/{project}/recipes/{recipe}"
);
documents!(
    layouts,
    "layouts",
    mudi_domain::layout::Layout,
    "/api/projects/{project}/layouts",
    "/api/projects/{project}/layouts/{layout}"
);
