//! The pictures that were made, newest first, in the groups in which they were asked for.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, Image, Job, NewEvaluation, Run};
use mudi_domain::compare::score_text;
use uuid::Uuid;

use super::compare::Compare;
use super::pictures::Pictures;
use super::place::Place;
use super::selection::Selection;
use super::viewer::Viewer;
use super::wish::{Wish, by_deleted};
use crate::api;
use crate::clock::Clock;
use crate::frame::{Deletions, Toasts, the_project};
use crate::training::OpenJobs;
use crate::widgets::{Asked, Dialog, Empty, Icon, Sign, ToysOnly, busy_already};

/// Where a picture is.
pub(super) fn picture_path(project: Uuid, image: &Image) -> String {
    api::of(project, &format!("images/{}/picture", image.id))
}

/// Where the same is, small.
pub(crate) fn thumbnail_path(project: Uuid, image: &Image) -> String {
    api::of(project, &format!("images/{}/thumbnail", image.id))
}

/// What is being judged.
#[derive(Clone, Copy)]
struct Judging {
    jobs: OpenJobs,
    asked: Callback<Job>,
    /// The group of pictures that each job judges.
    groups: RwSignal<BTreeMap<Uuid, Uuid>>,
}

impl Judging {
    /// Whether a job judges pictures of `group`.
    fn has(self, group: Uuid) -> bool {
        let jobs = self.jobs.open();
        self.groups.with(|groups| jobs.iter().any(|job| groups.get(&job.id) == Some(&group)))
    }

    /// A button that has those of `group` judged that were not: whether they show the subjects, each once and unmixed.
    fn button(self, group: Uuid, images: &[Image]) -> Option<impl IntoView + use<>> {
        let (the, toasts) = (the_project(), expect_context::<Toasts>());
        let new = images.iter().filter(|image| image.score.is_none() && image.run.is_some());
        let images: Vec<Uuid> = new.map(|image| image.id).collect();
        let busy = RwSignal::new(false);
        let judge = move |images: Vec<Uuid>| {
            busy.set(true);
            spawn_local(async move {
                match api::post::<Job>(&the.path_now("evaluations"), &NewEvaluation { images }).await {
                    Ok(job) => {
                        self.groups.try_update(|groups| groups.insert(job.id, group));
                        self.asked.try_run(job);
                    }
                    Err(error) => toasts.fault(&error),
                }
                busy.try_set(false);
            });
        };
        (!images.is_empty() && the.allows(Access::Editor)).then(|| {
            view! {
                <button
                    class="link small"
                    title="Detect-and-Compare: each subject once, unmixed?"
                    disabled=move || busy.get() || self.has(group)
                    on:click=move |_| judge(images.clone())
                >
                    "Are these my subjects?"
                </button>
            }
        })
    }
}

/// What Detect-and-Compare says of a picture.
fn score_tag(image: &Image) -> Option<impl IntoView + use<>> {
    image.score.clone().map(|score| {
        let (class, mark) = match score.right {
            Some(true) => ("tag good picture-score", "✓ "),
            Some(false) => ("tag warns picture-score", "✗ "),
            None => ("tag picture-score", ""),
        };
        view! { <span class=class title=score.explanation>{format!("{mark}D&C {}", score_text(score.score))}</span> }
    })
}

/// A picture in words.
pub(super) fn described(image: &Image) -> String {
    let prompt = image.parameters["prompt"].as_str().unwrap_or("a picture");
    format!("{prompt} (seed {})", image.seed)
}

