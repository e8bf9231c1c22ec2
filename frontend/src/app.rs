//! The page as a whole: what is provided to all of its parts, and which address shows what.
//!
//! There are two programs, so that a first visit is small: the studio, and the workbench with the editors of masks and layouts,
//! which are half of all code. Where an address is the other one's, the browser loads that.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::{A, ParentRoute, Route, Router, Routes};
use leptos_router::hooks::use_location;
use leptos_router::path;

use crate::api::Connection;
use crate::browser;
use crate::frame::{Banner, Crumb, Deletions, ProjectFrame, Theme, ToastList, Toasts, Top};
use crate::generate::Generate;
use crate::layouts::{LayoutList, LayoutPage, PlayPage};
use crate::masks::MaskPage;
use crate::photos::Photos;
use crate::projects::{Overview, Projects};
use crate::session::{Gate, Visitor};
use crate::share::Share;
use crate::training::{RunPage, Training};
use crate::widgets::Waiting;

/// How often it is looked, every hundredth of a second, whether the browser has the router's address.
const PATIENCE: u32 = 200;

/// Puts the studio in the place of the loading page.
pub fn start() {
    mount(|| view! { <Places /> }.into_any());
}

/// Puts the editors of masks and layouts in the place of the loading page.
pub fn start_workbench() {
    mount(|| view! { <Workbench /> }.into_any());
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
    Connection::provide();
    Toasts::provide();
    Deletions::provide();
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
                <Route path=path!("share") view=Share />
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
                <Route path=path!("play") view=PlayPage />
                <Route path=path!("*any") view=Elsewhere />
            </ParentRoute>
        </Routes>
    }
}

/// An address of the other program: the browser loads it. One at which this program was loaded shows nothing in either.
#[component]
fn Elsewhere() -> impl IntoView {
    let Loaded(first) = expect_context();
    // After a click on a link the router knows the new address before the browser does.
    let wanted = use_location().pathname.get_untracked();
    if wanted == first {
        return view! { <Nowhere /> }.into_any();
    }
    spawn_local(async move {
        for _ in 0..PATIENCE {
            if path_now() == wanted {
                break;
            }
            TimeoutFuture::new(10).await;
        }
        // A browser that refuses leaves the address as it is; loading it by hand does the same.
        let _ = browser::window().location().reload();
    });
    view! {
        <div class="page">
            <Waiting />
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
                <h1>"There is no such page"</h1>
                <p>"The address may be mistyped, or from another version of the studio."</p>
                <A href="/" attr:class="button primary">"All projects"</A>
            </div>
        </div>
    }
}
