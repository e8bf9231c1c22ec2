//! The page as a whole: what is provided to all of its parts, and which address shows what.

use leptos::prelude::*;
use leptos_router::components::{A, ParentRoute, Route, Router, Routes};
use leptos_router::path;

use crate::api::Connection;
use crate::browser;
use crate::frame::{Banner, Crumb, Deletions, ProjectFrame, Theme, ToastList, Toasts, Top};
use crate::generate::Generate;
use crate::layouts::{LayoutList, LayoutPage};
use crate::masks::MaskPage;
use crate::photos::Photos;
use crate::projects::{Overview, Projects};
use crate::session::{Gate, Visitor};
use crate::share::Share;
use crate::training::{RunPage, Training};

/// Puts the studio in the place of the loading page.
pub fn start() {
    console_error_panic_hook::set_once();
    if let Some(splash) = browser::document().get_element_by_id("page") {
        splash.remove();
    }
    mount_to_body(App);
}

#[component]
fn App() -> impl IntoView {
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
                        <Places />
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
                <Route path=path!("photos/:photo/mask") view=MaskPage />
                <Route path=path!("train") view=Training />
                <Route path=path!("train/:run") view=RunPage />
                <Route path=path!("generate") view=Generate />
                <Route path=path!("share") view=Share />
                <Route path=path!("layouts") view=LayoutList />
                <Route path=path!("layouts/:layout") view=LayoutPage />
                <Route path=path!("*any") view=Nowhere />
            </ParentRoute>
        </Routes>
    }
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
