//! A photo: what is seen of it, its mask, its caption.

use leptos::ev::{KeyboardEvent, SubmitEvent};
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use mudi_domain::api::{Access, Photo, PhotoChange};
use mudi_domain::prompt;

use super::more::More;
use crate::api;
use crate::browser;
use crate::frame::{Deletions, TheProject, Toasts, the_project};
use crate::widgets::{Icon, Sign};

/// How far a photo is from being trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Masked {
    Not,
    /// The mask covers nothing.
    Empty,
    Well,
}

/// A photo of the subject with the name `name`. What changes of it, changes in its place: somebody may be writing there.
#[component]
pub(super) fn PhotoCard(
    photo: Memo<Photo>,
    name: String,
    more: More,
    changed: Callback<()>,
) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let Photo { id, width, height, name: file, .. } = photo.get_untracked();
    let path = the.path_now(&format!("photos/{id}"));
    let hidden = path.clone();
    let editor = format!("/projects/{}/photos/{id}/mask", the.id.get_untracked());
    let may_edit = the.allows(Access::Editor);
    let mask_path = format!("{path}/mask");
    let mask =
        Memo::new(move |_| photo.with(|photo| photo.mask.clone()).filter(|_| !deletions.hides(&mask_path)));
    let masked = Memo::new(move |_| match mask.with(Option::is_some) {
        false => Masked::Not,
        true if photo.with(Photo::is_masked) => Masked::Well,
        true => Masked::Empty,
    });
    let overlay = {
        let path = path.clone();
        move || {
            mask.get().map(|mask| {
                // The small mask: a page of whole ones would take gigabytes. The tag in the address has the browser fetch a new one.
                view! { <img class="photo-mask" src=format!("{path}/mask/thumbnail?{}", &mask[..mask.len().min(12)]) alt="" loading="lazy" /> }
            })
        }
    };
    let picture = view! {
        <img src=format!("{path}/thumbnail") alt=format!("Photo {file} of {name}") loading="lazy" width=width height=height />
        {overlay}
    };
    let (delete, mend) = (format!("Delete {file}"), format!("the mask of {file}"));
    let further = format!("More of {file}");
    let remove = move |_| deletions.delete(path.clone(), format!("“{file}” is deleted."), changed);
    let picture = if may_edit {
        let label = move || format!("{} {mend}", if masked.get() == Masked::Not { "Draw" } else { "Mend" });
        view! {
            <A href=editor attr:class="photo-picture" attr:aria-label=label>
                {picture}
                <span class="photo-brush" aria-hidden="true"><Icon sign=Sign::Brush /></span>
            </A>
        }
        .into_any()
    } else {
        view! { <div class="photo-picture">{picture}</div> }.into_any()
    };
    view! {
        <li class="photo" hidden=move || deletions.hides(&hidden)>
            {picture}
            <div class="card-head">
                <span class=move || if masked.get() == Masked::Well { "tag good" } else { "tag warns" }>
                    {move || match masked.get() {
                        Masked::Not => "No mask yet",
                        Masked::Empty => "Empty mask",
                        Masked::Well => "Masked",
                    }}
                </span>
                {may_edit
                    .then(|| {
                        view! {
                            <span class="row tight">
                                <button
                                    class="button plain square"
                                    aria-label=further
                                    aria-haspopup="dialog"
                                    title="More"
                                    on:click=move |_| more.show(photo.get_untracked())
                                >
                                    <Icon sign=Sign::More />
                                </button>
                                <button class="button plain square" aria-label=delete title="Delete" on:click=remove>
                                    <Icon sign=Sign::Trash />
                                </button>
                            </span>
                        }
                    })}
            </div>
            <Caption photo name may_edit changed />
        </li>
    }
}

