//! The header, and the banner that tells of a server that does not answer.

use leptos::prelude::*;
use leptos_router::components::A;

use super::theme::ThemeSwitch;
use crate::api::Connection;
use crate::session::SignOut;

/// What the header says behind the studio's name; pages set it.
#[derive(Clone, Copy)]
pub(crate) struct Crumb(pub(crate) RwSignal<String>);

/// The header.
#[component]
pub(crate) fn Top() -> impl IntoView {
    let Crumb(crumb) = expect_context();
    view! {
        <header class="top">
            <A href="/" attr:class="brand" attr:aria-label="MuDI Studio: all projects">
                <Mark />
                <span>"MuDI Studio"</span>
            </A>
            <span class="crumb">{move || crumb.get()}</span>
            <SignOut />
            <ThemeSwitch />
        </header>
    }
}

/// The studio's mark: two discs that overlap without their colors mixing.
#[component]
fn Mark() -> impl IntoView {
    view! {
        <svg viewBox="0 0 32 32" aria-hidden="true">
            <circle cx="12" cy="16" r="8" fill="#ff8a5c" />
            <circle cx="20" cy="16" r="8" fill="#35b8a6" />
            <path d="M16 9.07a8 8 0 0 1 0 13.86 8 8 0 0 1 0-13.86z" fill="#1f2430" />
        </svg>
    }
}

/// Says that the server does not answer, while it does not.
#[component]
pub(crate) fn Banner() -> impl IntoView {
    let connection = expect_context::<Connection>();
    view! {
        <div role="status">
            {move || {
                connection
                    .offline
                    .get()
                    .then(|| {
                        view! {
                            <p class="banner">
                                "The server does not answer. The page tries again by itself; what you see is what it said last."
                            </p>
                        }
                    })
            }}
        </div>
    }
}
