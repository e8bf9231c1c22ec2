//! What happens to a job, as server-sent events.
//!
//! A listener reads the rows behind the last event that it has, then follows the messages. One that falls behind reads
//! rows again, so that each listener costs the same few of them, however slow it is; one that takes nothing is dropped
//! by [`listener`](crate::server::http::listener), and goes on with `Last-Event-ID`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use mudi_domain::api::{Access, JobEvent};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::server::http::App;
use crate::server::http::extract::{Params, Search};
use crate::server::http::gate::Caller;
use crate::server::http::problem::ApiError;
use crate::server::jobs::Message;
use crate::server::store::{EventRow, now};

/// Rows that a listener reads at once.
const ROWS: u32 = 64;
/// How often a quiet stream says that it is there.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(listen))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Only events after this one; the header `Last-Event-ID` comes before it.
    #[serde(default)]
    after: i64,
}

/// The header of [`listen`].
#[derive(utoipa::IntoParams)]
#[into_params(names("Last-Event-ID"), parameter_in = Header)]
#[expect(dead_code, reason = "it is there for the description; the header is read where it is needed")]
struct LastEventId(
    /// The `id` of an event: only those after it, as browsers ask that go on listening. What is no such id is not heeded.
    Option<String>,
);

/// One of the events that are sent, in the format of server-sent events.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it is there for the description")]
struct StreamedEvent {
    /// Its number, for `Last-Event-ID`.
    id: String,
    /// A `JobEvent` as JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// The events of a job, from the first on, or from behind `Last-Event-ID`: each one's data is a `JobEvent`. The stream
/// ends with the job. Where nothing more will come the answer is 204, by which a browser stops asking.
#[utoipa::path(get, path = "/api/projects/{project}/jobs/{job}/events", tag = "jobs",
    security(("session" = ["viewer"])), params(EventsQuery, LastEventId),
    responses((status = 200, body = StreamedEvent, content_type = "text/event-stream"),
        (status = 204, description = "The job is over, and all its events are known")))]
async fn listen(
    State(server): State<App>,
    Extension(caller): Extension<Caller>,
    Params((project, job)): Params<(Uuid, Uuid)>,
    Search(query): Search<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let after = last.unwrap_or(query.after);
    // First the ear, then the rows: what happens in between is heard.
    let messages = server.queue.listen();
    let over = server.store.job(project, job).await?.state.is_over();
    let backlog: VecDeque<EventRow> = server.store.events(job, after, ROWS).await?.into();
    if over && backlog.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    server.counters.listeners().inc();
    let listener = Listener {
        behind: backlog.len() == ROWS as usize,
        access: server.queue.access(),
        stopped: server.queue.stopped(),
        server,
        caller,
        project,
        job,
        after,
        backlog,
        messages,
        over,
        ended: false,
    };
    let events = stream::unfold(listener, async |mut listener| Some((listener.next().await?, listener)));
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE));
    // nginx holds back what it passes on, unless it is told not to.
    Ok(([("x-accel-buffering", "no")], events).into_response())
}

struct Listener {
    server: App,
    caller: Caller,
    project: Uuid,
    job: Uuid,
    /// The last event that was sent.
    after: i64,
    backlog: VecDeque<EventRow>,
    /// Whether there may be more rows behind the backlog.
    behind: bool,
    messages: broadcast::Receiver<Arc<Message>>,
    /// Changes when somebody's access may have ended, or there may be nothing to hear of any more.
    access: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    /// Whether nothing comes behind the rows.
    over: bool,
    /// Whether the last event that was sent is a job's end.
    ended: bool,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.server.counters.listeners().dec();
    }
}

impl Listener {
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        loop {
            if self.access.has_changed().unwrap_or(false) && !self.still_allowed().await {
                return None;
            }
            if self.caller.grants.until.is_some_and(|until| until <= now()) {
                return None;
            }
            if let Some(row) = self.backlog.pop_front() {
                if row.id <= self.after {
                    continue;
                }
                self.after = row.id;
                self.ended = ends(&row.data);
                return Some(Ok(Event::default().id(row.id.to_string()).data(row.data)));
            }
            if self.behind {
                let rows = self.server.store.events(self.job, self.after, ROWS).await.ok()?;
                self.behind = rows.len() == ROWS as usize;
                self.backlog = rows.into();
                continue;
            }
            if self.over || self.ended {
                return None;
            }
            self.hear().await?;
        }
    }

    /// Waits for a message, or for a change of access; none where the stream shall end.
    async fn hear(&mut self) -> Option<()> {
        let left = self.caller.grants.until.map_or(i64::from(u32::MAX), |until| until - now());
        let left = Duration::from_millis(left.unsigned_abs());
        tokio::select! {
            message = self.messages.recv() => match message {
                Ok(message) if message.job == self.job => self.backlog.push_back(message.row.clone()),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            },
            _ = self.stopped.wait_for(|stop| *stop) => return None,
            // The loop asks again what the session grants.
            changed = self.access.changed() => {
                changed.ok()?;
                self.access.mark_changed();
            }
            () = tokio::time::sleep(left) => return None,
        }
        Some(())
    }

    /// Asks again what the session grants, and whether the job is still there.
    async fn still_allowed(&mut self) -> bool {
        self.access.mark_unchanged();
        if !self.caller.local {
            let Some(token) = &self.caller.token else { return false };
            match self.server.store.grants(token).await {
                Ok(grants) => self.caller.grants = grants,
                Err(_) => return false,
            }
        }
        self.caller.access(self.project) >= Access::Viewer
            && self.server.store.job(self.project, self.job).await.is_ok()
    }
}

/// Whether an event is a job's last.
fn ends(data: &str) -> bool {
    matches!(serde_json::from_str(data), Ok(JobEvent::State { state, .. }) if state.is_over())
}