/// A photo's caption, which can be written in its place.
#[component]
fn Caption(photo: Memo<Photo>, name: String, may_edit: bool, changed: Callback<()>) -> impl IntoView {
    let draft = Draft::new(photo, &name, changed);
    if !may_edit {
        return view! { <p class="caption small">{draft.text}</p> }.into_any();
    }
    let key = move |event: KeyboardEvent| match event.key().as_str() {
        "Escape" => draft.give_up(),
        "Enter" if !event.shift_key() && !event.is_composing() => {
            event.prevent_default();
            draft.follow.set_value(true);
            draft.save();
        }
        _ => {}
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        draft.save();
    };
    let label = StoredValue::new(photo.with_untracked(|photo| format!("Caption of {}", photo.name)));
    let area = NodeRef::<html::Textarea>::new();
    Effect::new(move |_| {
        if let Some(area) = area.get().filter(|_| draft.follows()) {
            let _ = area.focus();
        }
    });
    Effect::new(move |_| {
        if let Some(button) = draft.button.get().filter(|_| draft.follows()) {
            let _ = button.focus();
        }
    });
    view! {
        {move || {
            if draft.editing.get() {
                view! {
                    <form on:submit=submit>
                        <textarea
                            node_ref=area
                            rows="3"
                            maxlength="1000"
                            aria-label=label.get_value()
                            prop:value=draft.text
                            on:input=move |event| draft.text.set(event_target_value(&event))
                            on:keydown=key
                            on:blur=move |_| draft.save()
                        ></textarea>
                    </form>
                }
                    .into_any()
            } else {
                view! {
                    <button
                        class="caption small"
                        title="Change the caption"
                        node_ref=draft.button
                        on:click=move |_| draft.begin()
                    >
                        <span class="visually-hidden">{label.get_value()} ": "</span>
                        {draft.text}
                    </button>
                }
                    .into_any()
            }
        }}
    }
    .into_any()
}

/// A caption that is shown, or being written.
#[derive(Clone, Copy)]
struct Draft {
    the: TheProject,
    toasts: Toasts,
    photo: Memo<Photo>,
    /// The caption where nobody has written one.
    standard: StoredValue<String>,
    text: RwSignal<String>,
    editing: RwSignal<bool>,
    /// The version that is written over; after a failure, which may have told of another one, that which is known by then.
    version: StoredValue<Option<i64>>,
    /// Whether the focus goes to what comes into the place of what had it.
    follow: StoredValue<bool>,
    button: NodeRef<html::Button>,
    changed: Callback<()>,
}

impl Draft {
    fn new(photo: Memo<Photo>, name: &str, changed: Callback<()>) -> Self {
        let draft = Self {
            the: the_project(),
            toasts: expect_context(),
            photo,
            standard: StoredValue::new(prompt::photo(name)),
            text: RwSignal::new(String::new()),
            editing: RwSignal::new(false),
            version: StoredValue::new(None),
            follow: StoredValue::new(false),
            button: NodeRef::new(),
            changed,
        };
        let own = Memo::new(move |_| photo.with(|photo| photo.caption.clone()));
        draft.text.set(draft.known());
        Effect::new(move |_| {
            own.with(|_| ());
            if !draft.editing.get_untracked() {
                draft.text.set(draft.known());
            }
        });
        draft
    }

    /// What the server has.
    fn known(self) -> String {
        let own = self.photo.with_untracked(|photo| photo.caption.clone());
        if own.is_empty() { self.standard.get_value() } else { own }
    }

    /// Takes the wish that the focus may follow.
    fn follows(self) -> bool {
        self.follow.try_update_value(std::mem::take) == Some(true)
    }

    fn begin(self) {
        self.version.set_value(Some(self.photo.with_untracked(|photo| photo.version)));
        self.follow.set_value(true);
        self.editing.set(true);
    }

    fn give_up(self) {
        self.text.set(self.known());
        self.follow.set_value(true);
        self.editing.set(false);
    }

    fn save(self) {
        if !self.editing.get_untracked() {
            return;
        }
        self.editing.set(false);
        let written = self.text.get_untracked().trim().to_owned();
        if written == self.known() {
            return self.text.set(written);
        }
        // The standard one is none, so that it follows the subject's name.
        let standard = self.standard.with_value(|standard| *standard == written);
        let caption = if standard { String::new() } else { written };
        let (id, known) = self.photo.with_untracked(|photo| (photo.id, photo.version));
        let version = self.version.get_value().unwrap_or(known);
        let path = self.the.path_now(&format!("photos/{id}"));
        let change = PhotoChange { caption: Some(caption), subject: None };
        spawn_local(async move {
            if let Err(error) = api::patch::<Photo>(&path, version, &change).await {
                self.toasts.fault(&error);
                self.reopen();
            }
            self.changed.try_run(());
        });
    }

    /// What was not saved is not shown as if it were. It takes the focus from nobody who writes elsewhere by now.
    fn reopen(self) {
        self.version.try_set_value(None);
        let button = self.button.try_get_untracked().flatten();
        self.follow.try_set_value(button.is_some_and(|button| browser::focus_is_free(&button)));
        self.editing.try_set(true);
    }
}
