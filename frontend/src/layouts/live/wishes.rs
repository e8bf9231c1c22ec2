//! What is wished for: the layout as it is, soon after it has changed.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::collage::Collage;
use mudi_editor::layout::Designer;

use super::{Live, Stage};
use crate::browser;
use crate::layouts::exact::rendered;
use crate::preview::{Ask, Canvas, Wish};

/// The least time between two layouts that are sent while one is dragged, in milliseconds.
const PACE: f64 = 60.0;
/// The most.
const CALM: f64 = 1000.0;
/// Layouts that may come in while the worker makes a step: it reads them when it has made it.
const WAITING: f64 = 8.0;

impl Live {
    /// Whatever changes what would be painted makes a new wish.
    pub(super) fn react(self) {
        Effect::new(move |_| {
            self.bench.shown.track();
            self.bench.cutouts.progress.track();
            self.prompt.with(|_| ());
            self.seed.track();
            self.steps.track();
            self.strength.track();
            self.wish();
        });
    }

    /// Wishes for the layout as it will be in a moment; wishes within that moment are one.
    pub(super) fn wish(self) {
        if self.bridge.try_with_value(Option::is_some) != Some(true)
            || self.waiting.try_get_value() != Some(false)
        {
            return;
        }
        self.waiting.set_value(true);
        let step = self.painted.try_get_untracked().flatten().map_or(0.0, |painted| painted.milliseconds);
        let pace = (step / WAITING).clamp(PACE, CALM);
        spawn_local(async move {
            TimeoutFuture::new(pace as u32).await;
            if self.waiting.try_set_value(false).is_some() {
                return;
            }
            self.send();
        });
    }

    fn send(self) {
        // What is sent to a worker that loads its model only waits there. One that has failed may do the next.
        let heard = matches!(self.stage.get_untracked(), Stage::Ready { .. } | Stage::Failed(_));
        if !heard || browser::document().hidden() {
            return;
        }
        let dragging = self.bench.look(Designer::is_dragging) == Some(true);
        let (side, multiple, reduction) =
            self.model.with_value(|model| (model.side, model.multiple, model.reduction.max(1)));
        let rendered = rendered(self.bench, side, multiple, dragging);
        let why = match &rendered {
            Some(rendered) => rendered.as_ref().err().cloned(),
            // A cutout that cannot be read is not on its way.
            None => {
                let fault = self.bench.cutouts.fault.get_untracked();
                self.bench.layout().and(fault).map(|fault| fault.to_string())
            }
        };
        if self.unpaintable.with_untracked(|known| *known != why) {
            self.unpaintable.set(why);
        }
        match rendered {
            Some(Ok(collage)) => {
                let wish = self.wish_for(&collage, reduction);
                self.ask(Ask::Paint { number: self.next(), wish });
            }
            // Cutouts that are on their way.
            None if self.bench.layout().is_some() => self.rest(),
            // What was painted is of what is not on the canvas any more.
            _ => {
                self.rest();
                self.painted.set(None);
                if let Some(canvas) = self.canvas.get_untracked() {
                    canvas.set_width(1);
                    canvas.set_height(1);
                }
            }
        }
    }

    /// Has the worker rest. A step that it is at is of no use any more.
    pub(super) fn rest(self) {
        self.oldest.set_value(self.next());
        self.ask(Ask::Rest);
    }

    fn next(self) -> u64 {
        self.number.update_value(|number| *number += 1);
        self.number.get_value()
    }

    fn wish_for(self, collage: &Collage, reduction: u32) -> Wish {
        let (width, height) = collage.image.dimensions();
        let (negative, guidance) = self.model.with_value(|model| (model.negative.clone(), model.guidance));
        Wish {
            prompt: self.prompt.get_untracked(),
            negative,
            canvas: Some(Canvas {
                width,
                height,
                pixels: collage.image.as_raw().clone(),
                mask: collage.union.to_latent(width / reduction, height / reduction),
            }),
            gamma: self.strength.get_untracked() as f32,
            seed: self.seed.get_untracked(),
            steps: self.steps.get_untracked() as u32,
            guidance,
        }
    }
}
