//! What a page shows of an answer: nothing yet, a fault, or the value; and again when the server is back.

use futures_util::future::LocalBoxFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::{Answer, Connection};
use crate::answers::stays;

/// An answer that can be asked for again.
pub(crate) struct Loaded<T: Send + Sync + 'static> {
    answer: RwSignal<Option<Answer<T>>>,
    again: RwSignal<u32>,
}

/// What is done with an answer, once it is there. Nothing of its type is known, so that one copy of the code serves all types.
type Settling = LocalBoxFuture<'static, Box<dyn FnOnce()>>;

/// Calls `react` whenever the server comes back.
fn at_return(react: Box<dyn Fn()>) {
    let connection = expect_context::<Connection>();
    Effect::new(move |before: Option<u32>| {
        let times = connection.returned.get();
        if before.is_some_and(|before| before != times) {
            react();
        }
        times
    });
}

/// Asks, and asks again whenever `again` or a signal that `ask` reads changes.
fn ask_again(again: RwSignal<u32>, ask: Box<dyn Fn() -> Settling>) {
    let asked = StoredValue::new(0_u32);
    Effect::new(move |_| {
        again.track();
        let number = asked.get_value() + 1;
        asked.set_value(number);
        let answer = ask();
        spawn_local(async move {
            let settle = answer.await;
            // The page may be gone, or may have asked for something else meanwhile.
            if asked.try_get_value() == Some(number) {
                settle();
            }
        });
    });
}

impl<T: Send + Sync + 'static> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Loaded<T> {}

impl<T: Clone + PartialEq + Send + Sync + 'static> Loaded<T> {
    /// Asks, and asks again whenever a signal that `ask` reads changes, or the server comes back.
    pub(crate) fn new<F: Future<Output = Answer<T>> + 'static>(ask: impl Fn() -> F + 'static) -> Self {
        Self::asking(ask, |_| true)
    }

    /// The same of what is edited where it is shown: once it is there, the server's return does not exchange it.
    pub(crate) fn to_edit<F: Future<Output = Answer<T>> + 'static>(ask: impl Fn() -> F + 'static) -> Self {
        Self::asking(ask, |loaded| !loaded.is_known())
    }

    fn asking<F: Future<Output = Answer<T>> + 'static>(
        ask: impl Fn() -> F + 'static,
        on_return: impl Fn(Self) -> bool + 'static,
    ) -> Self {
        let loaded = Self { answer: RwSignal::new(None), again: RwSignal::new(0) };
        at_return(Box::new(move || {
            if on_return(loaded) {
                loaded.reload();
            }
        }));
        let ask = move || -> Settling {
            let answer = ask();
            Box::pin(async move {
                let answer = answer.await;
                Box::new(move || loaded.settle(answer)) as Box<dyn FnOnce()>
            })
        };
        ask_again(loaded.again, Box::new(ask));
        loaded
    }

    fn settle(self, answer: Answer<T>) {
        // With what is shown stays what is half written into it.
        if self.answer.try_with_untracked(|shown| stays(shown.as_ref(), &answer)) != Some(true) {
            self.answer.try_set(Some(answer));
        }
    }

    /// Whether there is a value.
    fn is_known(self) -> bool {
        self.answer.try_with_untracked(|known| matches!(known, Some(Ok(_)))) == Some(true)
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

    /// Changes the value, if it has come, where the page knows more than the last answer.
    pub(crate) fn change(self, change: impl FnOnce(&mut T)) {
        self.answer.try_update(|answer| {
            if let Some(Ok(value)) = answer {
                change(value);
            }
        });
    }

    /// Puts `value` in the place of what is known, where the page knows it without asking.
    pub(crate) fn set(self, value: T) {
        self.answer.try_set(Some(Ok(value)));
    }
}
