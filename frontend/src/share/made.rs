//! A link that was just made: its address can be seen this once.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, CreatedLink};
use wasm_bindgen_futures::JsFuture;

use crate::browser;
use crate::frame::{Toasts, the_project};
use crate::session::Visitor;
use crate::widgets::{Icon, Sign};

/// Whether a host's name leads to nothing but the own machine.
fn is_here(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// The address of a link, to be copied.
#[component]
pub(super) fn Made(link: CreatedLink) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let Visitor(session) = expect_context();
    let location = browser::window().location();
    // Where it is known how others reach the server, that counts and not where the owner is.
    let public = session.value_now().map(|session| session.public_url).filter(|address| !address.is_empty());
    let own = public.is_none() && is_here(&location.hostname().unwrap_or_default());
    let origin = public.unwrap_or_else(|| location.origin().unwrap_or_default());
    let origin = origin.trim_end_matches('/');
    // One to play with opens where that is done.
    let place = if link.link.access == Access::Player { "/play" } else { "" };
    let address = format!("{origin}/projects/{}{place}#link={}", the.id.get_untracked(), link.secret);
    let field = NodeRef::<html::Input>::new();
    let copied = address.clone();
    let copy = move |_| {
        let copied = copied.clone();
        if let Some(field) = field.get_untracked() {
            field.select();
        }
        spawn_local(async move {
            // Only a page that came by TLS, or from this machine, may use the clipboard.
            let clipboard = js_sys::Reflect::has(&browser::window().navigator(), &"clipboard".into());
            let done = match clipboard {
                Ok(true) => JsFuture::from(browser::window().navigator().clipboard().write_text(&copied))
                    .await
                    .is_ok(),
                _ => false,
            };
            if done {
                toasts.say("The link is copied.");
            } else {
                toasts.complain(
                    "The browser does not copy it by itself. It is marked: copy it with the keyboard.",
                );
            }
        });
    };
    view! {
        <div class="card stack made" role="status">
            <h2>"The link is made"</h2>
            <p>"Copy it now: it is shown this once, and the server keeps only a digest of it."</p>
            <div class="with-button">
                <input node_ref=field class="mono" readonly aria-label="Address of the link" prop:value=address />
                <button class="button primary" on:click=copy>
                    <Icon sign=Sign::Copy />
                    "Copy"
                </button>
            </div>
            {own
                .then(|| {
                    view! {
                        <p class="warn">
                            "This address leads to this machine only. Open the studio by an address that others reach, and make the link there, or put that address in the place of the first part."
                        </p>
                    }
                })}
        </div>
    }
}
