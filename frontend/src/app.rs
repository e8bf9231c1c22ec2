//! The page as a whole: what is provided to all of its parts, and which address shows what.
//!
//! There are three programs, so that a first visit is small: the studio; the workbench with the editors of masks and layouts,
//! which are half of all code; and sharing, with the page of links and the one on which a visitor plays. Where an address is another one's,
//! the browser loads that.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::{A, ParentRoute, Route, Router, Routes};
use leptos_router::hooks::use_location;
use leptos_router::path;

use crate::api::Connection;
use crate::browser;
use crate::clock::Clock;
use crate::frame::{Banner, Crumb, Deletions, ProjectFrame, Theme, ToastList, Toasts, Top};
use crate::generate::Generate;
use crate::layouts::{LayoutList, LayoutPage, PlayPage};
use crate::masks::MaskPage;
use crate::photos::{Photos, UploadQueue};
use crate::projects::{Overview, Projects};
use crate::saves;
use crate::session::{Gate, Visitor};
use crate::share::Share;
use crate::training::{RunPage, Training};
use crate::widgets::{PageTitle, Waiting};

/// How often it is looked, every hundredth of a second, whether the browser has the router's address.
const PATIENCE: u32 = 200;
/// How long what is on its way may take before the page says that it waits for it, in milliseconds.
const SOON: u32 = 700;

/// Puts the studio in the place of the loading page.
pub fn start() {
    mount(|| view! { <Places /> }.into_any());
}

/// Puts the editors of masks and layouts in the place of the loading page.
pub fn start_workbench() {
    mount(|| view! { <Workbench /> }.into_any());
}

/// Puts the page of links, or the one to play on, in the place of the loading page.
pub fn start_sharing() {
    mount(|| view! { <Sharing /> }.into_any());
}

fn mount(places: fn() -> AnyView) {
    console_error_panic_hook::set_once();
    if let Some(splash) = browser::document().get_element_by_id("page") {
        splash.remove();
    }
    mount_to_body(move || view! { <App places /> });
}

/// The address at which the program was loaded.
#[derive(Clone)]
struct Loaded(String);

fn path_now() -> String {
    browser::window().location().pathname().unwrap_or_default()
}

#[component]
fn App(places: fn() -> AnyView) -> impl IntoView {
    provide_context(Loaded(path_now()));
    Clock::provide();
    Connection::provide();
    Toasts::provide();
    Deletions::provide();
    UploadQueue::provide();
    saves::guard();
    Theme::provide();
    provide_context(Crumb(RwSignal::new(String::new())));
    Visitor::provide();
    view! {
        <Router>
            <div class="studio">
                <a class="skip" href="#main">"Skip to the content"</a>
                <Top />
                <div>
                    <Banner />
                    <Gate>
                        {places()}
                    </Gate>
                </div>
                <ToastList />
            </div>
        </Router>
    }
}

#[component]
fn Places() -> impl IntoView {
    view! {
        <Routes fallback=|| view! { <Nowhere /> }>
            <Route path=path!("/") view=Projects />
            <ParentRoute path=path!("/projects/:project") view=ProjectFrame>
                <Route path=path!("") view=Overview />
                <Route path=path!("photos") view=Photos />
                <Route path=path!("photos/:photo/mask") view=Elsewhere />
                <Route path=path!("train") view=Training />
                <Route path=path!("train/:run") view=RunPage />
                <Route path=path!("generate") view=Generate />
                <Route path=path!("share") view=Elsewhere />
                <Route path=path!("layouts") view=LayoutList />
                <Route path=path!("layouts/:layout") view=Elsewhere />
                <Route path=path!("play") view=Elsewhere />
                <Route path=path!("*any") view=Nowhere />
            </ParentRoute>
        </Routes>
    }
}

#[component]
fn Workbench() -> impl IntoView {
    view! {
        <Routes fallback=|| view! { <Elsewhere /> }>
            <ParentRoute path=path!("/projects/:project") view=ProjectFrame>
                <Route path=path!("photos/:photo/mask") view=MaskPage />
                <Route path=path!("layouts/:layout") view=LayoutPage />
                <Route path=path!("*any") view=Elsewhere />
            </ParentRoute>
        </Routes>
    }
}

#[component]
fn Sharing() -> impl IntoView {
    view! {
        <Routes fallback=|| view! { <Elsewhere /> }>
            <ParentRoute path=path!("/projects/:project") view=ProjectFrame>
                <Route path=path!("share") view=Share />
                <Route path=path!("play") view=PlayPage />
                <Route path=path!("*any") view=Elsewhere />
            </ParentRoute>
        </Routes>
    }
}

/// An address of another program: the browser loads it. One at which this program was loaded shows nothing in any.
#[component]
fn Elsewhere() -> impl IntoView {
    let Loaded(first) = expect_context();
    let (pathname, toasts) = (use_location().pathname, expect_context::<Toasts>());
    let (offline, deletions) = (expect_context::<Connection>().offline, expect_context::<Deletions>());
    if pathname.get_untracked() == first {
        return view! { <Nowhere /> }.into_any();
    }
    let load = move || {
        toasts.hand_over();
        // A browser that refuses leaves the address as it is; loading it by hand does the same.
        let _ = browser::window().location().reload();
    };
    let late = RwSignal::new(false);
    spawn_local(async move {
        // After a click on a link the router knows the new address before the browser does.
        for _ in 0..PATIENCE {
            TimeoutFuture::new(10).await;
            if path_now() == pathname.get_untracked() {
                break;
            }
        }
        // The page that was left may have begun to save; and of a server that does not answer there is nothing to load.
        saves::all_arrived().await;
        while offline.try_get_untracked() == Some(true) {
            TimeoutFuture::new(SOON).await;
        }
        // Whoever has gone back meanwhile is not thrown out.
        let here = || late.try_get_untracked().is_some();
        if here() {
            // The lists that are read next shall not have what was deleted; and where it is still there, that is told.
            deletions.settle().await;
        }
        if here() {
            load();
        }
    });
    spawn_local(async move {
        TimeoutFuture::new(SOON).await;
        late.try_set(saves::any());
    });
    view! {
        <div class="page">
            {move || {
                if late.get() {
                    view! {
                        <div class="notice" role="status">
                            <p>"What you did last is still on its way to the server. This page opens once it has arrived."</p>
                            <button class="button" on:click=move |_| load()>"Do not wait"</button>
                        </div>
                    }
                        .into_any()
                } else {
                    view! { <Waiting /> }.into_any()
                }
            }}
        </div>
    }
    .into_any()
}

/// An address that shows nothing.
#[component]
fn Nowhere() -> impl IntoView {
    view! {
        <div class="page">
            <div class="empty">
                <PageTitle text="There is no such page" />
                <p>"The address may be mistyped, or from another version of the studio."</p>
                <A href="/" attr:class="button primary">"All projects"</A>
            </div>
        </div>
    }
}
