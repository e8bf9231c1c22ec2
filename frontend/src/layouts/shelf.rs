//! The subjects beside the canvas: what can be put on it, and what is on it.

use leptos::prelude::*;
use mudi_domain::api::Photo;
use mudi_domain::collage::MAX_SUBJECTS;
use mudi_domain::layout::Placement;
use mudi_domain::subject::SubjectId;
use mudi_editor::layout::Message;

use super::bench::Bench;
use crate::frame::the_project;
use crate::widgets::{Empty, Slider};

/// A photo's thumbnail with everything but the subject left out.
fn thumbnail(project: &str, photo: &Photo) -> impl IntoView + use<> {
    let path = format!("{project}/photos/{}", photo.id);
    let tag = photo.mask.as_deref().unwrap_or_default();
    let tag = &tag[..tag.len().min(12)];
    let mask = format!("url(\"{path}/mask/thumbnail?{tag}\")");
    let shape = format!("{} / {}", photo.width, photo.height);
    // Property by property: the page's policy refuses a whole style.
    view! {
        <img
            class="cut"
            src=format!("{path}/thumbnail")
            style=("--mask", mask)
            style=("aspect-ratio", shape)
            alt=""
            loading="lazy"
            draggable="false"
        />
    }
}

/// What can be put on the canvas.
#[component]
pub(super) fn Shelf(bench: Bench) -> impl IntoView {
    let the = the_project();
    let project = the.path_now("");
    let full = Memo::new(move |_| bench.shown.with(|shown| shown.placements.len() >= MAX_SUBJECTS));
    let (subjects, sources) = (bench.cutouts.subjects.get_value(), bench.cutouts.sources.get_value());
    let groups = subjects
        .into_iter()
        .map(|subject| {
            let list = sources.get(&subject.id).cloned().unwrap_or_default();
            let photos = list
                .iter()
                .filter(|(_, photo)| photo.bounds.is_some())
                .map(|(&index, photo)| {
                    let id = subject.id.clone();
                    let label = format!("Put photo {} of {} on the canvas", index + 1, subject.name);
                    view! {
                        <button
                            class="shelf-photo"
                            aria-label=label.clone()
                            title=label
                            disabled=full
                            on:click=move |_| bench.send(Message::Add(id.clone(), index))
                        >
                            {thumbnail(&project, photo)}
                        </button>
                    }
                })
                .collect::<Vec<_>>();
            let none = photos.is_empty();
            view! {
                <section>
                    <h3>{subject.name}</h3>
                    {none.then(|| view! { <p class="help">"None of its photos has a mask yet."</p> })}
                    <div class="shelf-photos">{photos}</div>
                </section>
            }
        })
        .collect::<Vec<_>>();
    let empty = groups.is_empty();
    view! {
        <div class="shelf">
            <h2>"Subjects"</h2>
            {empty
                .then(|| {
                    view! {
                        <Empty title="There are no subjects yet">
                            <p>"Add subjects and their photos first."</p>
                        </Empty>
                    }
                })}
            {groups}
            {move || full.get().then(|| view! { <p class="help">{format!("A canvas holds {MAX_SUBJECTS}.")}</p> })}
        </div>
    }
}

