//! A method of the demonstration: its training, and what it draws.

use std::path::Path;
use std::time::Instant;

use image::RgbImage;
use mudi_domain::recipe::Method;
use mudi_domain::segmix;

use super::{DemoError, Options, Progress, recipe};
use crate::base::{Base, Source};
use crate::dataset::Dataset;
use crate::evaluate::{EvaluateError, Judge};
use crate::generate::{Placing, Settings, Start, layout_start, pictures};
use crate::report::{Grid, GridRow, MethodSection, PictureScore};
use crate::train::{self, LORA_FILE};

/// How many of the collages that a method is taught with its section shows.
const SHOWN: usize = 6;
const SAMPLING_STEPS: usize = 20;
const GAMMAS: [f32; 3] = [0.0, 1.0, 2.0];

/// What every method is taught with, and asked for.
pub(super) struct Lesson<'a> {
    pub(super) options: &'a Options,
    pub(super) source: &'a Source,
    /// Folder of the toys' photos.
    pub(super) photos: &'a Path,
    pub(super) dataset: &'a Dataset,
    pub(super) prompts: &'a [String],
    pub(super) judge: &'a Judge,
}

impl Lesson<'_> {
    /// Teaches `base` by a method, in the place of what it was taught before, and has it draw: that method's part of the report.
    pub(super) fn teach(
        &self,
        method: Method,
        base: &mut Base,
        progress: &mut impl FnMut(Progress<'_>),
    ) -> Result<MethodSection, DemoError> {
        let Self { options, dataset, .. } = *self;
        let name = title(method);
        progress(Progress::Stage(format!("{name}: training"), u64::from(options.steps)));
        let run = train::Options {
            photos: self.photos.to_owned(),
            base: options.base.clone(),
            vae: None,
            out: options.out.join("runs").join(method.word()),
            recipe: recipe(options.seed, options.steps, method, dataset.subjects.len()),
            further: None,
            resume: false,
            stop_after: None,
            masks: None,
            interrupt: crate::interrupt::Interrupt::default(),
            memory: None,
            device: crate::device::Device::default(),
        };
        let mut seen = Vec::new();
        let outcome = train::run(&run, |event| match event {
            train::Progress::Step(..) => progress(Progress::Step),
            train::Progress::Shown(_, pictures) => {
                let room = SHOWN - seen.len();
                let collages = pictures.iter().filter(|picture| picture.is_collage).take(room);
                seen.extend(collages.map(|picture| (picture.image.clone(), picture.caption.clone())));
            }
            _ => {}
        })?;
        base.detach();
        base.attach(&self.source.attachment(&run.out.join(LORA_FILE))?)?;
        let gammas: &[f32] = if method == Method::Mudi { &GAMMAS } else { &[0.0] };
        let steps = (gammas.len() * self.prompts.len() * SAMPLING_STEPS) as u64;
        progress(Progress::Stage(format!("{name}: pictures"), steps));
        let mut grids = Vec::new();
        for &gamma in gammas {
            let mut step = || progress(Progress::Step);
            grids.push(self.grid(method, base, gamma, &mut step)?);
        }
        // Not while it is timed how long pictures take.
        for row in grids.iter_mut().flat_map(|grid| &mut grid.rows) {
            row.scores = row.images.iter().map(|image| score(self.judge, image)).collect::<Result<_, _>>()?;
        }
        Ok(MethodSection {
            name: name.to_owned(),
            explanation: explanation(method).to_owned(),
            seen_in_training: seen,
            losses: outcome.metrics.iter().map(|metric| metric.loss as f32).collect(),
            training_seconds: outcome.training.as_secs_f64(),
            grids,
        })
    }
    /// Pictures of every prompt; for MuDI from the layouts of the same seeds.
    fn grid(
        &self,
        method: Method,
        base: &Base,
        gamma: f32,
        step: &mut dyn FnMut(),
    ) -> Result<Grid, DemoError> {
        let Self { options, dataset, .. } = *self;
        let begin = Instant::now();
        let settings = Settings { steps: SAMPLING_STEPS, gamma, ..Settings::for_base(base) };
        let seeds: Vec<u64> = (0..options.count).map(|index| options.seed.wrapping_add(index)).collect();
        let mut starts = Vec::new();
        let mut layouts: Vec<RgbImage> = Vec::new();
        let cutouts = dataset.cutouts()?;
        let law = segmix::Options::from(&recipe(options.seed, options.steps, method, dataset.subjects.len()));
        for &seed in &seeds {
            if method == Method::Mudi {
                let (start, canvas, _) =
                    layout_start(base, &cutouts, Placing::Random(&law), settings.size, seed)?;
                starts.push(start);
                layouts.push(canvas);
            } else {
                starts.push(Start { seed, ..Start::default() });
            }
        }
        let mut rows = Vec::new();
        for prompt in self.prompts {
            let texts = base.encode_pair(prompt, base.negative_prompt)?;
            let images = pictures(base, &texts, &settings, &starts, |_| step())?;
            rows.push(GridRow { prompt: prompt.clone(), images, seeds: seeds.clone(), scores: Vec::new() });
        }
        let gamma = (method == Method::Mudi).then_some(gamma);
        Ok(Grid { gamma, layouts, rows, seconds: begin.elapsed().as_secs_f64() })
    }
}

fn score(judge: &Judge, image: &RgbImage) -> Result<PictureScore, EvaluateError> {
    let judged = judge.judge(Path::new("picture"), image)?;
    let words = match judged.found.len() {
        2 => "two found".to_owned(),
        0 => "none found".to_owned(),
        1 => "only one found".to_owned(),
        more => format!("{more} found"),
    };
    Ok(PictureScore { score: judged.score(), right: judged.is_right(), words })
}

fn explanation(method: Method) -> &'static str {
    match method {
        Method::Dreambooth => {
            "Learns each photo with its caption. Nothing tells the model which trait belongs to whom."
        }
        Method::Cutmix => {
            "Also learns pairs of whole photos, cut and set side by side: the seam is learnt with them."
        }
        Method::Mudi => {
            "Also learns random collages of the segmented subjects, and starts from noise that is shifted towards such a \
             collage."
        }
    }
}

fn title(method: Method) -> &'static str {
    match method {
        Method::Dreambooth => "DreamBooth",
        Method::Cutmix => "Cut-Mix",
        Method::Mudi => "MuDI",
    }
}
