//! The end of saving: the photo is gone, or whoever draws may only look now. The work can be taken along as a file.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_navigate;

use super::desk::Desk;
use super::files::encode_mask;
use crate::api::ApiError;
use crate::browser;
use crate::frame::{Toasts, the_project};
use crate::widgets::Decision;

/// Why nothing is saved any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The photo was deleted, or the whole project, or it is not to be seen any more.
    Gone,
    /// Whoever draws may not.
    Refused,
    /// A person has given up what was not saved.
    Dropped,
}

impl End {
    /// What an error of the server ends; none where the next try may succeed.
    pub(super) fn of(error: &ApiError) -> Option<Self> {
        match error.code() {
            "missing" => Some(Self::Gone),
            "no_access" => Some(Self::Refused),
            _ => None,
        }
    }

    /// Whether another link may open again what is kept in the browser.
    pub(super) fn may_pass(self) -> bool {
        self == Self::Refused
    }

    /// Why the mask is not on the server, for whoever leaves without having chosen.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Gone => Some("the photo is gone"),
            Self::Refused => Some("your link does not let you change it any more"),
            Self::Dropped => None,
        }
    }
}

/// What to do with a mask of the photo `name` that has no place on the server any more.
#[component]
pub(super) fn Ending(desk: Desk, name: String) -> impl IntoView {
    let (the, toasts) = (the_project(), expect_context::<Toasts>());
    let navigate = StoredValue::new(use_navigate());
    let file = StoredValue::new(format!("{name}.mask.png"));
    let download = move |_| {
        let Some(mask) = desk.look(|editor| editor.mask().clone()) else { return };
        let file = file.get_value();
        spawn_local(async move {
            match encode_mask(&mask).await {
                Ok(png) if browser::save_png(&png, &file).is_ok() => {}
                Ok(_) => {
                    toasts.complain("The browser does not save the mask; its settings may forbid downloads.");
                }
                Err(error) => toasts.fault(&error),
            }
        });
    };
    let give_up = move |_| {
        desk.keeper.drop_it();
        let place = format!("/projects/{}/photos", the.id.get_untracked());
        navigate.with_value(|navigate| navigate(&place, Default::default()));
    };
    move || {
        let (label, what, more) = match desk.keeper.end.get()? {
            End::Gone => (
                "This photo is gone",
                "This photo was deleted in another window, or by somebody else, or your link does not open the project any more.",
                "Its mask is not saved any more. You can keep it as a picture.",
            ),
            End::Refused => (
                "You may not change this mask any more",
                "Your link does not let you change this mask any more.",
                "What you draw is not saved. You can keep it as a picture, or ask the owner for another link.",
            ),
            End::Dropped => return None,
        };
        Some(view! {
            <Decision label what more>
                <button class="button primary" on:click=download>"Download the mask"</button>
                <button class="button" on:click=give_up>"Drop it"</button>
            </Decision>
        })
    }
}
