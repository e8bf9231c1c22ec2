//! Who is looking: the owner, somebody with a link, or nobody yet.

use gloo_timers::future::TimeoutFuture;
use leptos::ev::{self, SubmitEvent};
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, NewSession, Session};

use crate::api::{self, Connection, Loaded};
use crate::browser;
use crate::frame::Toasts;
use crate::widgets::{Failed, PageTitle};

/// How often the page asks whether links still hold, in milliseconds.
const AGAIN: u32 = 10_000;

/// What whoever looks may do; there is one for the page.
#[derive(Clone, Copy)]
pub(crate) struct Visitor(pub(crate) Loaded<Session>);

impl Visitor {
    /// Asks the server, after the secret of the address has been handed in, if there is one.
    pub(crate) fn provide() -> Self {
        let refused = expect_context::<Connection>().refused;
        let toasts = expect_context::<Toasts>();
        let secret = StoredValue::new(take_secret());
        let session = Loaded::new(move || {
            refused.track();
            let secret = secret.try_update_value(Option::take).flatten();
            async move {
                if let Some(secret) = secret {
                    hand_in(secret, toasts).await;
                }
                api::get("/api/session").await
            }
        });
        let visitor = Self(session);
        provide_context(visitor);
        visitor.look_again();
        visitor.take_links(toasts);
        visitor
    }

    /// A link that is opened in the place of its own project's page changes the address's end alone: the browser loads nothing.
    fn take_links(self, toasts: Toasts) {
        let returned = expect_context::<Connection>().returned;
        let listening = window_event_listener(ev::hashchange, move |_| {
            let Some(secret) = take_secret() else { return };
            spawn_local(async move {
                if hand_in(secret, toasts).await {
                    self.0.reload();
                    // What could not be seen before is asked for again.
                    returned.update(|times| *times += 1);
                }
            });
        });
        on_cleanup(move || listening.remove());
    }

    /// Asks now and then whether the links still hold: one that is revoked shall not stay on the screen.
    fn look_again(self) {
        let returned = expect_context::<Connection>().returned;
        spawn_local(async move {
            loop {
                TimeoutFuture::new(AGAIN).await;
                let before = self.0.value_now();
                if browser::document().hidden()
                    || before.as_ref().is_none_or(|session| session.projects.is_empty())
                {
                    continue;
                }
                let Ok(now) = api::get::<Session>("/api/session").await else { continue };
                if Some(&now) != before.as_ref() {
                    self.0.set(now);
                    returned.update(|times| *times += 1);
                }
            }
        });
    }

    /// Whether it is the owner.
    pub(crate) fn is_owner(self) -> bool {
        self.0.value().is_some_and(|session| session.access == Access::Owner)
    }
}

/// Hands in a link's secret; whether the server takes it. Where it does not, that is told.
async fn hand_in(secret: String, toasts: Toasts) -> bool {
    let answer = api::post_empty("/api/session", &NewSession::Link(secret)).await;
    if let Err(error) = &answer {
        toasts.fault(error);
    }
    answer.is_ok()
}

/// Takes a link's secret out of the address, where neither the history nor anybody at the screen shall find it.
fn take_secret() -> Option<String> {
    let location = browser::window().location();
    let secret = location.hash().ok()?.strip_prefix("#link=")?.to_owned();
    let path = location.pathname().unwrap_or_else(|_| "/".to_owned());
    if let Ok(history) = browser::window().history() {
        // Where it is refused the secret stays visible, which is no reason not to open the link.
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path));
    }
    Some(secret)
}

/// What `children` show to whoever may see something; to others, how to sign in.
#[component]
pub(crate) fn Gate(children: ChildrenFn) -> impl IntoView {
    let Visitor(session) = expect_context();
    let state = Memo::new(move |_| {
        session.answer().map(|answer| answer.map(|session| session.access > Access::Nobody))
    });
    let children = StoredValue::new(children);
    move || match state.get() {
        None => view! {
            <div class="splash" role="status">
                <p class="splash-name">"MuDI Studio"</p>
                <p class="quiet">"Loading…"</p>
            </div>
        }
        .into_any(),
        Some(Err(error)) => view! {
            <main class="page">
                <Failed error again=move |()| session.reload() />
            </main>
        }
        .into_any(),
        Some(Ok(false)) => view! { <SignIn /> }.into_any(),
        Some(Ok(true)) => children.get_value()().into_any(),
    }
}

