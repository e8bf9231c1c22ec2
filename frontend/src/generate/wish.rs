//! What the form holds: the next pictures to make.

use leptos::prelude::*;
use mudi_domain::api::{Image, LayoutChoice, NewImages};
use mudi_domain::layout::{Layout, suited_gamma};
use uuid::Uuid;

/// Seeds are drawn below this, so that they are short enough to be told to somebody.
const SEEDS: f64 = 1_000_000.0;

/// Where pictures start.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Start {
    /// From noise.
    Noise,
    /// From a random layout, another for each picture.
    Random,
    /// From a saved layout.
    Saved(Uuid),
    /// From the layout of another picture.
    Own(Layout),
}

/// The fields of the form.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    /// The run, or the base alone.
    pub(super) run: RwSignal<Option<Uuid>>,
    pub(super) base: RwSignal<String>,
    pub(super) prompt: RwSignal<String>,
    pub(super) negative: RwSignal<String>,
    pub(super) start: RwSignal<Start>,
    pub(super) gamma: RwSignal<f32>,
    pub(super) steps: RwSignal<u32>,
    pub(super) guidance: RwSignal<f32>,
    pub(super) sampler: RwSignal<String>,
    pub(super) karras: RwSignal<bool>,
    pub(super) scale: RwSignal<f32>,
    pub(super) seed: RwSignal<u64>,
    /// Whether the seed stays for the next pictures.
    pub(super) locked: RwSignal<bool>,
    pub(super) count: RwSignal<u32>,
}

impl Wish {
    /// The defaults, with a drawn seed.
    pub(super) fn new() -> Self {
        let default = NewImages::default();
        Self {
            run: RwSignal::new(None),
            base: RwSignal::new(String::new()),
            prompt: RwSignal::new(String::new()),
            negative: RwSignal::new(String::new()),
            start: RwSignal::new(Start::Noise),
            gamma: RwSignal::new(2.0),
            steps: RwSignal::new(default.steps),
            guidance: RwSignal::new(default.guidance),
            sampler: RwSignal::new(default.sampler),
            karras: RwSignal::new(default.karras),
            scale: RwSignal::new(default.lora_scale),
            seed: RwSignal::new(drawn_seed()),
            locked: RwSignal::new(false),
            count: RwSignal::new(default.count),
        }
    }

    /// Starts from elsewhere. A strength that nobody has moved goes with the number of subjects in the layout, which `subjects` tells.
    pub(super) fn start_from(self, start: Start, subjects: impl Fn(&Start) -> usize) {
        let suited = |start: &Start| suited_gamma(subjects(start));
        let before = self.start.with_untracked(suited);
        if (self.gamma.get_untracked() - before).abs() < f32::EPSILON {
            self.gamma.set(suited(&start));
        }
        self.start.set(start);
    }

    /// Draws with another run, or with another base alone. What not to draw goes with the base, of which `suited` tells, until somebody has
    /// written something else.
    pub(super) fn draw_with(self, run: Option<Uuid>, base: Option<String>, suited: impl Fn(Self) -> String) {
        let untouched = self.negative.get_untracked() == suited(self);
        self.run.set(run);
        if let Some(base) = base {
            self.base.set(base);
        }
        if untouched {
            self.negative.set(suited(self));
        }
    }

    /// What to ask the server for; `layouts` are those that are saved.
    ///
    /// # Errors
    /// Why the layout that was chosen cannot be used.
    pub(super) fn request(self, layouts: &[(Uuid, Layout)]) -> Result<NewImages, &'static str> {
        let layout = match self.start.get_untracked() {
            Start::Noise => LayoutChoice::None,
            Start::Random => LayoutChoice::Random,
            Start::Own(layout) => LayoutChoice::Fixed(layout),
            Start::Saved(id) => match layouts.iter().find(|(known, _)| *known == id) {
                Some((_, layout)) => LayoutChoice::Fixed(layout.clone()),
                None => {
                    self.start.set(Start::Noise);
                    return Err(
                        "The layout that was chosen is deleted. Choose another one, or generate without.",
                    );
                }
            },
        };
        let run = self.run.get_untracked();
        // A random layout is what the form begins with; this one somebody has chosen.
        if run.is_none() && matches!(layout, LayoutChoice::Fixed(_)) {
            return Err(
                "Only a trained run can start from a layout. Choose one as the model, or “Wherever the model puts them”.",
            );
        }
        Ok(NewImages {
            gamma: (layout != LayoutChoice::None).then(|| self.gamma.get_untracked()),
            base: run.is_none().then(|| self.base.get_untracked()),
            run,
            prompt: self.prompt.get_untracked(),
            negative: Some(self.negative.get_untracked()),
            layout: if run.is_some() { layout } else { LayoutChoice::None },
            steps: self.steps.get_untracked(),
            guidance: self.guidance.get_untracked(),
            sampler: self.sampler.get_untracked(),
            karras: self.karras.get_untracked(),
            seed: self.seed.get_untracked(),
            count: self.count.get_untracked(),
            lora_scale: self.scale.get_untracked(),
        })
    }

    /// Another seed, unless it is locked.
    pub(super) fn next_seed(self) {
        if self.locked.try_get_untracked() == Some(false) {
            self.seed.set(drawn_seed());
        }
    }

    /// Takes over what a picture was made with; its seed is locked.
    pub(super) fn reuse(self, image: &Image) {
        let text = |name: &str| image.parameters[name].as_str().map(str::to_owned);
        let number = |name: &str| image.parameters[name].as_f64();
        if let Some(prompt) = text("prompt") {
            self.prompt.set(prompt);
        }
        if let Some(negative) = text("negative_prompt") {
            self.negative.set(negative);
        }
        if let Some(sampler) = text("sampler") {
            self.sampler.set(sampler);
        }
        if let Some(steps) = number("steps") {
            self.steps.set(steps as u32);
        }
        if let Some(guidance) = number("guidance") {
            self.guidance.set(guidance as f32);
        }
        // These are written only where they are not as usual.
        self.karras.set(image.parameters["karras"].as_bool().unwrap_or(false));
        self.scale.set(number("lora_scale").map_or(1.0, |scale| scale as f32));
        match serde_json::from_value::<Layout>(image.parameters["layout"].clone()) {
            Ok(layout) => {
                let suited = suited_gamma(layout.subjects.len());
                self.start.set(Start::Own(layout));
                self.gamma.set(number("gamma").map_or(suited, |gamma| gamma as f32));
            }
            Err(_) => self.start.set(Start::Noise),
        }
        if image.run.is_some() {
            self.run.set(image.run);
        } else if let Some(base) = text("base") {
            self.run.set(None);
            self.base.set(base);
        }
        self.seed.set(image.seed);
        self.locked.set(true);
    }
}

/// A seed by chance.
pub(super) fn drawn_seed() -> u64 {
    (js_sys::Math::random() * SEEDS) as u64
}
