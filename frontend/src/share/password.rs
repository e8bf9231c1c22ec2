//! The owner's password, by which the owner signs in from elsewhere.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::NewPassword;

use crate::api;
use crate::frame::Toasts;
use crate::session::Visitor;

/// Asks for a new password.
#[component]
pub(super) fn PasswordForm() -> impl IntoView {
    let Visitor(session) = expect_context();
    let toasts = expect_context::<Toasts>();
    let (password, fault) = (RwSignal::new(String::new()), RwSignal::new(None::<String>));
    let set = move || session.value().is_some_and(|session| session.password_set);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        spawn_local(async move {
            let new = NewPassword { password: password.get_untracked() };
            match api::put_empty("/api/session/password", &new).await {
                Ok(()) => {
                    password.try_set(String::new());
                    fault.try_set(None);
                    toasts.say("The password is set.");
                    session.reload();
                }
                Err(error) => drop(fault.try_set(Some(error.to_string()))),
            }
        });
    };
    view! {
        <form class="card form" on:submit=submit aria-labelledby="password-head">
            <h2 id="password-head">"Your own password"</h2>
            <p class="quiet small">
                {move || {
                    if set() {
                        "You sign in with it from other machines. A new one ends all of your sessions: sign in again with it."
                    } else {
                        "On this machine you need none. Set one to sign in from others."
                    }
                }}
            </p>
            <div class="field">
                <label for="new-password">"New password"</label>
                <input
                    id="new-password"
                    type="password"
                    autocomplete="new-password"
                    minlength="8"
                    maxlength="1000"
                    required
                    prop:value=password
                    on:input=move |event| password.set(event_target_value(&event))
                />
                <p class="help">"8 characters or more."</p>
                <p class="fault" role="alert">{fault}</p>
            </div>
            <div class="dialog-foot">
                <button class="button">"Set the password"</button>
            </div>
        </form>
    }
}
