//! The curve of the loss.

use leptos::prelude::*;

use crate::plot::{Ends, Plot, SIZE, plot};

/// The loss by step: every step faintly, the running mean above it.
#[component]
pub(super) fn LossChart(
    /// Losses by step, in order.
    losses: Signal<Vec<(u64, f64)>>,
    /// The last step that will come.
    steps: u64,
) -> impl IntoView {
    let drawn = Memo::new(move |_| losses.with(|losses| plot(losses, steps)));
    let words = move || match drawn.with(|plot| plot.ends) {
        Some(Ends { steps: 1, first, last }) => format!("Loss: {first:.4} at first, {last:.4} now."),
        Some(Ends { steps, first, last }) => {
            format!("Mean loss: {first:.4} over the first {steps} steps, {last:.4} over the last {steps}.")
        }
        None => "The loss is drawn here once the first steps are made.".to_owned(),
    };
    let grid = move || {
        let Plot { levels, steps, .. } = drawn.get();
        let levels = levels.into_iter().map(|(y, text)| {
            view! {
                <line x1="44" x2=SIZE.0 y1=y y2=y class="grid-line"></line>
                <text x="38" y=y + 4.0 text-anchor="end">{text}</text>
            }
        });
        let last = steps.len().saturating_sub(1);
        let steps = steps.into_iter().enumerate().map(move |(index, (x, text))| {
            let anchor = if index == last && index > 0 { "end" } else { "middle" };
            view! { <text x=x y=SIZE.1 - 4.0 text-anchor=anchor>{text}</text> }
        });
        view! { <g>{levels.collect_view()} {steps.collect_view()}</g> }
    };
    view! {
        <figure class="chart">
            <svg viewBox=format!("0 0 {} {}", SIZE.0, SIZE.1) role="img" aria-label=words>
                {grid}
                <path d=move || drawn.with(|plot| plot.raw.clone()) class="raw"></path>
                <path d=move || drawn.with(|plot| plot.smooth.clone()) class="smooth"></path>
            </svg>
            <figcaption class="quiet small">{words}</figcaption>
        </figure>
    }
}