/// What is on the canvas, topmost first, and the numbers of what is chosen.
#[component]
pub(super) fn Pieces(bench: Bench) -> impl IntoView {
    let rows = Memo::new(move |_| {
        bench.shown.with(|shown| {
            let mut stack: Vec<_> = shown.placements.iter().enumerate().collect();
            stack.sort_by_key(|(index, placed)| std::cmp::Reverse((placed.z, *index)));
            // A row stays what it is, and keeps the focus, where it moves in the stack.
            let row = |(index, placed): (usize, &Placement)| {
                (index, placed.subject.clone(), placed.photo.unwrap_or(0))
            };
            stack.into_iter().map(row).collect::<Vec<_>>()
        })
    });
    let name = move |id: &SubjectId| {
        let subjects = bench.cutouts.subjects.get_value();
        subjects
            .into_iter()
            .find(|subject| subject.id == *id)
            .map_or_else(|| id.to_string(), |subject| subject.name)
    };
    let row = move |(index, subject, photo): (usize, SubjectId, usize)| {
        let pressed = move || bench.shown.with(|shown| shown.chosen.contains(&index)).to_string();
        view! {
            <li>
                <button
                    class="piece"
                    aria-pressed=pressed
                    on:click=move |event| bench.send(Message::Choose(Some(index), event.shift_key()))
                >
                    <span>{name(&subject)}</span>
                    <span class="quiet small">{format!("photo {}", photo + 1)}</span>
                </button>
            </li>
        }
    };
    view! {
        <section class="pieces">
            <div class="exact-head">
                <h2>"On the canvas"</h2>
                // A finger has no Shift, and equal gaps need three.
                {move || {
                    (rows.with(Vec::len) > 1)
                        .then(|| {
                            view! {
                                <button class="button" on:click=move |_| bench.send(Message::ChooseAll)>
                                    "Choose all"
                                </button>
                            }
                        })
                }}
            </div>
            {move || {
                rows.with(Vec::is_empty)
                    .then(|| view! { <p class="help">"Nothing yet. Choose a subject, or try a random layout."</p> })
            }}
            <ul>
                <For each=move || rows.get() key=Clone::clone children=row />
            </ul>
            <Numbers bench />
        </section>
    }
}

/// Size, angle and photo of the one that is chosen.
#[component]
fn Numbers(bench: Bench) -> impl IntoView {
    let one = Memo::new(move |_| {
        bench.shown.track();
        bench.look(|designer| {
            let index = designer.only_chosen()?;
            let (placed, frame) = (&designer.placements()[index], designer.frame(index));
            Some((placed.subject.clone(), placed.photo.unwrap_or(0), frame.width, frame.rotation))
        })?
    });
    let there = Memo::new(move |_| {
        one.with(|one| one.as_ref().map(|(subject, photo, ..)| (subject.clone(), *photo)))
    });
    let width = Signal::derive(move || one.with(|one| one.as_ref().map_or(0.0, |one| one.2 * 100.0)));
    let rotation = Signal::derive(move || one.with(|one| one.as_ref().map_or(0.0, |one| one.3)));
    move || {
        let (subject, photo) = there.get()?;
        let photos = bench.cutouts.sources.with_value(|sources| {
            let photos = sources.get(&subject).into_iter().flatten();
            photos.filter(|(_, photo)| photo.bounds.is_some()).map(|(&number, _)| number).collect::<Vec<_>>()
        });
        // Without it the list would show one that is not on the canvas, and that nobody could choose.
        let gone = (!photos.contains(&photo)).then(|| {
            view! { <option value="" selected=true disabled=true>{format!("Photo {}: gone, or without a mask", photo + 1)}</option> }
        });
        let options = photos
            .into_iter()
            .map(|index| view! { <option value=index.to_string() selected=index == photo>{format!("Photo {}", index + 1)}</option> })
            .collect_view();
        let choose = move |event| {
            if let Ok(photo) = event_target_value(&event).parse() {
                bench.send(Message::Photo(photo));
            }
        };
        Some(view! {
            <Slider
                label="Width"
                unit="%"
                value=width
                least=1.0
                most=200.0
                step=0.1
                changed=Callback::new(move |wanted: f64| {
                    let now = width.get_untracked();
                    if now > 0.0 {
                        bench.send(Message::Scale(wanted / now));
                    }
                })
            />
            <Slider
                label="Angle"
                unit="°"
                value=rotation
                least=-180.0
                most=180.0
                step=0.1
                changed=Callback::new(move |degrees| bench.send(Message::TurnTo(degrees)))
            />
            <label class="field">
                <span class="label">"Photo"</span>
                <select on:change=choose>{gone}{options}</select>
            </label>
        })
    }
}
