//! Whether a worker still says something: nobody tells the page of one that cannot start, or has been ended.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::browser;

/// How long a worker may take until it says its first word, in milliseconds. What has no WebAssembly as it needs it says none.
const START: f64 = 15_000.0;
/// How long it may say nothing after that.
const SILENCE: f64 = 60_000.0;
/// How often it is looked, in milliseconds.
const BEAT: u32 = 1000;

/// What is known of the worker in a place that has one at a time.
#[derive(Clone, Copy)]
pub(crate) struct Silence {
    /// Counts workers.
    number: StoredValue<u32>,
    /// When it said something last, or nothing was expected of it.
    since: StoredValue<f64>,
    /// Whether it has said anything.
    spoken: StoredValue<bool>,
}

impl Silence {
    pub(crate) fn new() -> Self {
        Self { number: StoredValue::new(0), since: StoredValue::new(0.0), spoken: StoredValue::new(false) }
    }

    /// The worker has said something.
    pub(crate) fn broken(self) {
        self.since.try_set_value(browser::ticks());
        self.spoken.try_set_value(true);
    }

    /// Watches a new worker in the place of the one before. Where it says nothing for too long although it `owes` an answer, `fell`
    /// is told whether it ever said anything.
    pub(crate) fn watch(self, owes: impl Fn() -> bool + 'static, fell: impl Fn(bool) + 'static) {
        self.number.update_value(|number| *number += 1);
        self.since.set_value(browser::ticks());
        self.spoken.set_value(false);
        let number = self.number.get_value();
        spawn_local(async move {
            loop {
                TimeoutFuture::new(BEAT).await;
                // The page may be gone, or may have another worker.
                if self.number.try_get_value() != Some(number) {
                    return;
                }
                let (now, spoken) = (browser::ticks(), self.spoken.get_value());
                let patience = if spoken { SILENCE } else { START };
                if browser::document().hidden() || !owes() {
                    self.since.set_value(now);
                } else if now - self.since.get_value() > patience {
                    self.since.set_value(now);
                    fell(spoken);
                }
            }
        });
    }
}
