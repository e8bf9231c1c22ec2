//! Whether a worker still says something: nobody tells the page of one that cannot start, or has been ended.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::browser;

/// How often it is looked, in milliseconds.
const BEAT: u32 = 1000;
/// How often a worker may be found to have said nothing yet. What has no WebAssembly as it needs it says nothing. Looks are counted and not
/// time: while a browser or a machine sleeps nobody looks, and no worker can say anything.
const START: u32 = 15;
/// How often it may be found to say nothing after that.
const SILENCE: u32 = 60;

/// What is known of the worker in a place that has one at a time.
#[derive(Clone, Copy)]
pub(crate) struct Silence {
    /// Counts workers.
    number: StoredValue<u32>,
    /// How often it was looked since it said something last, or nothing was expected of it.
    looks: StoredValue<u32>,
    /// Whether it has said anything.
    spoken: StoredValue<bool>,
}

impl Silence {
    pub(crate) fn new() -> Self {
        Self { number: StoredValue::new(0), looks: StoredValue::new(0), spoken: StoredValue::new(false) }
    }

    /// The worker has said something.
    pub(crate) fn broken(self) {
        self.looks.try_set_value(0);
        self.spoken.try_set_value(true);
    }

    /// Watches a new worker in the place of the one before. Where it says nothing for too long although it `owes` an answer, `fell`
    /// is told whether it ever said anything.
    pub(crate) fn watch(self, owes: impl Fn() -> bool + 'static, fell: impl Fn(bool) + 'static) {
        self.number.update_value(|number| *number += 1);
        self.looks.set_value(0);
        self.spoken.set_value(false);
        let number = self.number.get_value();
        spawn_local(async move {
            loop {
                TimeoutFuture::new(BEAT).await;
                // The page may be gone, or may have another worker.
                if self.number.try_get_value() != Some(number) {
                    return;
                }
                let spoken = self.spoken.get_value();
                let mut looks = self.looks.get_value() + 1;
                if browser::document().hidden() || !owes() {
                    looks = 0;
                } else if looks > if spoken { SILENCE } else { START } {
                    looks = 0;
                    fell(spoken);
                }
                self.looks.set_value(looks);
            }
        });
    }
}
