//! All projects: made, opened, copied, deleted.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use leptos_router::hooks::use_navigate;
use mudi_domain::api::{Access, NewProject, Photo, Project, ProjectChange};
use uuid::Uuid;

use crate::api::{self, Answer, Loaded};
use crate::browser;
use crate::clock::Clock;
use crate::frame::{Deletions, Toasts};
use crate::session::Visitor;
use crate::widgets::{Dialog, Empty, Failed, Icon, PageTitle, Sign, Waiting, ZipButton, busy_already};

/// Photos on a project's card.
const PICTURES: u32 = 4;

/// All projects.
#[component]
pub(crate) fn Projects() -> impl IntoView {
    let visitor = expect_context::<Visitor>();
    let deletions = expect_context::<Deletions>();
    let projects = Loaded::new(|| api::list::<Project>("/api/projects"));
    let again = Callback::new(move |()| projects.reload());
    let naming = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let open = opener();
    let sample = move |_| {
        if busy_already(busy) {
            return;
        }
        spawn_local(async move {
            open(api::post("/api/samples", &()).await);
            busy.try_set(false);
        });
    };
    // Newest first. Cards stay while others come and go: somebody may be renaming one.
    let all = Memo::new(move |_| {
        let mut all = projects.value().unwrap_or_default();
        all.reverse();
        all
    });
    let none = Memo::new(move |_| {
        all.with(|all| all.iter().all(|project| deletions.hides(&api::of(project.id, ""))))
    });
    let state = Memo::new(move |_| projects.answer().map(|answer| answer.map(drop)));
    let body = move || match state.get() {
        None => view! { <Waiting /> }.into_any(),
        Some(Err(error)) => view! { <Failed error again /> }.into_any(),
        Some(Ok(())) => view! {
            {move || none.get().then(|| view! { <NoProjects /> })}
            <ul class="grid">
                <For
                    each=move || all.get()
                    key=|project| (project.id, project.version)
                    children=move |project| view! { <Card project projects again /> }
                />
            </ul>
        }
        .into_any(),
    };
    let make = move || {
        view! {
            <div class="actions">
                <ZipButton
                    words="Open a project's file"
                    path="/api/projects/import".to_owned()
                    sent=Callback::new(move |text: String| open(api::decoded(&text)))
                />
                <button class="button" on:click=sample>
                    {move || if busy.get() { "Drawing the toys…" } else { "Open a sample project" }}
                </button>
                <button class="button primary" on:click=move |_| naming.set(true)>
                    <Icon sign=Sign::Plus />
                    "New project"
                </button>
            </div>
        }
    };
    view! {
        <main class="page" id="main" tabindex="-1">
            <div class="page-head">
                <div>
                    <PageTitle text="Projects" />
                    <p class="quiet">
                        "Each project teaches one model several subjects: two dogs, a vase and a chair, without mixing them up."
                    </p>
                </div>
                {move || visitor.is_owner().then(make)}
            </div>
            {body}
            <Dialog open=naming title="New project">
                <NameForm
                    name=String::new()
                    action="Create"
                    given=Callback::new(move |name: String| {
                        naming.set(false);
                        spawn_local(async move {
                            open(api::post("/api/projects", &NewProject { name }).await);
                        });
                    })
                />
            </Dialog>
        </main>
    }
}

/// Opens a project that was made, or tells why it was not.
fn opener() -> impl Fn(Answer<Project>) + Copy + Send + Sync + 'static {
    let toasts = expect_context::<Toasts>();
    let navigate = StoredValue::new(use_navigate());
    move |answer| match answer {
        Ok(project) => {
            // Whoever has gone elsewhere meanwhile stays there.
            navigate.try_with_value(|navigate| {
                navigate(&format!("/projects/{}", project.id), Default::default());
            });
        }
        Err(error) => toasts.fault(&error),
    }
}

#[component]
fn NoProjects() -> impl IntoView {
    let visitor = expect_context::<Visitor>();
    if !visitor.is_owner() {
        return view! {
            <Empty title="Nothing here yet">
                "The links that you have opened show no project any more. Ask whoever sent them for another."
            </Empty>
        };
    }
    view! {
        <Empty title="Nothing here yet">
            <div class="welcome" inner_html=include_str!("welcome.html")></div>
            <p>
                "Make a project and add photos of two subjects or more. Or open the sample: two plush bears, with photos and masks, ready to train."
            </p>
        </Empty>
    }
}

