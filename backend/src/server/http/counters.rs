//! Numbers for Prometheus.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::App;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabel {
    state: String,
}

/// What is counted.
pub(crate) struct Counters {
    registry: Registry,
    requests: Family<Asked, Counter>,
    seconds: Histogram,
    jobs: Family<JobLabel, Gauge>,
    steps: Counter,
    listeners: Gauge,
}

impl Counters {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("mudi");
        let requests = Family::default();
        registry.register("requests", "Requests by method, route and status", requests.clone());
        let bounds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
        let seconds = Histogram::new(bounds);
        registry.register("request_seconds", "Time until an answer begins", seconds.clone());
        let jobs = Family::default();
        registry.register("jobs", "Jobs by state", jobs.clone());
        let steps = Counter::default();
        registry.register("steps", "Steps that the worker has made", steps.clone());
        let listeners = Gauge::default();
        registry.register("listeners", "Open streams of events", listeners.clone());
        Self { registry, requests, seconds, jobs, steps, listeners }
    }

    /// Counts a step of the worker.
    pub(crate) fn step(&self) {
        self.steps.inc();
    }

    /// The number of open streams of events.
    pub(super) fn listeners(&self) -> &Gauge {
        &self.listeners
    }

    /// Everything, as Prometheus reads it; `jobs` are the numbers of jobs by state.
    pub(super) fn text(&self, jobs: Vec<(String, i64)>) -> Result<String, std::fmt::Error> {
        self.jobs.clear();
        for (state, count) in jobs {
            self.jobs.get_or_create(&JobLabel { state }).set(count);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn answered(&self, method: &'static str, path: String, status: u16, time: Duration) {
        self.requests.get_or_create(&Asked { method, path, status }).inc();
        self.seconds.observe(time.as_secs_f64());
    }
}

/// The method as a label. Those that a client makes up share one: each label stays in memory for good.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

/// Counts a request and logs it: by its route, so that no id and no secret gets into a log.
pub(super) async fn count(
    State(server): State<App>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begin = std::time::Instant::now();
    let method = word(request.method());
    let path = matched.map_or_else(|| "other".to_owned(), |matched| matched.as_str().to_owned());
    let response = next.run(request).await;
    let (status, time) = (response.status().as_u16(), begin.elapsed());
    tracing::debug!(method, path, status, milliseconds = time.as_secs_f64() * 1e3, "answered");
    server.counters.answered(method, path, status, time);
    response
}
