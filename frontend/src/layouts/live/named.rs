//! The prompt of the preview: until somebody writes another it names what is on the canvas.

use leptos::prelude::*;
use mudi_domain::api::{PreviewLora, PreviewModel, SubjectSummary};
use mudi_domain::prompt::together;
use mudi_domain::subject::SubjectId;

use crate::layouts::bench::Bench;
use crate::recipes::noun;

/// What somebody has `written`, or else the subjects on the canvas, by the names that the run has learnt.
pub(super) fn prompt(bench: Bench, model: &PreviewModel, written: RwSignal<Option<String>>) -> Memo<String> {
    let learnt = model.lora.as_ref().map_or(&[][..], |lora| &lora.subjects);
    let name = |subject: &SubjectSummary| {
        let known = learnt.iter().find(|known| known.id == subject.id);
        (subject.id.clone(), format!("a {}", known.map_or(&subject.name, |known| &known.name)))
    };
    let names: Vec<(SubjectId, String)> =
        bench.cutouts.subjects.with_value(|subjects| subjects.iter().map(name).collect());
    let noun = noun(&model.name);
    let of_canvas = move || {
        bench.shown.with(|shown| {
            let on_canvas = |id: &SubjectId| shown.placements.iter().any(|placed| placed.subject == *id);
            let names: Vec<&String> =
                names.iter().filter(|(id, _)| on_canvas(id)).map(|(_, name)| name).collect();
            if names.is_empty() { String::new() } else { together(&names, "", noun) }
        })
    };
    Memo::new(move |_| written.get().unwrap_or_else(&of_canvas))
}

/// The names of subjects that the run has not learnt.
pub(super) fn strangers(bench: Bench, lora: &PreviewLora) -> Vec<String> {
    let strange = |subject: &&SubjectSummary| !lora.subjects.iter().any(|known| known.id == subject.id);
    bench.cutouts.subjects.with_value(|subjects| {
        subjects.iter().filter(strange).map(|subject| format!("“{}”", subject.name)).collect()
    })
}
