//! The page of a layout.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::{use_navigate, use_params_map};
use mudi_domain::api::{Access, NewStored, Stored, SubjectSummary};
use mudi_domain::layout::{Layout, suited_gamma};
use mudi_domain::segmix::Options;
use mudi_editor::layout::{Message, SHEET};

use super::bench::Bench;
use super::cutouts::{Cutouts, Sources, sources};
use super::easel::Easel;
use super::exact::Exact;
use super::keeping::{Keeping, State, keep, overwrite, save_anew, take_left, take_theirs};
use super::law::law;
use super::live::LivePreview;
use super::shelf::{Pieces, Shelf};
use super::tools::Tools;
use crate::api::{self, Answer, Loaded};
use crate::frame::the_project;
use crate::saves;
use crate::widgets::{Decision, Dialog, Icon, PageTitle, SaveFault, Sheet, Sign, shown_after};

type Opened = (Vec<SubjectSummary>, Sources, Stored<Layout>, Options);

/// The layout that the address names, to be arranged.
#[component]
pub(crate) fn LayoutPage() -> impl IntoView {
    let the = the_project();
    let params = use_params_map();
    let wanted = Memo::new(move |_| params.with(|params| params.get("layout").unwrap_or_default()));
    let opened = Loaded::to_edit(move || {
        let (project, wanted) = (the.path(""), wanted.get());
        async move { open(&project, &wanted).await }
    });
    shown_after(
        "Loading the layout and the list of photos…",
        opened,
        move |(subjects, sources, stored, law): Opened| view! { <Designing subjects sources stored law /> },
    )
}

async fn open(project: &str, wanted: &str) -> Answer<Opened> {
    let path = format!("{project}/layouts/{wanted}");
    // Whoever comes back at once has left a page that still saves.
    saves::arrived(&path).await;
    let stored = api::get(&path).await?;
    let (subjects, sources) = sources(project).await?;
    Ok((subjects, sources, stored, law(project).await.0))
}

#[component]
fn Designing(
    subjects: Vec<SubjectSummary>,
    sources: Sources,
    stored: Stored<Layout>,
    law: Options,
) -> impl IntoView {
    let the = the_project();
    let cutouts = Cutouts::new(the.path_now(""), subjects, sources);
    let bench = Bench::new(stored.value.clone(), cutouts, law);
    // Everything that is on the canvas is wanted at once.
    bench.send(Message::Escape);
    let keeping = Keeping::new(&stored, the.path_now(&format!("layouts/{}", stored.id)));
    let may_edit = the.allows(Access::Editor);
    let suited = f64::from(suited_gamma(stored.value.subjects.len()));
    let (size, help, strength) = (RwSignal::new(512_u32), RwSignal::new(false), RwSignal::new(suited));
    if may_edit {
        keep(bench, keeping);
    }
    let project = the.id.get_untracked();
    let note = move || {
        let empty = bench.shown.with(|shown| shown.placements.is_empty());
        let (class, words) = match keeping.state.get() {
            _ if !may_edit => ("", "Read only".to_owned()),
            _ if empty => ("", "Empty: not saved".to_owned()),
            State::Saved => ("good", "Saved".to_owned()),
            State::Unsaved => ("", "Not saved yet".to_owned()),
            State::Saving => ("", "Saving…".to_owned()),
            State::Conflict => ("warns", "Changed elsewhere".to_owned()),
            State::Missing => ("bad", "Deleted elsewhere".to_owned()),
            State::Refused => ("bad", "Not saved: you may not change it".to_owned()),
            State::Failed(why) => ("bad", format!("Not saved: {why}")),
        };
        let whole = words.clone();
        view! { <span class=format!("tag {class}") title=whole>{words}</span> }
    };
    let failed = Signal::derive(move || match keeping.state.get() {
        State::Failed(why) => Some(why),
        _ => None,
    });
    let fault = move || {
        cutouts.fault.get().map(|error| view! { <p class="notice bad" role="alert">{error.to_string()}</p> })
    };
    let id = stored.id;
    let generate = move || format!("/projects/{project}/generate?layout={id}&gamma={:.1}", strength.get());
    view! {
        <div class="layout-studio">
            <header class="mask-head">
                <A href=format!("/projects/{project}/layouts") attr:class="button plain">"Layouts"</A>
                <PageTitle text=Signal::derive(move || format!("Layout: {}", keeping.name.get())) />
                <label class="layout-name">
                    <span class="visually-hidden">"Name"</span>
                    <input
                        maxlength="200"
                        disabled=!may_edit
                        prop:value=keeping.name
                        on:input=move |event| keeping.rename(&event_target_value(&event))
                        // Shows what it is called now, where what was typed is empty or has spaces around it.
                        on:change=move |_| keeping.name.notify()
                    />
                </label>
                <div class="mask-save" role="status">{note}</div>
                <A href=generate attr:class="button">"Generate with it"</A>
                <button class="button plain square" aria-label="Keys" title="Keys (?)" on:click=move |_| help.set(true)>
                    <Icon sign=Sign::Help />
                </button>
            </header>
            <Shelf bench />
            <div class="layout-middle">
                <Tools bench />
                {fault}
                <Easel bench size help />
                <SaveFault why=failed />
            </div>
            <aside class="editor-side layout-side" aria-label="Settings">
                <Pieces bench />
                {the.allows(Access::Player).then(|| view! { <LivePreview bench project=the.path_now("") strength /> })}
                <Exact bench side=size strength />
            </aside>
            {may_edit.then(|| view! { <Choices bench keeping /> })}
            <Dialog open=help title="Keys" wide=true>
                <Sheet lines=SHEET />
            </Dialog>
        </div>
    }
}

