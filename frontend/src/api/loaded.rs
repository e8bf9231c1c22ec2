//! What a page shows of an answer: nothing yet, a fault, or the value; and again when the server is back.

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::{Answer, ApiError, Connection};

/// An answer that can be asked for again.
pub(crate) struct Loaded<T: Send + Sync + 'static> {
    answer: RwSignal<Option<Answer<T>>>,
    again: RwSignal<u32>,
}

impl<T: Send + Sync + 'static> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Loaded<T> {}

impl<T: Clone + Send + Sync + 'static> Loaded<T> {
    /// Asks, and asks again whenever a signal that `ask` reads changes, or the server comes back.
    pub(crate) fn new<F: Future<Output = Answer<T>> + 'static>(ask: impl Fn() -> F + 'static) -> Self {
        let loaded = Self { answer: RwSignal::new(None), again: RwSignal::new(0) };
        let connection = expect_context::<Connection>();
        let asked = StoredValue::new(0_u32);
        Effect::new(move |_| {
            loaded.again.track();
            connection.returned.track();
            let number = asked.get_value() + 1;
            asked.set_value(number);
            let answer = ask();
            spawn_local(async move {
                let answer = answer.await;
                // The page may be gone, or may have asked for something else meanwhile.
                if asked.try_get_value() == Some(number) {
                    loaded.settle(answer);
                }
            });
        });
        loaded
    }

    fn settle(self, answer: Answer<T>) {
        let known = self.answer.try_with_untracked(|known| matches!(known, Some(Ok(_))));
        // What was there is better than nothing while the server does not answer; the banner says so.
        if known == Some(true) && matches!(answer, Err(ApiError::Offline)) {
            return;
        }
        self.answer.try_set(Some(answer));
    }

    /// Asks again; until the answer comes the last one stays.
    pub(crate) fn reload(self) {
        self.again.try_update(|times| *times += 1);
    }

    /// The answer, if it has come.
    pub(crate) fn answer(self) -> Option<Answer<T>> {
        self.answer.get()
    }

    /// The value, if it has come.
    pub(crate) fn value(self) -> Option<T> {
        self.answer.with(|answer| answer.as_ref().and_then(|answer| answer.as_ref().ok().cloned()))
    }

    /// The same, where its changes are nothing to react to.
    pub(crate) fn value_now(self) -> Option<T> {
        self.answer.with_untracked(|answer| answer.as_ref().and_then(|answer| answer.as_ref().ok().cloned()))
    }

    /// Puts `value` in the place of what is known, where the page knows it without asking.
    pub(crate) fn set(self, value: T) {
        self.answer.set(Some(Ok(value)));
    }
}
