//! The page of a photo's mask.

use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use leptos_router::hooks::{use_navigate, use_params_map};
use mudi_domain::api::{Access, Photo};
use mudi_editor::mask::{Choice, MaskEditor, SHEET, SaveState};
use uuid::Uuid;

use super::clicks;
use super::desk::Desk;
use super::ending::Ending;
use super::input::Elsewhere;
use super::journals::Left;
use super::keeper::{Keeper, keep};
use super::others::{self, read_mask};
use super::painter::Painter;
use super::panel::Panel;
use super::photo::{PhotoLevels, context};
use super::stage::Stage;
use super::surface::{CANVAS, Surface};
use super::toolbar::Toolbar;
use crate::api::{self, Answer, ApiError, Loaded};
use crate::browser;
use crate::frame::the_project;
use crate::saves;
use crate::widgets::{Decision, Dialog, Failed, Icon, PageTitle, SaveFault, Sheet, Sign, shown_after};

/// The mask of the photo that the address names, to be drawn.
#[component]
pub(crate) fn MaskPage() -> impl IntoView {
    let the = the_project();
    let params = use_params_map();
    let wanted =
        Memo::new(move |_| params.with(|params| params.get("photo").and_then(|id| id.parse::<Uuid>().ok())));
    let photos = Loaded::to_edit(move || {
        let path = the.path("photos");
        async move { api::list::<Photo>(&path).await }
    });
    shown_after("Loading the list of photos…", photos, move |photos| {
        let place = photos.iter().position(|photo| Some(photo.id) == wanted.get());
        let Some(place) = place else { return view! { <NoPhoto /> }.into_any() };
        let near = |place: Option<usize>| Some(photos.get(place?)?.id);
        let (before, after) = (near(place.checked_sub(1)), near(place.checked_add(1)));
        let count = photos.len();
        view! { <Studio photo=photos[place].clone() before after place count /> }.into_any()
    })
}

#[component]
fn NoPhoto() -> impl IntoView {
    let the = the_project();
    view! {
        <div class="page">
            <div class="empty">
                <PageTitle text="There is no such photo" />
                <p>"It may have been deleted."</p>
                <A href=format!("/projects/{}/photos", the.id.get_untracked()) attr:class="button primary">
                    "All photos"
                </A>
            </div>
        </div>
    }
}

/// The editor of one photo's mask.
#[component]
fn Studio(
    photo: Photo,
    before: Option<Uuid>,
    after: Option<Uuid>,
    place: usize,
    count: usize,
) -> impl IntoView {
    let the = the_project();
    let (ground, marks) = (NodeRef::<html::Canvas>::new(), NodeRef::<html::Canvas>::new());
    let fault = RwSignal::new(None::<ApiError>);
    let (again, help, open) = (RwSignal::new(0_u32), RwSignal::new(false), RwSignal::new(false));
    let path = the.path_now(&format!("photos/{}", photo.id));
    let desk = Desk::new(&photo, &path);
    let mask_path = format!("{path}/mask");
    let size = (photo.width, photo.height);
    let pointed = clicks::Photo { path: path.clone(), size };
    let may_edit = the.allows(Access::Editor);
    {
        let (path, mask_path) = (path, mask_path.clone());
        Effect::new(move |_| {
            again.track();
            let (Some(ground), Some(marks)) = (ground.get(), marks.get()) else { return };
            let (path, mask_path) = (path.clone(), mask_path.clone());
            spawn_local(async move {
                fault.try_set(None);
                let gone = || fault.try_get_untracked().is_none();
                let loaded = load(&path, &mask_path, size, gone).await;
                let left = if may_edit && loaded.is_ok() { desk.keeper.left().await } else { None };
                if gone() {
                    return;
                }
                let canvases =
                    context(&ground, false).and_then(|ground| Ok((ground, context(&marks, false)?)));
                match (loaded, canvases) {
                    (Ok((levels, mask)), Ok((ground, marks))) => {
                        let window = (600.0, 400.0);
                        let editor = MaskEditor::new(mask.mask, mask.tag, window);
                        desk.begin(Stage::new(editor, Painter::new(levels, ground, marks)));
                        if let Some(left) = left {
                            desk.keeper.recover(desk, left);
                        }
                    }
                    (Err(error), _) => drop(fault.try_set(Some(error))),
                    (_, Err(_)) => {
                        let text = "this browser cannot draw on a canvas".to_owned();
                        fault.try_set(Some(ApiError::Unreadable(text)));
                    }
                }
            });
        });
    }
    if may_edit {
        keep(desk, mask_path, photo.name.clone());
        clicks::offer(desk, the.path_now(""), pointed);
    }
    let project = the.id.get_untracked();
    let address = move |photo: Uuid| format!("/projects/{project}/photos/{photo}/mask");
    let navigate = use_navigate();
    let turn = Callback::new(move |forward: bool| {
        if let Some(photo) = if forward { after } else { before } {
            navigate(&address(photo), Default::default());
        }
    });
    let elsewhere = Elsewhere { help: Callback::new(move |()| help.set(true)), turn };
    let failed = Memo::new(move |_| match desk.shown.get()?.save {
        SaveState::Failed(why) if desk.keeper.end.with(Option::is_none) => Some(why),
        _ => None,
    });
    let name = photo.name.clone();
    let step = move |photo: Option<Uuid>, sign: Sign, label: &'static str| match photo {
        Some(photo) => view! {
            <A href=address(photo) attr:class="button plain square" attr:aria-label=label attr:title=label>
                <Icon sign />
            </A>
        }
        .into_any(),
        None => view! {
            <span class="button plain square" aria-disabled="true" aria-hidden="true"><Icon sign /></span>
        }
        .into_any(),
    };
    view! {
        <div class="mask-studio" class:open=open>
            <header class="mask-head">
                <A href=format!("/projects/{project}/photos") attr:class="button plain">"Photos"</A>
                <PageTitle text=format!("Mask of {name}") />
                <nav class="mask-turn" aria-label="Photos">
                    {step(before, Sign::Previous, "Previous photo")}
                    <span class="quiet small">{format!("{} of {count}", place + 1)}</span>
                    {step(after, Sign::Next, "Next photo")}
                </nav>
                <SaveNote desk may_edit />
                <button class="button plain square" aria-label="Keys" title="Keys (?)" on:click=move |_| help.set(true)>
                    <Icon sign=Sign::Help />
                </button>
                <button
                    class="button plain square mask-fold"
                    aria-label="Settings"
                    aria-expanded=move || open.get().to_string()
                    on:click=move |_| open.update(|open| *open = !*open)
                >
                    <Icon sign=Sign::Sliders />
                </button>
            </header>
            <Toolbar desk />
            <Surface desk ground marks elsewhere />
            <SaveFault why=Signal::derive(move || failed.get()) />
            <Panel desk may_edit />
            {move || {
                fault
                    .get()
                    .map(|error| {
                        view! {
                            <div class="mask-fault">
                                <Failed error again=move |()| again.update(|times| *times += 1) />
                            </div>
                        }
                    })
            }}
            <p class="visually-hidden" role="status" aria-live="polite">{move || desk.said.get()}</p>
            <Dialog open=help title="Keys" wide=true>
                <Sheet lines=SHEET />
            </Dialog>
            <Conflict desk />
            <Stray desk />
            <Ending desk name=photo.name />
        </div>
    }
}

