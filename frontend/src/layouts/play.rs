//! The place that a link to play with opens: subjects to move, and at once what a small model makes of them. Nothing is saved,
//! and nothing asks the server for more than files.

use leptos::prelude::*;
use mudi_domain::api::{Access, PreviewModel, Stored, SubjectSummary};
use mudi_domain::layout::{Layout, suited_gamma};
use mudi_domain::segmix::Options;
use mudi_domain::subject::SubjectId;
use mudi_editor::layout::{Message, SHEET};

use super::bench::Bench;
use super::cutouts::{Cutouts, Sources, placed, sources};
use super::easel::Easel;
use super::exact::Gamma;
use super::law::law;
use super::live::{Controls, Live, Picture, Status};
use super::tools::shape;
use crate::api::{self, Answer, Loaded};
use crate::browser;
use crate::frame::the_project;
use crate::widgets::{Dialog, Empty, Icon, PageTitle, Sheet, Sign, shown_after};

/// What there is to play with.
#[derive(Clone, PartialEq)]
struct Opened {
    subjects: Vec<SubjectSummary>,
    sources: Sources,
    /// Layouts to begin with, with their names; the first one is shown.
    layouts: Vec<(String, Layout)>,
    /// None where the host offers none, or whoever looks may not load it.
    model: Option<PreviewModel>,
    /// For layouts at random.
    law: Options,
}

/// Subjects to move, and the picture of them.
#[component]
pub(crate) fn PlayPage() -> impl IntoView {
    let the = the_project();
    let opened = Loaded::to_edit(move || {
        let (project, may_paint) = (the.path(""), the.allows(Access::Player));
        async move { open(&project, may_paint).await }
    });
    shown_after(
        "Loading the subjects and layouts…",
        opened,
        move |opened: Opened| view! { <Playing opened /> },
    )
}

async fn open(project: &str, may_paint: bool) -> Answer<Opened> {
    let (subjects, sources) = sources(project).await?;
    let stored: Vec<Stored<Layout>> = api::list(&format!("{project}/layouts")).await?;
    let model = if may_paint { api::get(&format!("{project}/preview")).await.ok() } else { None };
    // The newest first. One whose photos are gone would show nothing.
    let whole = |layout: &Layout| {
        let mut photos = layout.subjects.iter().map(|placement| placed(&sources, placement));
        photos.all(|photo| photo.is_some_and(|photo| photo.bounds.is_some()))
    };
    let stored = stored.into_iter().rev().map(|stored| (stored.name, stored.value));
    let mut layouts: Vec<_> = stored.filter(|(_, layout)| whole(layout)).collect();
    let beside: Vec<(SubjectId, Option<usize>)> = subjects
        .iter()
        .filter_map(|subject| {
            let photos = sources.get(&subject.id)?;
            let masked = photos.iter().find(|(_, photo)| photo.bounds.is_some());
            Some((subject.id.clone(), masked.map(|(&number, _)| number)))
        })
        .filter(|(_, photo)| photo.is_some())
        .collect();
    let (law, aspect) = law(project).await;
    if layouts.is_empty() && !beside.is_empty() {
        layouts.push(("Side by side".to_owned(), Layout::side_by_side(aspect, &beside)));
    }
    Ok(Opened { subjects, sources, layouts, model, law })
}

