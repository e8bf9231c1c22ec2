//! What happens to a job, as it happens.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Job, JobEvent};
use uuid::Uuid;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{EventSource, MessageEvent};

use super::{Connection, get, of};

/// How long the page waits before it listens anew, in milliseconds.
const AGAIN: u32 = 1500;

/// Listens to the events of a job until it is over or this is dropped. A connection that breaks goes on behind the last event
/// that came: the browser says which one that was, and where it gives up, this does.
pub(crate) struct Listening {
    alive: StoredValue<bool>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.alive.try_set_value(false);
    }
}

/// Tells `heard` each event of a job, from the first on.
pub(crate) fn listen(project: Uuid, job: Uuid, heard: impl Fn(JobEvent) + Clone + 'static) -> Listening {
    let alive = StoredValue::new(true);
    let last = StoredValue::new(0_i64);
    spawn_local(async move {
        while alive.try_get_value() == Some(true) {
            stream(project, job, alive, last, heard.clone()).await;
            // The stream has ended: because the job has, or because something broke.
            match get::<Job>(&of(project, &format!("jobs/{job}"))).await {
                Ok(found) if found.state.is_over() => {
                    heard(JobEvent::State { state: found.state, fault: found.fault });
                    return;
                }
                Err(super::ApiError::Problem(_)) => return,
                _ => TimeoutFuture::new(AGAIN).await,
            }
        }
    });
    Listening { alive }
}

/// One stream of events, until the browser gives it up.
async fn stream(
    project: Uuid,
    job: Uuid,
    alive: StoredValue<bool>,
    last: StoredValue<i64>,
    heard: impl Fn(JobEvent) + 'static,
) {
    let after = last.try_get_value().unwrap_or_default();
    let Ok(source) = EventSource::new(&of(project, &format!("jobs/{job}/events?after={after}"))) else {
        return;
    };
    let message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        if alive.try_get_value() != Some(true) {
            return;
        }
        if let Ok(id) = event.last_event_id().parse() {
            last.try_set_value(id);
        }
        let data = event.data().as_string().unwrap_or_default();
        // An event of another version of the server is none that this page can show.
        if let Ok(event) = serde_json::from_str(&data) {
            heard(event);
        }
    });
    let broken = Closure::<dyn Fn()>::new(Connection::doubt);
    source.set_onmessage(Some(message.as_ref().unchecked_ref()));
    source.set_onerror(Some(broken.as_ref().unchecked_ref()));
    while alive.try_get_value() == Some(true) && source.ready_state() != EventSource::CLOSED {
        TimeoutFuture::new(300).await;
    }
    source.close();
}
