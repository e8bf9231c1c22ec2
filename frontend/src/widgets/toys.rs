//! What says that the models which ship know plush toys only, before somebody puts photos of anything else to them.

use leptos::prelude::*;

use crate::session::Visitor;

/// What networks are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Masks, from the name of a class.
    Masks,
    /// Masks, from clicks.
    Clicks,
    /// Whether pictures show the subjects.
    Scores,
}

/// A sentence where the server's networks know toys only, and nothing elsewhere.
#[component]
pub(crate) fn ToysOnly(asked: Asked) -> impl IntoView {
    let Visitor(session) = expect_context();
    let words = move || {
        let toys = session.value()?.toys_only;
        match asked {
            Asked::Masks => (toys.detector || toys.segmenter).then_some(
                "This server’s networks know plush toys only. In photos of anything else draw the masks, or ask whoever hosts it to add OWLv2 and SAM.",
            ),
            Asked::Clicks => toys.segmenter.then_some("This server’s Segment Anything knows plush toys only: of anything else leave it out."),
            Asked::Scores => (toys.detector || toys.embedder).then_some(
                "This server’s networks know plush toys only. Of anything else “Are these my subjects?” tells nothing, unless whoever hosts it adds OWLv2 and DINOv2.",
            ),
        }
    };
    move || words().map(|words| view! { <p class="small toys-only">{words}</p> })
}

/// The same of the base model that is chosen; `toys` are the names of those that draw toys only.
#[component]
pub(crate) fn ToyBase(#[prop(into)] base: Signal<String>, toys: Vec<String>) -> impl IntoView {
    move || {
        base.with(|base| toys.contains(base)).then(|| {
            view! {
                <p class="help toys-only">
                    "It draws plush toys only. For anything else choose another, or ask whoever hosts the server to add one."
                </p>
            }
        })
    }
}
