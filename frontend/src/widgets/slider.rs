//! A slider with its number.

use leptos::prelude::*;

/// Steps of a slider.
const STEPS: f64 = 1000.0;

/// A slider, and a field for the number itself.
#[component]
pub(crate) fn Slider(
    /// What it sets.
    label: &'static str,
    /// The number's unit.
    unit: &'static str,
    /// The number now.
    #[prop(into)]
    value: Signal<f64>,
    /// The smallest.
    least: f64,
    /// The largest.
    most: f64,
    /// The step of the field.
    #[prop(default = 1.0)]
    step: f64,
    /// Whether small numbers get more of the way: its middle is an eighth of its end.
    #[prop(optional)]
    bent: bool,
    /// Called with a new number.
    changed: Callback<f64>,
) -> impl IntoView {
    let power = if bent { 3.0 } else { 1.0 };
    let place = move |value: f64| {
        (((value - least) / (most - least)).clamp(0.0, 1.0).powf(1.0 / power) * STEPS).round()
    };
    let number = move |place: f64| {
        let number = least + (place / STEPS).powf(power) * (most - least);
        ((number / step).round() * step).clamp(least, most)
    };
    let decimals = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
    let slide = move |event| {
        if let Ok(place) = event_target_value(&event).parse() {
            changed.run(number(place));
        }
    };
    let write = move |event| {
        if let Ok(wanted) = event_target_value(&event).parse::<f64>()
            && wanted.is_finite()
        {
            changed.run(wanted.clamp(least, most));
        }
    };
    view! {
        <div class="slider">
            <span class="slider-name">{label}</span>
            <input
                type="range"
                min="0"
                max=STEPS
                aria-label=label
                aria-valuetext=move || format!("{:.decimals$} {unit}", value.get())
                prop:value=move || place(value.get()).to_string()
                on:input=slide
            />
            <span class="slider-number">
                <input
                    type="number"
                    min=least
                    max=most
                    step=step
                    aria-label=format!("{label}, {unit}")
                    prop:value=move || format!("{:.decimals$}", value.get())
                    on:change=write
                />
                <span class="quiet small" aria-hidden="true">{unit}</span>
            </span>
        </div>
    }
}
