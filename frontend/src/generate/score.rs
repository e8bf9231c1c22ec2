//! Whether pictures show who they should: Detect-and-Compare's score.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, Image, ImageScore, Job, NewEvaluation};

use crate::api;
use crate::frame::{Toasts, the_project};
use crate::widgets::{Icon, Sign};

/// A picture's score, as a tag.
#[component]
pub(super) fn ScoreTag(score: ImageScore) -> impl IntoView {
    let (class, word) = if score.right { ("tag good", "right") } else { ("tag bad", "not right") };
    let words = format!("Detect-and-Compare: {word}; {}", score.explanation);
    let title = words.clone();
    view! {
        <span class=format!("{class} picture-score") title=title>
            <span class="visually-hidden">{words}</span>
            <span aria-hidden="true">{format!("{:.2}", score.score)}</span>
        </span>
    }
}

/// How many pictures of a group are right, or the button that has them judged.
#[component]
pub(super) fn GroupScore(group: Vec<Image>, asked: Callback<()>) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let scores: Vec<&ImageScore> = group.iter().filter_map(|image| image.score.as_ref()).collect();
    let right = scores.iter().filter(|score| score.right).count();
    let sum = (!scores.is_empty()).then(|| format!("{right} of {} show everybody, unmixed. ", scores.len()));
    let unjudged: Vec<_> = group.iter().filter(|image| image.score.is_none()).map(|image| image.id).collect();
    let of_run = group.iter().all(|image| image.run.is_some());
    let ask = move |_| {
        let path = the.path_now("evaluations");
        let wanted = NewEvaluation { images: unjudged.clone() };
        spawn_local(async move {
            match api::post::<Job>(&path, &wanted).await {
                Ok(_) => asked.run(()),
                Err(error) => toasts.fault(&error),
            }
        });
    };
    let missing = scores.len() < group.len();
    view! {
        <span class="small">{sum}</span>
        {(of_run && missing && the.allows(Access::Editor))
            .then(|| {
                view! {
                    <button class="button plain" on:click=ask title="Detect-and-Compare: is each subject there, once and unmixed?">
                        <Icon sign=Sign::Compare />
                        "Judge"
                    </button>
                }
            })}
    }
}