/// All pictures of the project.
#[component]
pub(super) fn Gallery(
    pictures: Pictures,
    /// The picture that the address names.
    place: Place,
    runs: Signal<Vec<Run>>,
    jobs: OpenJobs,
    wish: Wish,
    asked: Callback<Job>,
) -> impl IntoView {
    let deletions = expect_context::<Deletions>();
    let clock = expect_context::<Clock>();
    let the = the_project();
    let open = RwSignal::new(false);
    let shown = RwSignal::new(None::<Image>);
    let selection = Selection::new();
    let (chosen, comparing) = (RwSignal::new(Vec::<Image>::new()), RwSignal::new(false));
    let groups = Memo::new(move |_| {
        let mut groups: Vec<(Uuid, Vec<Image>)> = Vec::new();
        for image in pictures.all() {
            match groups.last_mut().filter(|(job, _)| *job == image.job) {
                Some((_, group)) => group.insert(0, image),
                None => groups.push((image.job, vec![image])),
            }
        }
        groups
    });
    let toasts = expect_context::<Toasts>();
    let reveal = move |image: Image| {
        shown.try_set(Some(image));
        open.try_set(true);
    };
    Effect::new(move |_| {
        let Some(id) = place.picture.get() else { return open.set(false) };
        if let Some(known) = untrack(|| pictures.all()).into_iter().find(|image| image.id == id) {
            return reveal(known);
        }
        let path = the.path_now(&format!("images/{id}"));
        spawn_local(async move {
            match api::get::<Image>(&path).await {
                // Another one may have been opened meanwhile.
                Ok(image) if place.picture.try_get_untracked() == Some(Some(id)) => reveal(image),
                Ok(_) => {}
                Err(error) => {
                    toasts.fault(&error);
                    // An address that shows nothing would say so again and again.
                    if place.picture.try_get_untracked() == Some(Some(id)) {
                        place.show(None, true);
                    }
                }
            }
        });
    });
    Effect::new(move |before: Option<bool>| {
        let now = open.get();
        if before == Some(true) && !now {
            place.closed();
        }
        now
    });
    let show = Callback::new(move |image: Image| place.show(Some(image.id), false));
    let choose = Callback::new(move |image: Image| {
        chosen.update(|chosen| match chosen.iter().position(|other| other.id == image.id) {
            Some(place) => drop(chosen.remove(place)),
            None => {
                chosen.push(image);
                if chosen.len() > 2 {
                    chosen.remove(0);
                }
            }
        });
    });
    let picture = move |image: Image| {
        let hidden = api::of(the.id.get_untracked(), &format!("images/{}", image.id));
        view! {
            <li class="picture" hidden=move || deletions.hides(&hidden)>
                <Picture image show choose chosen selection />
            </li>
        }
    };
    let select =
        move || (the.allows(Access::Editor) && !groups.with(Vec::is_empty)).then(|| selection.button());
    let judging = Judging { jobs, asked, groups: RwSignal::new(BTreeMap::new()) };
    let group = move |(id, group): (Uuid, Vec<Image>)| {
        let first = group.first();
        let (run, created) = first.map_or((None, 0), |first| (first.run, first.created));
        let prompt =
            first.and_then(|first| first.parameters["prompt"].as_str()).unwrap_or_default().to_owned();
        let deleted = first.and_then(by_deleted);
        let label = prompt.clone();
        let model = move || {
            let known =
                runs.with(|runs| runs.iter().find(|known| Some(known.id) == run).map(|run| run.name.clone()));
            let by = match (&deleted, run) {
                (Some(name), _) if name.is_empty() => "by a run that is deleted, ".to_owned(),
                (Some(name), _) => format!("by a run that is deleted: {name}, "),
                (None, Some(_)) => known.map(|name| format!("{name}, ")).unwrap_or_default(),
                (None, None) => "the base alone, ".to_owned(),
            };
            format!("{by}{}", clock.ago(created))
        };
        let judged = judging.button(id, &group);
        view! {
            <section class="stack" aria-label=label>
                <p>
                    {prompt} " "
                    <span class="quiet small">{model}</span> " "
                    {judged}
                </p>
                <ul class="pictures">{group.into_iter().map(picture).collect_view()}</ul>
            </section>
        }
    };
    let bar = move || {
        let count = chosen.with(Vec::len);
        (count > 0 && !selection.is_on()).then(|| {
            view! {
                <div class="compare-bar" role="status">
                    <span>
                        {if count == 1 { "One picture chosen. Choose another to compare." } else { "Two pictures chosen." }}
                    </span>
                    <button class="button primary" disabled=count < 2 on:click=move |_| comparing.set(true)>
                        <Icon sign=Sign::Compare />
                        "Compare"
                    </button>
                    <button class="button plain" on:click=move |_| chosen.set(Vec::new())>"Clear"</button>
                </div>
            }
        })
    };
    let fetching = RwSignal::new(false);
    let fetch = move |_| {
        if busy_already(fetching) {
            return;
        }
        spawn_local(async move {
            if let Err(error) = pictures.more().await {
                toasts.fault(&error);
            }
            fetching.try_set(false);
        });
    };
    let more = move || {
        pictures.has_more().then(|| {
            view! {
                <button class="button show-more" on:click=fetch>
                    {move || if fetching.get() { "Loading…" } else { "Show more" }}
                </button>
            }
        })
    };
    view! {
        <section class="stack wide-gap" aria-label="Pictures">
            {move || {
                pictures.none()
                    .then(|| {
                        view! {
                            <Empty title="No pictures yet">
                                {the
                                    .allows(Access::Editor)
                                    .then(|| {
                                        view! {
                                            <p>"Write a prompt with the subjects’ names, and generate. Pictures appear here as they are made."</p>
                                        }
                                    })}
                            </Empty>
                        }
                    })
            }}
            {move || (the.allows(Access::Editor) && !groups.with(Vec::is_empty)).then(|| view! { <ToysOnly asked=Asked::Scores /> })}
            {select}
            <For each=move || groups.get() key=|(_, group)| (group.first().map(|first| first.id), group.last().map(|last| last.id), group.len(), group.iter().filter(|image| image.score.is_some()).count()) children=group />
            {more} {bar} {selection.bar(pictures)}
            <Dialog open=open title="Picture" wide=true>
                {move || {
                    shown
                        .get()
                        .map(|image| {
                            view! { <Viewer image wish pictures close=Callback::new(move |()| open.set(false)) /> }
                        })
                }}
            </Dialog>
            <Dialog open=comparing title="Compare" wide=true>
                {move || {
                    let two = chosen.get();
                    let [first, second] = <[Image; 2]>::try_from(two).ok()?;
                    Some(view! { <Compare first second /> })
                }}
            </Dialog>
        </section>
    }
}

