//! The address of a picture: what opens one by a link, and what Back closes.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_navigate, use_query_map};
use uuid::Uuid;

use crate::browser;
use crate::frame::the_project;

/// Which picture the address names.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The picture.
    pub(super) picture: Memo<Option<Uuid>>,
    go: Callback<(Option<Uuid>, bool)>,
    /// Whether a picture was opened here, so that the one before in the history is this page without it.
    opened: StoredValue<bool>,
}

impl Place {
    /// Reads the address.
    pub(super) fn new() -> Self {
        let the = the_project();
        let query = use_query_map();
        let navigate = use_navigate();
        let picture = Memo::new(move |_| query.with(|query| query.get("picture")?.parse::<Uuid>().ok()));
        let go = Callback::new(move |(picture, replace): (Option<Uuid>, bool)| {
            let rest = picture.map(|id| format!("?picture={id}")).unwrap_or_default();
            let place = format!("/projects/{}/generate{rest}", the.id.get_untracked());
            navigate(&place, NavigateOptions { replace, scroll: false, ..NavigateOptions::default() });
        });
        Self { picture, go, opened: StoredValue::new(false) }
    }

    /// Has the address name a picture, or none; in the place of the one that it names now, or so that Back leads there.
    pub(super) fn show(self, picture: Option<Uuid>, replace: bool) {
        if picture.is_some() && !replace {
            self.opened.set_value(true);
        }
        self.go.run((picture, replace));
    }

    /// Has the address name none, once the picture is closed.
    pub(super) fn closed(self) {
        if self.picture.get_untracked().is_none() {
            return;
        }
        // Whoever opened it here finds the page as before, and no second entry in the history.
        if self.opened.get_value() && browser::window().history().is_ok_and(|history| history.back().is_ok())
        {
            self.opened.set_value(false);
        } else {
            // Not in its place: of what was replaced the router knows no way back.
            self.show(None, false);
        }
    }
}
