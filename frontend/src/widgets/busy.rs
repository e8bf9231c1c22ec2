//! Buttons that do one thing at a time.

use leptos::prelude::*;

/// Whether `busy` is so already, which it is from now on. A button that is disabled meanwhile would lose the focus to nothing.
pub(crate) fn busy_already(busy: RwSignal<bool>) -> bool {
    let before = busy.get_untracked();
    busy.set(true);
    before
}
