//! The frame around the pages of a project: its name, and the rail.

use leptos::prelude::*;
use leptos_router::components::{A, Outlet};
use leptos_router::hooks::use_params_map;
use mudi_domain::api::{Access, Project};
use uuid::Uuid;

use super::top::Crumb;
use crate::api::{self, Loaded};
use crate::widgets::{Failed, Icon, PageTitle, Sign, Waiting};

/// The project whose page is open.
#[derive(Clone, Copy)]
pub(crate) struct TheProject {
    /// Its id.
    pub(crate) id: Memo<Uuid>,
    /// What is known of it.
    pub(crate) project: Loaded<Project>,
}

impl TheProject {
    /// Whether whoever looks may do what takes `access`.
    pub(crate) fn allows(self, access: Access) -> bool {
        self.project.value().is_some_and(|project| project.access >= access)
    }

    /// The path of the project's API, or below it.
    pub(crate) fn path(self, below: &str) -> String {
        api::of(self.id.get(), below)
    }

    /// The same, where a change of the project is nothing to react to.
    pub(crate) fn path_now(self, below: &str) -> String {
        api::of(self.id.get_untracked(), below)
    }
}

/// The project whose page is open.
pub(crate) fn the_project() -> TheProject {
    expect_context()
}

const PLACES: [(&str, &str, Sign, Access); 7] = [
    ("play", "Play", Sign::Play, Access::Player),
    ("", "Overview", Sign::Overview, Access::Viewer),
    ("photos", "Photos", Sign::Photos, Access::Viewer),
    ("layouts", "Layouts", Sign::Layouts, Access::Viewer),
    ("train", "Train", Sign::Train, Access::Viewer),
    ("generate", "Generate", Sign::Generate, Access::Viewer),
    ("share", "Share", Sign::Share, Access::Owner),
];

/// The frame.
#[component]
pub(crate) fn ProjectFrame() -> impl IntoView {
    let params = use_params_map();
    // What is no id names no project, and the server says so.
    let id = Memo::new(move |_| {
        params.with(|params| params.get("project").and_then(|id| id.parse().ok()).unwrap_or_default())
    });
    let project = Loaded::new(move || {
        let path = api::of(id.get(), "");
        async move { api::get(&path).await }
    });
    let the = TheProject { id, project };
    provide_context(the);
    let Crumb(crumb) = expect_context();
    Effect::new(move |_| crumb.set(project.value().map(|project| project.name).unwrap_or_default()));
    on_cleanup(move || crumb.set(String::new()));
    // Pages are made once it is known what may be done, and not before: they ask once.
    let there = Memo::new(move |_| project.answer().map(|answer| answer.map(drop)));
    let links = move || {
        // Who may work on the project finds the place to play among its layouts.
        let wanted = |access: Access| match access {
            Access::Player => the.allows(Access::Player) && !the.allows(Access::Editor),
            access => access < Access::Owner || the.allows(access),
        };
        let places = PLACES.into_iter().filter(|(.., access)| wanted(*access));
        let item = |(place, name, sign, _): (&'static str, &'static str, Sign, Access)| {
            let root = format!("/projects/{}", id.get());
            let href = if place.is_empty() { root } else { format!("{root}/{place}") };
            view! {
                <li>
                    <A href=href exact=place.is_empty()>
                        <Icon sign />
                        {name}
                    </A>
                </li>
            }
        };
        places.map(item).collect_view()
    };
    view! {
        <div class="work">
            <nav class="rail" aria-label="Project">
                <ul>{links}</ul>
            </nav>
            <main id="main" tabindex="-1">
                {move || match there.get() {
                    None => view! { <div class="page"><Waiting /></div> }.into_any(),
                    Some(Ok(())) => view! { <Outlet /> }.into_any(),
                    Some(Err(error)) if error.code() == "missing" => view! { <Missing /> }.into_any(),
                    Some(Err(error)) => view! {
                        <div class="page">
                            <Failed error again=move |()| project.reload() />
                        </div>
                    }
                    .into_any(),
                }}
            </main>
        </div>
    }
}

#[component]
fn Missing() -> impl IntoView {
    view! {
        <div class="page">
            <div class="empty">
                <PageTitle text="There is no such project" />
                <p>"It may have been deleted, or the link that showed it was revoked or has expired."</p>
                <A href="/" attr:class="button primary">"All projects"</A>
            </div>
        </div>
    }
}
