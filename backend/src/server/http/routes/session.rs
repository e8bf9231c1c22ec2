//! Signing in and out.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mudi_domain::api::{NewPassword, NewSession, Session};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::server::http::App;
use crate::server::http::extract::Body;
use crate::server::http::gate::{COOKIE, Caller};
use crate::server::http::problem::ApiError;
use crate::server::http::secrets::{hash_password, password_is, secret};
use crate::server::store::now;

/// How long a session lasts, in seconds.
const LASTS: i64 = 30 * 24 * 3600;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, open, close)).routes(routes!(set_password))
}

/// What whoever asks may do.
#[utoipa::path(get, path = "/api/session", tag = "session", security(("session" = ["nobody"])),
    responses((status = 200, body = Session)))]
async fn read(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Session>, ApiError> {
    Ok(Json(Session {
        access: caller.highest(),
        local: caller.local,
        password_set: server.store.password().await?.is_some(),
        owner_on_machine: !server.settings.proxy,
        public_url: server.settings.public_url.clone(),
        toys_only: server.toys_only,
        projects: caller.grants.projects,
    }))
}

/// Signs in with the owner's password or a link's secret. A session may hold several links; the owner's stays as it is.
#[utoipa::path(post, path = "/api/session", tag = "session", security(("session" = ["nobody"])),
    request_body = NewSession, responses((status = 204, description = "The cookie is set, where one is needed")))]
async fn open(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewSession>,
) -> Result<Response, ApiError> {
    let too_often =
        || ApiError::too_often("too many attempts to sign in; wait a minute").with(header::RETRY_AFTER, 60);
    let may_guess = || server.guard.allows_guess(caller.address).then_some(()).ok_or_else(too_often);
    let link = match new {
        NewSession::Password(password) => {
            may_guess()?;
            let hash = server.store.password().await?;
            let permit = server.guard.trial().await?;
            let right = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                password_is(&password, hash.as_deref())
            });
            if !right.await? {
                return Err(ApiError::wrong_secret(
                    "the password is wrong, or the owner has not set one yet",
                ));
            }
            None
        }
        NewSession::Link(secret) => {
            if !server.guard.allows_link(caller.address) {
                return Err(too_often());
            }
            let Some(link) = server.store.link_of(&secret).await? else {
                may_guess()?;
                return Err(ApiError::wrong_secret(
                    "the link is wrong, was revoked or has expired; ask the owner for another",
                ));
            };
            Some(link)
        }
    };
    // Whoever is the owner may do all that a link allows, and stays the owner.
    if link.is_some() && caller.grants.owner {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // A link is added to the links that are held; a password begins anew, so that no earlier token becomes the owner's.
    let known = caller.token.filter(|_| link.is_some() && !caller.grants.projects.is_empty());
    let token = known.map_or_else(secret, Ok)?;
    server.store.open_session(&token, link.is_none(), link, now() + LASTS * 1000).await?;
    Ok((StatusCode::NO_CONTENT, cookie(&server, &token, LASTS)?).into_response())
}

/// Signs out.
#[utoipa::path(delete, path = "/api/session", tag = "session", security(("session" = ["nobody"])),
    responses((status = 204, description = "The session has ended")))]
async fn close(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    if let Some(token) = &caller.token {
        server.store.close_session(token).await?;
        server.queue.access_changed();
    }
    Ok((StatusCode::NO_CONTENT, cookie(&server, "", 0)?).into_response())
}

/// Sets the owner's password, and ends all sessions of the owner. A password file sets another one when its content has changed.
#[utoipa::path(put, path = "/api/session/password", tag = "session", security(("session" = ["owner"])),
    request_body = NewPassword, responses((status = 204, description = "The password is set")))]
async fn set_password(
    State(server): State<App>,
    Body(new): Body<NewPassword>,
) -> Result<StatusCode, ApiError> {
    let hash = tokio::task::spawn_blocking(move || hash_password(&new.password)).await?;
    let hash = hash.map_err(|fault| ApiError::refused(format!("the password: {fault}")))?;
    server.store.set_password(&hash, false).await?;
    server.queue.access_changed();
    Ok(StatusCode::NO_CONTENT)
}

fn cookie(server: &App, token: &str, seconds: i64) -> Result<HeaderMap, ApiError> {
    let secure = if server.settings.secure() { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let value = HeaderValue::from_str(&text).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(HeaderMap::from_iter([(header::SET_COOKIE, value)]))
}
