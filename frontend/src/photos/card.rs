//! A photo: what is seen of it, its mask, its caption.

use leptos::ev::{KeyboardEvent, SubmitEvent};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::components::A;
use mudi_domain::api::{Access, Photo, PhotoChange};
use mudi_domain::prompt;

use crate::api;
use crate::frame::{Deletions, Toasts, the_project};
use crate::widgets::{Icon, Sign};

/// Masks of larger photos, in pixels, are not laid over thumbnails: a page of them would take gigabytes.
const OVERLAID: u32 = 12_000_000;

/// A photo of the subject with the name `name`.
#[component]
pub(super) fn PhotoCard(photo: Photo, name: String, changed: Callback<()>) -> impl IntoView {
    let the = the_project();
    let deletions = expect_context::<Deletions>();
    let below = format!("photos/{}", photo.id);
    let path = the.path_now(&below);
    let hidden = path.clone();
    let editor = format!("/projects/{}/photos/{}/mask", the.id.get_untracked(), photo.id);
    let may_edit = the.allows(Access::Editor);
    let masked = photo.mask.is_some();
    let overlay = photo.mask.as_ref().filter(|_| photo.width * photo.height <= OVERLAID).map(|mask| {
        // The tag in the address has the browser fetch a new mask anew.
        view! { <img class="photo-mask" src=format!("{path}/mask?{}", &mask[..mask.len().min(12)]) alt="" loading="lazy" /> }
    });
    let file = photo.name.clone();
    let remove = {
        let (path, file) = (path.clone(), file.clone());
        move |_| deletions.delete(path.clone(), format!("“{file}” is deleted."), changed)
    };
    let state = if masked {
        view! { <span class="tag good">"Masked"</span> }.into_any()
    } else {
        view! { <span class="tag warns">"No mask yet"</span> }.into_any()
    };
    let picture = view! {
        <img src=format!("{path}/thumbnail") alt=format!("Photo {file} of {name}") loading="lazy" width=photo.width height=photo.height />
        {overlay}
    };
    let picture = if may_edit {
        let label = format!("{} the mask of {file}", if masked { "Mend" } else { "Draw" });
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
                {state}
                {may_edit
                    .then(|| {
                        view! {
                            <button class="button plain square" aria-label=format!("Delete {file}") title="Delete" on:click=remove>
                                <Icon sign=Sign::Trash />
                            </button>
                        }
                    })}
            </div>
            <Caption photo name may_edit changed />
        </li>
    }
}

/// A photo's caption, which can be written in its place.
#[component]
fn Caption(photo: Photo, name: String, may_edit: bool, changed: Callback<()>) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let (own, version, id) = (photo.caption.clone(), photo.version, photo.id);
    let shown = if own.is_empty() { prompt::photo(&name) } else { own.clone() };
    let (text, editing) = (RwSignal::new(shown.clone()), RwSignal::new(false));
    let standard = prompt::photo(&name);
    let save = StoredValue::new(move || {
        if !editing.get_untracked() {
            return;
        }
        editing.set(false);
        let written = text.get_untracked().trim().to_owned();
        // The standard one is none, so that it follows the subject's name.
        let caption = if written == standard { String::new() } else { written };
        if caption == own {
            return;
        }
        spawn_local(async move {
            let path = the.path_now(&format!("photos/{id}"));
            if let Err(error) = api::patch::<Photo>(&path, version, &PhotoChange { caption }).await {
                toasts.fault(&error);
            }
            changed.run(());
        });
    });
    let original = shown.clone();
    let key = move |event: KeyboardEvent| match event.key().as_str() {
        "Escape" => {
            text.set(original.clone());
            editing.set(false);
        }
        "Enter" if !event.shift_key() => {
            event.prevent_default();
            save.with_value(|save| save());
        }
        _ => {}
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        save.with_value(|save| save());
    };
    let label = format!("Caption of {}", photo.name);
    let area = NodeRef::<leptos::html::Textarea>::new();
    Effect::new(move |_| {
        if let Some(area) = area.get() {
            // It is there because somebody wants to write.
            let _ = area.focus();
        }
    });
    if !may_edit {
        return view! { <p class="caption small">{shown}</p> }.into_any();
    }
    view! {
        {move || {
            let (label, key) = (label.clone(), key.clone());
            if editing.get() {
                view! {
                    <form on:submit=submit>
                        <textarea
                            node_ref=area
                            rows="3"
                            maxlength="1000"
                            aria-label=label
                            prop:value=text
                            on:input=move |event| text.set(event_target_value(&event))
                            on:keydown=key
                            on:blur=move |_| save.with_value(|save| save())
                        ></textarea>
                    </form>
                }
                    .into_any()
            } else {
                view! {
                    <button class="caption small" title="Change the caption" on:click=move |_| editing.set(true)>
                        <span class="visually-hidden">{label} ": "</span>
                        {move || text.get()}
                    </button>
                }
                    .into_any()
            }
        }}
    }
    .into_any()
}