/// Asks for a name.
#[component]
fn NameForm(
    /// What it is so far.
    name: String,
    /// What the button says.
    action: &'static str,
    /// Told the name.
    given: Callback<String>,
) -> impl IntoView {
    let text = RwSignal::new(name);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let name = text.get_untracked().trim().to_owned();
        if name.is_empty() {
            browser::focus("#project-name");
            return;
        }
        given.run(name);
    };
    view! {
        <form class="form" on:submit=submit>
            <div class="field">
                <label for="project-name">"Name"</label>
                <input
                    id="project-name"
                    maxlength="200"
                    required
                    autofocus
                    autocomplete="off"
                    prop:value=text
                    on:input=move |event| text.set(event_target_value(&event))
                />
                <p class="help">"For example the names of those it is about."</p>
            </div>
            <div class="dialog-foot">
                <button class="button primary">{action}</button>
            </div>
        </form>
    }
}

#[component]
fn Card(
    project: Project,
    projects: Loaded<Vec<Project>>,
    /// Reads the list anew.
    again: Callback<()>,
) -> impl IntoView {
    let deletions = expect_context::<Deletions>();
    let toasts = expect_context::<Toasts>();
    let (clock, created) = (expect_context::<Clock>(), project.created);
    let (renaming, copying) = (RwSignal::new(false), RwSignal::new(false));
    let (id, name) = (project.id, StoredValue::new(project.name.clone()));
    let version = project.version;
    let remove = move |_| {
        deletions.delete(api::of(id, ""), format!("“{}” is deleted.", name.get_value()), again);
    };
    let copy = move |_| {
        if busy_already(copying) {
            return;
        }
        toasts.say(format!("“{}” is being copied…", name.get_value()));
        spawn_local(async move {
            match api::post::<Project>(&api::of(id, "copies"), &()).await {
                Ok(copied) => toasts.say(format!("“{}” is there.", copied.name)),
                Err(error) => toasts.fault(&error),
            }
            copying.try_set(false);
            projects.reload();
        });
    };
    let rename = Callback::new(move |name: String| {
        renaming.set(false);
        spawn_local(async move {
            let changed = api::patch::<Project>(&api::of(id, ""), version, &ProjectChange { name }).await;
            if let Err(error) = changed {
                toasts.fault(&error);
            }
            projects.reload();
            browser::focus_when_lost(format!("[href='/projects/{id}']"));
        });
    });
    let label = move |what: &str| format!("{what} “{}”", name.get_value());
    let tools = (project.access == Access::Owner).then(|| {
        view! {
            <button class="button plain square" title="Rename" aria-label=label("Rename") on:click=move |_| renaming.set(true)>
                <Icon sign=Sign::Pencil />
            </button>
            <button class="button plain square" class:busy=copying title="Duplicate" aria-label=label("Duplicate") on:click=copy>
                <Icon sign=Sign::Copy />
            </button>
            <button class="button plain square" title="Delete" aria-label=label("Delete") on:click=remove>
                <Icon sign=Sign::Trash />
            </button>
        }
    });
    view! {
        <li class="card project" hidden=move || deletions.hides(&api::of(id, ""))>
            <A href=format!("/projects/{id}") attr:class="project-link">
                <Pictures project=id />
                <span class="project-name">{project.name.clone()}</span>
            </A>
            <div class="card-head">
                <span class="quiet small">{move || clock.ago(created)}</span>
                <span class="row tight">{tools}</span>
            </div>
            <Dialog open=renaming title="Rename the project">
                <NameForm name=name.get_value() action="Rename" given=rename />
            </Dialog>
        </li>
    }
}

/// The first photos of a project.
#[component]
fn Pictures(project: Uuid) -> impl IntoView {
    let photos = Loaded::new(move || async move {
        let path = api::of(project, &format!("photos?limit={PICTURES}"));
        api::get::<mudi_domain::api::Page<Photo>>(&path).await.map(|page| page.items)
    });
    let picture = move |photo: Photo| {
        let source = api::of(project, &format!("photos/{}/thumbnail", photo.id));
        view! { <img src=source alt="" loading="lazy" /> }
    };
    view! {
        <span class="project-pictures" aria-hidden="true">
            {move || photos.value().unwrap_or_default().into_iter().map(picture).collect_view()}
        </span>
    }
}
