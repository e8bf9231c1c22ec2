//! The links that there are.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, Link};

use crate::api;
use crate::clock::Clock;
use crate::frame::{Toasts, the_project};
use crate::text;
use crate::widgets::Twice;

/// Links, newest first.
#[component]
pub(super) fn LinkList(links: Vec<Link>, changed: Callback<()>) -> impl IntoView {
    if links.is_empty() {
        return view! { <p class="quiet">"There are none: only you see this project."</p> }.into_any();
    }
    view! {
        <ul class="stack">
            {links.into_iter().rev().map(|link| view! { <Row link changed /> }).collect_view()}
        </ul>
    }
    .into_any()
}

#[component]
fn Row(link: Link, changed: Callback<()>) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let path = StoredValue::new(the.path_now(&format!("links/{}", link.id)));
    let name = if link.label.is_empty() { "Without a name".to_owned() } else { link.label.clone() };
    let clock = expect_context::<Clock>();
    let ends = move || match link.expires.map(|expires| expires - clock.now()) {
        None => "ends when it is revoked".to_owned(),
        Some(left) if left <= 0 => "has ended".to_owned(),
        Some(left) => format!("ends in {}", text::duration(left as f64 / 1000.0)),
    };
    let grants = match link.access {
        Access::Editor => "works along",
        Access::Player => "plays",
        _ => "looks",
    };
    let revoke = Callback::new(move |()| {
        let path = path.get_value();
        spawn_local(async move {
            match api::delete(&path).await {
                Ok(()) => toasts.say("The link is revoked; it opens nothing any more."),
                Err(error) => toasts.fault(&error),
            }
            changed.try_run(());
        });
    });
    let label = format!("Revoke {name}");
    view! {
        <li class="card card-head">
            <div>
                <h3>{name}</h3>
                <p class="quiet small">
                    {move || format!("{grants}, {}, made {}", ends(), clock.ago(link.created))}
                </p>
            </div>
            <Twice label question="Revoking cannot be undone" yes="Revoke for good" no="Keep" act=revoke>
                "Revoke"
            </Twice>
        </li>
    }
}
