//! Light or dark: as the system has it, or as somebody chose.

use leptos::prelude::*;

use crate::browser;
use crate::widgets::{Icon, Sign};

const KEY: &str = "mudi-theme";

/// The theme; there is one for the page.
#[derive(Clone, Copy)]
pub(crate) struct Theme(RwSignal<&'static str>);

impl Theme {
    /// The themes, in the order of the switch, with their names.
    const ALL: [(&'static str, &'static str, Sign); 3] =
        [("", "as the system", Sign::Half), ("light", "light", Sign::Sun), ("dark", "dark", Sign::Moon)];

    /// The one that was chosen earlier, put to use.
    pub(crate) fn provide() {
        let remembered = browser::remembered(KEY).unwrap_or_default();
        let known = Self::ALL.iter().find(|theme| theme.0 == remembered).map_or("", |theme| theme.0);
        let theme = Self(RwSignal::new(known));
        Effect::new(move |_| {
            if let Some(root) = browser::document().document_element() {
                // A name without forbidden characters is always accepted.
                let _ = match theme.0.get() {
                    "" => root.remove_attribute("data-theme"),
                    chosen => root.set_attribute("data-theme", chosen),
                };
            }
        });
        provide_context(theme);
    }
}

/// The switch.
#[component]
pub(crate) fn ThemeSwitch() -> impl IntoView {
    let Theme(chosen) = expect_context();
    let place = move || Theme::ALL.iter().position(|theme| theme.0 == chosen.get()).unwrap_or_default();
    let next = move |_| {
        let theme = Theme::ALL[(place() + 1) % Theme::ALL.len()].0;
        browser::remember(KEY, theme);
        chosen.set(theme);
    };
    view! {
        <button class="button plain square" on:click=next title=move || format!("Colours: {}", Theme::ALL[place()].1)>
            {move || view! { <Icon sign=Theme::ALL[place()].2 /> }}
            <span class="visually-hidden">{move || format!("Colours: {}; change", Theme::ALL[place()].1)}</span>
        </button>
    }
}
