//! What the form holds: the next pictures to make.

use leptos::prelude::*;
use mudi_domain::api::{Image, LayoutChoice, NewImages};
use mudi_domain::aspect::Aspect;
use mudi_domain::layout::{Layout, suited_gamma};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Seeds are drawn below this, so that they are short enough to be told to somebody.
const SEEDS: f64 = 1_000_000.0;

/// Stands for a run that made a picture and is deleted: of that one the picture keeps no id.
pub(super) const GONE: Uuid = Uuid::nil();

/// The name of the deleted run that has made a picture, empty where only that there was one is known. None where its run is there, and
/// where it is of a base alone.
pub(super) fn by_deleted(image: &Image) -> Option<String> {
    let said = |name: &str| image.parameters.get(name);
    let name = said("run").and_then(|name| name.as_str());
    // Of pictures that do not name it: a base alone has no layout.
    let had_one = name.is_some() || said("layout").is_some();
    (image.run.is_none() && had_one).then(|| name.unwrap_or_default().to_owned())
}

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

/// What of the form is as the page has filled it in: it follows what is suggested.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Nobodys {
    pub(super) model: bool,
    pub(super) prompt: bool,
    pub(super) negative: bool,
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
    /// None: as the layout or the run has it.
    pub(super) aspect: RwSignal<Option<Aspect>>,
    pub(super) gamma: RwSignal<f32>,
    pub(super) steps: RwSignal<u32>,
    pub(super) guidance: RwSignal<f32>,
    pub(super) sampler: RwSignal<String>,
    /// None: the base's own spacing.
    pub(super) karras: RwSignal<Option<bool>>,
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
            aspect: RwSignal::new(None),
            gamma: RwSignal::new(2.0),
            steps: RwSignal::new(default.steps),
            guidance: RwSignal::new(default.guidance),
            sampler: RwSignal::new(default.sampler),
            karras: RwSignal::new(None),
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

    /// Draws with another run, or with another base alone. What to draw and what not goes with the model, of which `suited` tells, until
    /// somebody has written something else.
    pub(super) fn draw_with(
        self,
        run: Option<Uuid>,
        base: Option<String>,
        suited: impl Fn(Self) -> [String; 2],
    ) {
        let texts = [self.prompt, self.negative];
        let before = suited(self);
        self.run.set(run);
        if let Some(base) = base {
            self.base.set(base);
        }
        for ((text, before), after) in texts.into_iter().zip(before).zip(suited(self)) {
            if text.get_untracked() == before {
                text.set(after);
            }
        }
    }

    /// What to ask the server for; `layouts` are those that are saved.
    ///
    /// # Errors
    /// Why the layout that was chosen cannot be used.
    pub(super) fn request(self, layouts: &[(Uuid, Layout)]) -> Result<NewImages, &'static str> {
        let mut new = untrack(|| self.fields());
        if let Start::Saved(id) = self.start.get_untracked() {
            let Some((_, layout)) = layouts.iter().find(|(known, _)| *known == id) else {
                self.start.set(Start::Noise);
                return Err(
                    "The layout that was chosen is deleted. Choose another one, or generate without.",
                );
            };
            new.layout = LayoutChoice::Fixed(layout.clone());
        }
        // A random layout is what the form begins with; this one somebody has chosen.
        if new.run.is_none() && matches!(new.layout, LayoutChoice::Fixed(_)) {
            return Err(
                "Only a trained run can start from a layout. Choose one as the model, or “Wherever the model puts them”.",
            );
        }
        if new.run.is_some() {
            new.base = None;
        } else {
            new.layout = LayoutChoice::None;
        }
        if new.layout == LayoutChoice::None {
            new.gamma = None;
        }
        Ok(new)
    }

    /// All fields as they are, a saved layout as none.
    fn fields(self) -> NewImages {
        NewImages {
            run: self.run.get(),
            base: Some(self.base.get()),
            prompt: self.prompt.get(),
            negative: Some(self.negative.get()),
            layout: match self.start.get() {
                Start::Noise | Start::Saved(_) => LayoutChoice::None,
                Start::Random => LayoutChoice::Random,
                Start::Own(layout) => LayoutChoice::Fixed(layout),
            },
            aspect: self.aspect.get(),
            gamma: Some(self.gamma.get()),
            steps: self.steps.get(),
            guidance: self.guidance.get(),
            sampler: self.sampler.get(),
            karras: self.karras.get(),
            seed: self.seed.get(),
            count: self.count.get(),
            lora_scale: self.scale.get(),
        }
    }

    /// All of it as text, by which [`Self::restore`] brings it back, and what of it is `nobodys` choice.
    pub(super) fn kept(self, nobodys: Nobodys) -> String {
        let saved = match self.start.get() {
            Start::Saved(id) => Some(id),
            _ => None,
        };
        // Numbers and texts always serialize.
        serde_json::to_string(&(self.fields(), saved, self.locked.get(), nobodys)).unwrap_or_default()
    }

    /// Takes back what [`Self::kept`] gave; `is_there` tells which layouts are saved. What is of another version of the page is left.
    /// What of it was nobody's choice.
    pub(super) fn restore(self, text: &str, is_there: impl Fn(Uuid) -> bool) -> Option<Nobodys> {
        let read = serde_json::from_str::<(NewImages, Option<Uuid>, bool, Nobodys)>(text);
        let (kept, saved, locked, nobodys) = read.ok()?;
        self.run.set(kept.run);
        self.base.set(kept.base.unwrap_or_default());
        self.prompt.set(kept.prompt);
        self.negative.set(kept.negative.unwrap_or_default());
        self.start.set(match (saved.filter(|id| is_there(*id)), kept.layout) {
            (Some(id), _) => Start::Saved(id),
            (None, LayoutChoice::None) => Start::Noise,
            (None, LayoutChoice::Random) => Start::Random,
            (None, LayoutChoice::Fixed(layout)) => Start::Own(layout),
        });
        self.aspect.set(kept.aspect);
        self.gamma.set(kept.gamma.unwrap_or(2.0));
        self.steps.set(kept.steps);
        self.guidance.set(kept.guidance);
        self.sampler.set(kept.sampler);
        self.karras.set(kept.karras);
        self.scale.set(kept.lora_scale);
        self.seed.set(kept.seed);
        self.count.set(kept.count);
        self.locked.set(locked);
        Some(nobodys)
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
        self.karras.set(Some(image.parameters["karras"] == true));
        self.scale.set(number("lora_scale").map_or(1.0, |scale| scale as f32));
        let shape = Aspect::nearest(image.width as usize, image.height as usize);
        self.aspect.set(Some(shape));
        match serde_json::from_value::<Layout>(image.parameters["layout"].clone()) {
            Ok(layout) => {
                // Another layout brings its own shape again.
                if layout.aspect == shape {
                    self.aspect.set(None);
                }
                let suited = suited_gamma(layout.subjects.len());
                self.start.set(Start::Own(layout));
                self.gamma.set(number("gamma").map_or(suited, |gamma| gamma as f32));
            }
            Err(_) => self.start.set(Start::Noise),
        }
        self.run.set(match by_deleted(image) {
            Some(_) => Some(GONE),
            None => image.run,
        });
        if let Some(base) = text("base").filter(|_| image.run.is_none()) {
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