/// Asks for the owner's password.
#[component]
fn SignIn() -> impl IntoView {
    let Visitor(session) = expect_context();
    let (password, busy) = (RwSignal::new(String::new()), RwSignal::new(false));
    let fault = RwSignal::new(None::<String>);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        busy.set(true);
        spawn_local(async move {
            let answer = sign_in(password.get_untracked()).await;
            busy.try_set(false);
            match answer {
                Ok(now) => session.set(now),
                Err(why) => {
                    fault.try_set(Some(why));
                    browser::focus("#password");
                }
            }
        });
    };
    let notes = move || {
        let known = session.value()?;
        Some(view! {
            {loses_cookies(&known).then(|| view! { <Elsewhere address=known.public_url.clone() /> })}
            {(!known.password_set).then(|| unset(known.owner_on_machine))}
        })
    };
    view! {
        <main class="page narrow" id="main" tabindex="-1">
            <PageTitle text="Sign in" />
            <p class="quiet">
                "The owner signs in with the password. If somebody has sent you a link, open it: it lets you in by itself, until it is revoked or has expired."
            </p>
            <form class="card form" on:submit=submit>
                <div class="field">
                    <label for="password">"Password"</label>
                    <input
                        id="password"
                        type="password"
                        autocomplete="current-password"
                        required
                        prop:value=password
                        aria-describedby="password-fault"
                        aria-invalid=move || fault.with(Option::is_some).then_some("true")
                        on:input=move |event| password.set(event_target_value(&event))
                    />
                    <p id="password-fault" class="fault" role="alert">
                        {fault}
                    </p>
                </div>
                <button class="button primary" disabled=busy>
                    {move || if busy.get() { "Signing in…" } else { "Sign in" }}
                </button>
            </form>
            {notes}
        </main>
    }
}

/// Signs in with a password: what may be done then, or why that is still nothing.
async fn sign_in(password: String) -> Result<Session, String> {
    let words = |error: api::ApiError| error.to_string();
    api::post_empty("/api/session", &NewSession::Password(password)).await.map_err(words)?;
    let now = api::get::<Session>("/api/session").await.map_err(words)?;
    if now.access > Access::Nobody {
        return Ok(now);
    }
    Err(if loses_cookies(&now) {
        format!(
            "The password is right, but at this address the browser does not keep that. Sign in at {}.",
            now.public_url
        )
    } else {
        "The password is right, but the browser does not keep that. Allow this address to set cookies."
            .to_owned()
    })
}

/// Whether the browser drops the cookie: it is sent by TLS only, and the page came without.
fn loses_cookies(session: &Session) -> bool {
    session.public_url.starts_with("https://") && !browser::window().is_secure_context()
}

/// Where to sign in, since here it is in vain, by a link too.
#[component]
fn Elsewhere(address: String) -> impl IntoView {
    view! {
        <div class="notice warns">
            <p>
                "At this address nobody can sign in: the server has its cookie sent by TLS only, and this page came without. Open the studio, or your link, at "
                <a href=address.clone() rel="external">{address.clone()}</a> "."
            </p>
        </div>
    }
}

/// How the first password is set.
fn unset(on_machine: bool) -> impl IntoView {
    let here = on_machine.then(|| {
        view! {
            "On the server's own machine, open the studio as " <code>"localhost"</code>
            " and set one. Where a password is asked for there too, as in a container, or nobody is at that machine, "
        }
    });
    let begin = if on_machine { "whoever hosts" } else { "Whoever hosts" };
    view! {
        <div class="notice">
            <p>
                "No password is set yet. " {here} {begin} " the server writes one into a file, names that file by the setting "
                <code>"password-file"</code> ", and starts the server again."
            </p>
        </div>
    }
}

/// Signs out whoever is not on the server's own machine.
#[component]
pub(crate) fn SignOut() -> impl IntoView {
    let Visitor(session) = expect_context();
    let toasts = expect_context::<Toasts>();
    let leave = move |_| {
        spawn_local(async move {
            match api::delete("/api/session").await {
                Ok(()) => session.reload(),
                Err(error) => toasts.fault(&error),
            }
        });
    };
    move || {
        session
            .value()
            .filter(|session| !session.local && session.access > Access::Nobody)
            .map(|_| view! { <button class="button plain" on:click=leave>"Sign out"</button> })
    }
}
