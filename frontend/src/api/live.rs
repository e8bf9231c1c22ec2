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
use crate::answers::{Next, waits};

/// How long the page waits before it listens anew, in milliseconds.
const AGAIN: u32 = 1500;
/// How long it waits before it asks again what has become of a job that waits, in milliseconds.
const WAITING: u32 = 2000;
/// How often in a row a stream is looked at whose job waits, before it is left.
const CALM: u32 = 3;

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

/// Tells `heard` each event of a job, from the first on, and `found` what has become of it whenever that was asked. While it waits
/// it is asked now and then: browsers hold six connections to a server, and as many streams would leave none.
pub(crate) fn listen(
    project: Uuid,
    job: Uuid,
    heard: impl Fn(JobEvent) + Clone + 'static,
    found: impl Fn(Job) + 'static,
) -> Listening {
    let alive = StoredValue::new(true);
    let last = StoredValue::new(0_i64);
    spawn_local(async move {
        let mut listened = false;
        while alive.try_get_value() == Some(true) {
            let answer = get::<Job>(&of(project, &format!("jobs/{job}"))).await;
            let next = Next::after(&answer, listened);
            let pause = match (next, answer) {
                (Next::Tell, Ok(now)) => {
                    // The page may have gone while this was asked.
                    if alive.try_get_value() == Some(true) {
                        heard(JobEvent::State { state: now.state, fault: now.fault });
                    }
                    return;
                }
                (Next::Wait, Ok(now)) => {
                    found(now);
                    WAITING
                }
                (Next::Listen | Next::ListenAgain, _) => {
                    if next == Next::ListenAgain {
                        TimeoutFuture::new(AGAIN).await;
                    }
                    stream(project, job, alive, last, heard.clone()).await;
                    listened = true;
                    0
                }
                (Next::Leave, _) => return,
                _ => AGAIN,
            };
            TimeoutFuture::new(pause).await;
        }
    });
    Listening { alive }
}

/// One stream of events, until the browser gives it up or the job waits.
async fn stream(
    project: Uuid,
    job: Uuid,
    alive: StoredValue<bool>,
    last: StoredValue<i64>,
    heard: impl Fn(JobEvent) + 'static,
) {
    let after = last.try_get_value().unwrap_or_default();
    let halted = StoredValue::new(false);
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
            if let JobEvent::State { state, .. } = event {
                halted.try_set_value(waits(state));
            }
            heard(event);
        }
    });
    let broken = Closure::<dyn Fn()>::new(Connection::doubt);
    source.set_onmessage(Some(message.as_ref().unchecked_ref()));
    source.set_onerror(Some(broken.as_ref().unchecked_ref()));
    let mut calm = 0;
    while alive.try_get_value() == Some(true) && source.ready_state() != EventSource::CLOSED && calm < CALM {
        TimeoutFuture::new(300).await;
        // Of a job that was resumed earlier events say that it waits; the next ones come at once.
        calm = if halted.try_get_value() == Some(true) { calm + 1 } else { 0 };
    }
    source.close();
}