#[component]
fn Picture(
    image: Image,
    show: Callback<Image>,
    choose: Callback<Image>,
    chosen: RwSignal<Vec<Image>>,
    selection: Selection,
) -> impl IntoView {
    let the = the_project();
    let (id, words) = (image.id, described(&image));
    let source = thumbnail_path(the.id.get_untracked(), &image);
    let held = StoredValue::new(image.clone());
    let press = move |_| {
        if untrack(|| selection.is_on()) {
            selection.toggle(id);
        } else {
            show.run(held.get_value());
        }
    };
    let label = format!("Select: {words}");
    let check = move || {
        selection.is_on().then(|| {
            view! {
                <label class="picture-select">
                    <input
                        type="checkbox"
                        aria-label=label.clone()
                        prop:checked=move || selection.has(id)
                        on:change=move |_| selection.toggle(id)
                    />
                </label>
            }
        })
    };
    let is_chosen = move || chosen.with(|chosen| chosen.iter().any(|other| other.id == id));
    view! {
        <button class="picture-open" class:selected=move || selection.has(id) on:click=press>
            <img src=source alt=words.clone() loading="lazy" width=image.width height=image.height />
            {score_tag(&image)}
        </button>
        <button
            class="button square picture-choose"
            title="Choose to compare"
            aria-label=format!("Compare: {words}")
            hidden=move || selection.is_on()
            aria-pressed=move || is_chosen().to_string()
            on:click=move |_| choose.run(held.get_value())
        >
            <Icon sign=Sign::Compare />
        </button>
        {check}
    }
}
