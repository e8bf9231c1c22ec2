//! One picture, large: what it was made with, and what can be done with it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, Image};
use mudi_domain::compare::score_text;

use super::download::save_bare;
use super::gallery::{described, picture_path};
use super::pictures::Pictures;
use super::wish::Wish;
use crate::api;
use crate::frame::{Deletions, Toasts, the_project};
use crate::widgets::{Icon, Sign};

/// The picture; `close` is called when it is done with.
#[component]
pub(super) fn Viewer(image: Image, wish: Wish, pictures: Pictures, close: Callback<()>) -> impl IntoView {
    let the = the_project();
    let (deletions, toasts) = (expect_context::<Deletions>(), expect_context::<Toasts>());
    let may_edit = the.allows(Access::Editor);
    let (project, id) = (the.id.get_untracked(), image.id);
    let path = api::of(project, &format!("images/{id}"));
    let source = picture_path(project, &image);
    let name = format!("mudi-{}-{}.png", image.seed, &image.id.to_string()[24..]);
    let bare = {
        let (source, name) = (source.clone(), name.clone());
        move |_| {
            let (source, name) = (source.clone(), name.clone());
            spawn_local(async move {
                if let Err(error) = save_bare(&source, &name).await {
                    toasts.fault(&error);
                }
            });
        }
    };
    let remove = {
        let path = path.clone();
        move |_| {
            close.run(());
            deletions
                .delete_all(vec![path.clone()], "The picture is deleted.", move || pictures.changed(&[id]));
        }
    };
    let reused = image.clone();
    let reuse = move |_| {
        wish.reuse(&reused);
        close.run(());
        toasts.say("The form has the picture’s parameters; its seed is kept.");
        crate::browser::focus_soon("#prompt");
    };
    let rows = image.parameters.as_object().into_iter().flatten();
    let rows = rows.filter(|(_, value)| !value.is_object()).map(|(key, value)| {
        let value = value.as_str().map_or_else(|| short(value), str::to_owned);
        view! {
            <dt>{key.replace('_', " ")}</dt>
            <dd>{if value.is_empty() { "none".to_owned() } else { value }}</dd>
        }
    });
    let rows = rows.collect_view();
    let canvas = image.canvas.then(|| {
        view! {
            <figure class="stack">
                <img class="canvas" src=format!("{path}/canvas") alt="The layout that it started from" />
                <figcaption class="small quiet">"Started from this layout"</figcaption>
            </figure>
        }
    });
    let score = image.score.clone().map(|score| {
        let (class, counts) = match score.right {
            Some(true) => ("notice", "each subject once, unmixed"),
            Some(false) => ("notice warns", "not every subject once and unmixed"),
            None => ("notice", "1 is each subject once, unmixed"),
        };
        view! {
            <div class=class>
                <p>{format!("Detect-and-Compare: {}, {counts} ({}).", score_text(score.score), score.explanation)}</p>
            </div>
        }
    });
    view! {
        <div class="viewer">
            <img class="viewer-picture" src=source.clone() alt=described(&image) width=image.width height=image.height />
            <div class="stack">
                <div class="actions">
                    {may_edit
                        .then(|| {
                            view! {
                                <button class="button" on:click=reuse>
                                    <Icon sign=Sign::Reuse />
                                    "Reuse parameters"
                                </button>
                            }
                        })}
                    <a class="button" href=source download=name rel="external">
                        <Icon sign=Sign::Download />
                        "Download"
                    </a>
                    <button class="button" on:click=bare>
                        <Icon sign=Sign::Download />
                        "Without metadata"
                    </button>
                    {may_edit
                        .then(|| {
                            view! {
                                <button class="button danger" on:click=remove>
                                    <Icon sign=Sign::Trash />
                                    "Delete"
                                </button>
                            }
                        })}
                </div>
                {score}
                <dl class="facts">
                    {rows} <dt>"size"</dt>
                    <dd>{format!("{} × {}", image.width, image.height)}</dd>
                </dl>
                {canvas}
            </div>
        </div>
    }
}

/// A number as it was given: those of 32 bits have more digits in JSON than they mean.
fn short(value: &serde_json::Value) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!("{}", (number * 1e4).round() / 1e4),
        None => value.to_string(),
    }
}
