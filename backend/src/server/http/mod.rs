//! The HTTP API: routes below `/api`, what stands around them, and the page.

mod counters;
pub(crate) mod extract;
mod files;
mod gate;
mod guard;
mod headers;
mod listener;
pub(crate) mod openapi;
mod page;
pub(crate) mod problem;
mod reference;
mod routes;
mod secrets;
mod unread;
mod upload;
pub(crate) mod wishes;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
pub(crate) use counters::Counters;
pub(crate) use guard::Guard;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use listener::{PATIENCE, Patient, Peer};
use problem::ApiError;
pub(crate) use secrets::{hash_password, password_is};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;

use super::Server;

/// What handlers share.
pub(crate) type App = Arc<Server>;

/// The largest JSON body, in bytes.
const MAX_JSON: usize = 1 << 20;

/// Answers requests until `stopped` says so.
pub(crate) async fn serve(listener: TcpListener, server: App, mut stopped: watch::Receiver<bool>) {
    let (router, mut listener, open) = (router(server), Patient(listener), GracefulShutdown::new());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => accepted,
            // A sender that is gone means the same.
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = unread::taken(request);
            request.extensions_mut().insert(ConnectInfo(Peer(address)));
            router.clone().call(request)
        });
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection has broken off");
            }
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// Brings what changes something to its end, where whoever asked for it has gone, too: half a deletion or half an import would stay
/// until the next start.
async fn whole(request: Request<Body>, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => ApiError::from(error).into_response(),
        },
    }
}

fn router(server: App) -> Router {
    let (routes, _) = routes::all().split_for_parts();
    routes
        .method_not_allowed_fallback(async || ApiError::method("this route has other methods"))
        .route_layer(from_fn(files::parts_by_get))
        .route_layer(from_fn(whole))
        .route_layer(from_fn_with_state(server.clone(), gate::gate))
        .merge(reference::routes())
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            ApiError::internal("a handler has panicked").into_response()
        }))
        .layer(from_fn_with_state(server.clone(), counters::count))
        .layer(from_fn(headers::careful))
        .with_state(server)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use axum::routing::delete;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn what_has_begun_ends_without_whoever_asked_for_it() {
        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        let slow = async move || {
            sleep(Duration::from_millis(100)).await;
            seen.store(true, Ordering::SeqCst);
        };
        let mut router: Router = Router::new().route("/", delete(slow)).layer(from_fn(whole));
        let request = Request::delete("/").body(Body::empty()).unwrap();
        let asking = tokio::spawn(router.call(request));
        sleep(Duration::from_millis(20)).await;
        asking.abort();
        let ended = async {
            while !done.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), ended).await.unwrap();
    }
}
