//! The page of links.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, CreatedLink, Link, NewLink, Page};

use super::links::LinkList;
use super::made::Made;
use super::password::PasswordForm;
use crate::api::{self, Loaded};
use crate::browser;
use crate::frame::{Toasts, the_project};
use crate::widgets::{PageTitle, busy_already, choice, option, shown};

/// What a link may grant, and what that means.
const GRANTS: [(Access, &str, &str); 3] = [
    (Access::Viewer, "Look", "Photos, runs and pictures. Changes nothing."),
    (
        Access::Player,
        "Play",
        "Also moves the subjects and sees at once what becomes of them: their own browser paints, with the trained weights.",
    ),
    (Access::Editor, "Work along", "Changes the project, trains and generates."),
];

/// How long a link lasts: days, and the words.
const LASTS: [(i64, &str); 4] = [(1, "A day"), (7, "A week"), (30, "30 days"), (0, "Until it is revoked")];
const DAY: i64 = 24 * 3600 * 1000;

/// Links: made, copied, limited, revoked.
#[component]
pub(crate) fn Share() -> impl IntoView {
    let the = the_project();
    // A memo, so that a project that is read anew does not take away the link that was just made.
    let owns = Memo::new(move |_| the.allows(Access::Owner));
    view! {
        <div class="page">
            <div class="page-head">
                <div>
                    <PageTitle text="Share" />
                    <p class="quiet">"A link shows this one project to whoever has it, without a password. It ends when you revoke it."</p>
                </div>
            </div>
            {move || {
                if owns.get() {
                    view! { <Links /> }.into_any()
                } else {
                    view! { <p class="notice">"Only whoever owns this project shares it."</p> }.into_any()
                }
            }}
        </div>
    }
}

/// What the owner sees.
#[component]
fn Links() -> impl IntoView {
    let the = the_project();
    let links = Loaded::new(move || {
        let path = the.path("links");
        async move { api::get::<Page<Link>>(&path).await.map(|page| page.items) }
    });
    let made = RwSignal::new(None::<CreatedLink>);
    let again = Callback::new(move |()| links.reload());
    view! {
        <div class="two-columns">
            <div class="stack wide-gap">
                <NewLinkForm made=Callback::new(move |link| {
                    made.set(Some(link));
                    links.reload();
                }) />
                <PasswordForm />
            </div>
            <section class="stack" aria-labelledby="links">
                {move || made.get().map(|link| view! { <Made link /> })}
                <h2 id="links">"Links"</h2>
                {shown(links, move |links| view! { <LinkList links changed=again /> })}
            </section>
        </div>
    }
}

#[component]
fn NewLinkForm(made: Callback<CreatedLink>) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let (access, lasts) = (RwSignal::new(Access::Viewer), RwSignal::new(7_i64));
    let label = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let days = lasts.get_untracked();
        let new = NewLink {
            access: access.get_untracked(),
            label: label.get_untracked(),
            expires: (days > 0).then(|| browser::now() + days * DAY),
        };
        if busy_already(busy) {
            return;
        }
        spawn_local(async move {
            match api::post::<CreatedLink>(&the.path_now("links"), &new).await {
                Ok(link) => {
                    label.try_set(String::new());
                    if made.try_run(link).is_none() {
                        toasts
                            .complain("You left before the new link was shown. Revoke it, and make another.");
                    }
                }
                Err(error) => toasts.fault(&error),
            }
            busy.try_set(false);
        });
    };
    let grant = move |(level, name, help): (Access, &'static str, &'static str)| {
        view! {
            <label class="choice">
                <input type="radio" name="access" prop:checked=move || access.get() == level on:change=move |_| access.set(level) />
                <strong>{name}</strong>
                <span class="help">{help}</span>
            </label>
        }
    };
    let days = Signal::derive(move || lasts.get().to_string());
    let options = LASTS.map(|(length, name)| option(days, &length.to_string(), name.to_owned())).into();
    let set = Callback::new(move |days: String| lasts.set(days.parse().unwrap_or(7)));
    view! {
        <form class="card form" on:submit=submit aria-labelledby="new-link">
            <h2 id="new-link">"New link"</h2>
            <fieldset class="stack">
                <legend>"Whoever has it may"</legend>
                <div class="choices">{GRANTS.into_iter().map(grant).collect_view()}</div>
            </fieldset>
            <div class="columns">
                {choice("link-lasts", "It lasts", options, set)}
                <div class="field">
                    <label for="link-label">"For whom"</label>
                    <input
                        id="link-label"
                        maxlength="200"
                        placeholder="For your own memory"
                        autocomplete="off"
                        prop:value=label
                        on:input=move |event| label.set(event_target_value(&event))
                    />
                </div>
            </div>
            <div class="dialog-foot">
                <button class="button primary" class:busy=busy>"Make the link"</button>
            </div>
        </form>
    }
}