#[component]
fn Playing(opened: Opened) -> impl IntoView {
    let the = the_project();
    let Opened { subjects, sources, layouts, model, law } = opened;
    let title =
        Signal::derive(move || the.project.value().map_or_else(|| "Play".to_owned(), |project| project.name));
    let Some((_, first)) = layouts.first().cloned() else {
        let cure = if the.allows(Access::Editor) {
            "Find or draw masks on the page of photos."
        } else {
            "Whoever sent you the link can change that."
        };
        return view! {
            <div class="page">
                <PageTitle text=title />
                <Empty title="There is nothing to play with yet">
                    <p>"None of the subjects has a photo with a mask. " {cure}</p>
                </Empty>
            </div>
        }
        .into_any();
    };
    let strength = RwSignal::new(f64::from(suited_gamma(first.subjects.len())));
    let bench = Bench::new(first, Cutouts::new(the.path_now(""), subjects, sources), law);
    // Everything that is on the canvas is wanted at once.
    bench.send(Message::Escape);
    let live = model.map(|model| Live::new(bench, the.path_now(""), model, strength));
    if let Some(live) = live {
        live.begin();
    }
    let picture = match live {
        Some(live) => view! {
            <Picture live />
            <Status live />
        }
        .into_any(),
        None if the.allows(Access::Player) => view! {
            <p class="notice">"Whoever hosts this server has no model for pictures in the browser. The subjects can be moved all the same."</p>
        }
        .into_any(),
        None => view! {
            <p class="notice">"Your link lets you look, not paint: ask for one to play with. The subjects can be moved all the same."</p>
        }
        .into_any(),
    };
    let settings = live.map(|live| {
        view! {
            <section class="play-settings" aria-label="What is painted">
                <Controls live />
                <Gamma strength />
                <p class="help">
                    "Gamma is how firmly the picture keeps to the layout: at 0 not at all. Another seed is another picture of the same. Your browser paints; nothing that you do here is saved."
                </p>
            </section>
        }
    });
    view! {
        <div class="play">
            <header class="play-head">
                <PageTitle text=title />
                <p class="quiet">"Move them with the mouse, a finger or the arrow keys: the picture follows."</p>
            </header>
            <Board bench layouts />
            <section class="play-picture live" aria-label="Picture">{picture}</section>
            {settings}
        </div>
    }
    .into_any()
}

/// The canvas, and what can be done with it.
#[component]
fn Board(bench: Bench, layouts: Vec<(String, Layout)>) -> impl IntoView {
    let (size, help) = (RwSignal::new(512_u32), RwSignal::new(false));
    let names: Vec<String> = layouts.iter().map(|(name, _)| name.clone()).collect();
    let (layouts, chosen) = (StoredValue::new(layouts), RwSignal::new(0_usize));
    let begin = move |which: usize| {
        if let Some(layout) =
            layouts.with_value(|layouts| layouts.get(which).map(|(_, layout)| layout.clone()))
        {
            chosen.set(which);
            bench.send(Message::Replace(layout));
        }
    };
    let options = names
        .into_iter()
        .enumerate()
        .map(|(place, name)| view! { <option value=place.to_string()>{name}</option> });
    let options: Vec<_> = options.collect();
    let several = options.len() > 1;
    let choose = move |event| begin(event_target_value(&event).parse().unwrap_or(0));
    let random = move |_| bench.send(Message::Random((browser::ticks() * 1000.0) as u64 % 1_000_000_007));
    view! {
        <section class="play-board" aria-label="Layout">
            <Easel bench size help />
            <div class="play-tools" role="toolbar" aria-label="Arrange">
                <Chips bench />
                <button class="button" on:click=random>
                    <Icon sign=Sign::Dice />
                    "Shuffle"
                </button>
                <button class="button" disabled=move || !bench.shown.with(|shown| shown.undo) on:click=move |_| bench.send(Message::Undo)>
                    <Icon sign=Sign::Undo />
                    "Undo"
                </button>
                <button class="button" on:click=move |_| begin(chosen.get_untracked())>"Start over"</button>
                {shape(bench)}
                {several.then(|| view! { <select aria-label="Layout to begin with" on:change=choose>{options}</select> })}
                <button class="button plain square" aria-label="Keys" title="Keys (?)" on:click=move |_| help.set(true)>
                    <Icon sign=Sign::Help />
                </button>
            </div>
            <Dialog open=help title="Keys" wide=true>
                <Sheet lines=SHEET />
            </Dialog>
        </section>
    }
}

/// The subjects on the canvas, to be chosen without a pointer.
#[component]
fn Chips(bench: Bench) -> impl IntoView {
    let on_canvas = Memo::new(move |_| {
        bench.shown.with(|shown| {
            shown.placements.iter().map(|placed| placed.subject.clone()).enumerate().collect::<Vec<_>>()
        })
    });
    let chip = move |(index, subject): (usize, SubjectId)| {
        let name = bench.cutouts.subjects.with_value(|subjects| {
            let known = subjects.iter().find(|known| known.id == subject);
            known.map_or_else(|| subject.to_string(), |known| known.name.clone())
        });
        let pressed = move || bench.shown.with(|shown| shown.chosen.contains(&index)).to_string();
        view! {
            <button class="button" aria-pressed=pressed on:click=move |event| bench.send(Message::Choose(Some(index), event.shift_key()))>
                {name}
            </button>
        }
    };
    view! { <For each=move || on_canvas.get() key=Clone::clone children=chip /> }
}
