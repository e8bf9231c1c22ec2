//! The time, for words that stay true while a page is open.

use gloo_timers::callback::Interval;
use leptos::prelude::*;

use crate::browser;
use crate::text;

/// How often it is read, in milliseconds.
const BEAT: u32 = 20_000;

/// The page's clock; there is one.
#[derive(Clone, Copy)]
pub(crate) struct Clock(RwSignal<()>);

impl Clock {
    /// It goes for as long as the page is open.
    pub(crate) fn provide() {
        let beat = RwSignal::new(());
        Interval::new(BEAT, move || {
            beat.try_set(());
        })
        .forget();
        provide_context(Self(beat));
    }

    /// Now, in milliseconds since 1970. What reads it is told as time passes.
    pub(crate) fn now(self) -> i64 {
        self.0.track();
        browser::now()
    }

    /// How long ago `time` was, in milliseconds since 1970. What reads it is told as time passes.
    pub(crate) fn ago(self, time: i64) -> String {
        text::ago(self.now() - time)
    }
}