/// Reads the photo and its mask, for as long as the page is not `gone`.
async fn load(
    path: &str,
    mask: &str,
    size: (u32, u32),
    gone: impl Fn() -> bool,
) -> Answer<(PhotoLevels, others::Other)> {
    let file = api::read_image(&format!("{path}/image")).await?.value;
    // Whoever turns over photos quickly waits for none of them, and each is a hundred megabytes. Nobody hears of the error.
    if gone() {
        return Err(ApiError::Offline);
    }
    let unreadable = |_| ApiError::Unreadable("the browser cannot show this photo".to_owned());
    let levels = PhotoLevels::decode(&file).await.map_err(unreadable)?;
    // Whoever comes back at once has left a page that still saves.
    saves::arrived(mask).await;
    Ok((levels, read_mask(mask, size).await?))
}

/// Whether the server has what is shown.
#[component]
fn SaveNote(desk: Desk, may_edit: bool) -> impl IntoView {
    let note = move || {
        let state = desk.shown.get().map(|shown| shown.save);
        let (class, words) = match state {
            None => ("", "Loading…".to_owned()),
            Some(_) if !may_edit => ("", "Read only".to_owned()),
            Some(SaveState::Saved) => ("good", "Saved".to_owned()),
            Some(SaveState::Unsaved) => ("", "Not saved yet".to_owned()),
            Some(SaveState::Saving) => ("", "Saving…".to_owned()),
            Some(SaveState::Conflict) => ("warns", "Changed elsewhere".to_owned()),
            Some(SaveState::Failed(why)) => ("bad", format!("Not saved: {why}")),
        };
        let whole = words.clone();
        view! { <span class=format!("tag {class}") title=whole>{words}</span> }
    };
    view! { <div class="mask-save" role="status">{note}</div> }
}

/// What to do with the mask of somebody else.
#[component]
fn Conflict(desk: Desk) -> impl IntoView {
    let choose = move |choice: Choice| {
        if let Some(other) = desk.keeper.other.get_untracked() {
            others::resolve(desk, choice, other);
            browser::focus_soon(CANVAS);
        }
    };
    move || {
        desk.keeper.other.with(Option::is_some).then(|| {
            view! {
                <Decision
                    label="This mask was changed elsewhere"
                    what="This mask was changed in another window, or by somebody else."
                    more="Nothing is saved before you choose. Undo brings back yours."
                >
                    <button class="button primary" on:click=move |_| choose(Choice::Mine)>"Keep mine"</button>
                    <button class="button" on:click=move |_| choose(Choice::Theirs)>"Take the other one"</button>
                    <button class="button" on:click=move |_| choose(Choice::Both)>"Join both"</button>
                </Decision>
            }
        })
    }
}

/// Unsaved work of an earlier page, on a mask that is another one by now.
#[component]
fn Stray(desk: Desk) -> impl IntoView {
    let settle = move |how: fn(Keeper, Desk, Left)| {
        if let Some(left) = desk.keeper.stray.get_untracked() {
            how(desk.keeper, desk, left);
            browser::focus_soon(CANVAS);
        }
    };
    move || {
        desk.keeper.stray.with(Option::is_some).then(|| {
            view! {
                <Decision
                    label="Unsaved work"
                    what="There is unsaved work of yours on this mask."
                    more="The mask was changed since. You can do your strokes again on what it is now; undo takes them away."
                >
                    <button class="button primary" on:click=move |_| settle(Keeper::adopt)>"Do them again"</button>
                    <button class="button" on:click=move |_| settle(Keeper::settle)>"Drop them"</button>
                </Decision>
            }
        })
    }
}
