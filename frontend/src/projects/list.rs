//! All projects.

use leptos::prelude::*;
use leptos_router::components::A;
use mudi_domain::api::Project;

use crate::api::{self, Loaded};
use crate::widgets::{PageTitle, shown};

/// All projects.
#[component]
pub(crate) fn Projects() -> impl IntoView {
    let projects = Loaded::new(|| api::list::<Project>("/api/projects"));
    view! {
        <main class="page" id="main" tabindex="-1">
            <PageTitle text="Projects" />
            {shown(projects, |projects| {
                view! {
                    <ul>
                        {projects
                            .into_iter()
                            .map(|project| view! { <li><A href=format!("/projects/{}", project.id)>{project.name}</A></li> })
                            .collect_view()}
                    </ul>
                }
            })}
        </main>
    }
}