/// What a person has to choose before anything is saved.
#[component]
fn Choices(bench: Bench, keeping: Keeping) -> impl IntoView {
    let the = the_project();
    let navigate = StoredValue::new(use_navigate());
    let anew = move |_| {
        let (project, layouts) = (the.id.get_untracked(), the.path_now("layouts"));
        spawn_local(async move {
            if let Some(id) = save_anew(bench, keeping, layouts).await {
                let options = NavigateOptions { replace: true, ..NavigateOptions::default() };
                let place = format!("/projects/{project}/layouts/{id}");
                navigate.try_with_value(|navigate| navigate(&place, options));
            }
        });
    };
    let state = Memo::new(move |_| match keeping.state.get() {
        state @ (State::Conflict | State::Missing | State::Refused) => (state, false),
        _ => (State::Saved, keeping.left.with(Option::is_some)),
    });
    move || {
        match state.get() {
        (State::Conflict, _) => view! {
            <Decision
                label="This layout was changed elsewhere"
                what="This layout was changed in another window, or by somebody else."
                more="Nothing is saved before you choose. Undo brings back yours."
            >
                <button class="button primary" on:click=move |_| spawn_local(overwrite(keeping))>"Keep mine"</button>
                <button class="button" on:click=move |_| spawn_local(take_theirs(bench, keeping))>"Take the other one"</button>
            </Decision>
        }
        .into_any(),
        (State::Missing, _) => view! {
            <Decision
                label="This layout was deleted elsewhere"
                what="This layout was deleted in another window, or by somebody else."
                more="What you see here is not saved any more."
            >
                <button class="button primary" on:click=anew>"Save it as a new layout"</button>
            </Decision>
        }
        .into_any(),
        (State::Refused, _) => view! {
            <Decision
                label="You may not change this layout any more"
                what="Your link does not let you change this layout any more."
                more="What you change is kept in this browser alone. The owner can give you another link."
            >
                <button class="button primary" on:click=move |_| keeping.state.set(State::Unsaved)>"Try again"</button>
                <button class="button" on:click=move |_| spawn_local(take_theirs(bench, keeping))>"Drop my changes"</button>
            </Decision>
        }
        .into_any(),
        (_, true) => view! {
            <Decision
                label="Unsaved changes"
                what="There are changes of yours to this layout that were not saved."
                more="You can take them up again; undo brings back what you see now."
            >
                <button class="button primary" on:click=move |_| take_left(bench, keeping)>"Take them up"</button>
                <button class="button" on:click=move |_| keeping.left.set(None)>"Drop them"</button>
            </Decision>
        }
        .into_any(),
        _ => ().into_any(),
    }
    }
}

/// What is sent to the server.
pub(super) fn document(bench: Bench, name: &str) -> Option<NewStored<Layout>> {
    Some(NewStored { name: name.to_owned(), value: bench.layout()? })
}
