//! Making images.

use std::ops::Range;
use std::path::Path;

use image::RgbImage;
use indexmap::IndexMap;
use mudi_diffusion::schedule::SamplerKind;
use mudi_domain::api::{Latents, LayoutChoice, NewImages};
use mudi_domain::cutout::Cutout;
use mudi_domain::layout::{Layout, suited_gamma};
use mudi_domain::segmix;
use mudi_domain::subject::SubjectId;
use mudi_engine_candle::weights::Precision;

use super::loaded::Key;
use super::ready::{Ready, Taught, aspect, ready, wished};
use super::report::Reporter;
use super::worker::{Stopped, Work};
use super::{LOADING, TRAINED, bases, photos};
use crate::base::{Base, BaseError, Texts};
use crate::dataset::Dataset;
use crate::generate::{
    GenerateError, Parameters, Placing, Settings, Start, colours, encode_png, layout_start, pictures,
};
use crate::models;
use crate::plan::Way;
use crate::server::media;
use crate::server::preview::VAE;
use crate::server::store::{EventRow, Keeping, NewImage, RunData};
use crate::train::LORA_FILE;

/// Makes the images that are not there yet.
pub(super) fn run(work: &Work<'_>) -> Result<(), Stopped> {
    let (store, project) = (&work.server.store, work.claim.project);
    let request: NewImages =
        serde_json::from_str(&work.claim.request).map_err(|error| Stopped::of("request", &error))?;
    let data = request.run.map(|run| work.wait(store.run_data(project, run))).transpose()?;
    let made = work.wait(store.images_made(work.claim.id))?;
    if made >= request.count {
        return Ok(());
    }
    let mut reporter = work.reporter();
    reporter.stage(LOADING)?;
    let mut maker = Maker::new(work, &request, data.as_ref(), reporter)?;
    let made = maker.make(made);
    match made {
        // Whatever is wrong, the next job begins anew.
        Err(Stopped::Fault(_)) => work.models.clear(),
        _ => maker.let_go(),
    }
    made
}

/// The numbers of the groups that are made together, where `made` images of `count` are there: groups are cut at multiples of
/// `together`, so that a job that was interrupted goes on with the same ones. Where there is more or less memory than before, the
/// first group is what is left of one: what is there is not made again, and nothing is left out.
fn groups(made: u32, count: u32, together: u32) -> impl Iterator<Item = Range<u32>> {
    let mut first = made;
    std::iter::from_fn(move || {
        let last = (first / together + 1).saturating_mul(together).min(count);
        let group = first..last;
        first = last;
        (!group.is_empty()).then_some(group)
    })
}

/// Tells how far the whole job is: the images before number `first` are made, and so many steps of those after it. A step of one picture
/// is one, so that groups of different sizes count for what they are.
fn told(reporter: &mut Reporter<'_>, request: &NewImages, first: u32, further: usize) -> Result<(), Stopped> {
    let (count, steps) = (u64::from(request.count), u64::from(request.steps));
    let stage =
        if count == 1 { "steps of 1 picture".to_owned() } else { format!("steps of {count} pictures") };
    reporter.step(&stage, u64::from(first) * steps + further as u64, count * steps, None)
}

/// How a picture begins, the canvas of its layout, and the layout.
type Begun = (Start, Option<RgbImage>, Option<Layout>);

struct Maker<'a> {
    work: &'a Work<'a>,
    request: &'a NewImages,
    data: Option<&'a RunData>,
    base_name: &'a str,
    base: Base,
    /// How it can be kept for the next job, if it can: its name among those that are kept, and the bytes of its weights.
    kept_as: Option<(Key, usize)>,
    texts: Texts,
    way: Way,
    /// As it was asked for, where there is memory enough.
    wished: Way,
    reporter: Reporter<'a>,
    settings: Settings,
    cutouts: IndexMap<SubjectId, Vec<Cutout>>,
    /// How random layouts are drawn.
    law: segmix::Options,
    /// About what latents look like, and whether the model for previews has the decoder of this base.
    colours: Vec<[f32; 3]>,
    preview: bool,
}

fn failed(error: GenerateError) -> Stopped {
    match error {
        GenerateError::Interrupted => Stopped::Interrupted,
        GenerateError::Collage(_) => Stopped::of("layout", &error),
        // The page has no flags.
        GenerateError::Layout(fault) => Stopped::fault(
            "layout",
            format!("the layout cannot be drawn: {fault}; change it in the editor, or take a random one"),
        ),
        GenerateError::NotNumbers { step } => Stopped::fault(
            "failed",
            format!(
                "after step {step} the picture is not made of numbers any more; lower the guidance and the strength of what was trained, \
                 or take another base model: this one may be damaged"
            ),
        ),
        GenerateError::Base(BaseError::NoPicture) => Stopped::fault(
            "failed",
            "the base model's autoencoder made values that are not numbers, which would be a black picture; try less guidance, another \
             seed or another base model",
        ),
        error => Stopped::of("failed", &error),
    }
}

/// Whether the model for previews decodes this base's latents: whether both have the very same autoencoder, beside which there may be a tiny
/// one.
fn decoded_by_preview(work: &Work<'_>, base: &Path) -> bool {
    let settings = &work.server.settings;
    // Without such a model there is none to decode them.
    let Ok(known) = work.server.preview.look(&settings.models, &settings.preview) else { return false };
    let Some((bytes, sha256)) = &known.vae else { return false };
    let path = base.join(VAE);
    path.metadata().is_ok_and(|own| own.len() == *bytes)
        && models::digest(&path).is_ok_and(|own| own == *sha256)
}

impl<'a> Maker<'a> {
    fn new(
        work: &'a Work<'a>,
        request: &'a NewImages,
        data: Option<&'a RunData>,
        reporter: Reporter<'a>,
    ) -> Result<Self, Stopped> {
        let base_name =
            data.map(|data| data.run.base.as_str()).or(request.base.as_deref()).unwrap_or_default();
        let folder = bases::find(&work.server.settings.models, base_name)
            .map_err(|fault| Stopped::fault("base", fault))?;
        let recipe = data.map(|data| &data.run.recipe);
        let lora = data.map(|data| {
            work.server.store.run_folder(work.claim.project, data.run.id).join(TRAINED).join(LORA_FILE)
        });
        let taught = recipe.zip(lora.as_deref()).map(|(recipe, lora)| Taught { recipe, lora });
        let Ready { base, kept_as, texts, way } = ready(work, request, &folder, taught.as_ref())?;
        let mut cutouts = IndexMap::new();
        if let Some(data) = data
            && request.layout != LayoutChoice::None
        {
            cutouts = Dataset::load(&photos::lay_out(work, data)?)
                .and_then(|dataset| match &request.layout {
                    LayoutChoice::Random => dataset.cutouts_for(&request.prompt),
                    _ => dataset.cutouts(),
                })
                .map_err(|error| Stopped::of("photos", &error))?;
        }
        let suited = match &request.layout {
            LayoutChoice::None => 0.0,
            LayoutChoice::Random => suited_gamma(cutouts.len()),
            LayoutChoice::Fixed(layout) => suited_gamma(layout.subjects.len()),
        };
        let sampler: SamplerKind = request.sampler.parse().map_err(|error| Stopped::of("request", &error))?;
        let mut settings = Settings {
            steps: request.steps as usize,
            guidance: request.guidance,
            sampler,
            karras: base.schedule.karras(sampler, request.karras),
            gamma: request.gamma.unwrap_or(suited),
            lora_scale: request.lora_scale,
            interrupt: work.interrupt.clone(),
            ..Settings::for_base(&base)
        };
        settings.size = base.sizes().size_for(recipe, aspect(request));
        let colours = colours(&base).map_err(|error| Stopped::of("base", &error))?;
        let preview = decoded_by_preview(work, &folder);
        let law = recipe.map(segmix::Options::from).unwrap_or_default();
        Ok(Self {
            work,
            request,
            data,
            base_name,
            base,
            kept_as,
            texts,
            way,
            wished: wished(request, recipe),
            reporter,
            settings,
            cutouts,
            law,
            colours,
            preview,
        })
    }

    /// Keeps the base for the next job.
    fn let_go(self) {
        if let Some((key, bytes)) = self.kept_as {
            self.work.models.keep(key, bytes, self.base);
        }
    }

    /// Makes the images from number `made` on.
    fn make(&mut self, made: u32) -> Result<(), Stopped> {
        told(&mut self.reporter, self.request, made, 0)?;
        groups(made, self.request.count, self.way.count as u32).try_for_each(|group| self.group(group))
    }

    /// Makes the images of these numbers, and keeps them together. Each has noise of its own seed, so that with others in its group only
    /// the order of sums may differ, and with it the last bits of the latents.
    fn group(&mut self, numbers: Range<u32>) -> Result<(), Stopped> {
        let first = numbers.start;
        let starts: Vec<_> =
            numbers.map(|number| self.start(number)).collect::<Result<_, _>>().map_err(failed)?;
        let plain: Vec<Start> = starts.iter().map(|(start, ..)| start.clone()).collect();
        let (request, reporter) = (self.request, &mut self.reporter);
        let mut reported = Ok(());
        let interrupt = &self.work.interrupt;
        let [height, width] = self
            .base
            .latent_size(self.settings.size[0], self.settings.size[1])
            .map_err(|error| Stopped::of("base", &error))?;
        let shape = [plain.len(), height, width, self.base.vae.config.latent_channels];
        let made = pictures(&self.base, &self.texts, &self.settings, &plain, |step| {
            if reported.is_ok() {
                // Before the step is told of: whoever hears of it asks for them.
                self.work.server.latents.show(self.work.claim.id, || Latents {
                    first,
                    step: step.number as u32,
                    steps: request.steps,
                    shape,
                    colours: self.colours.clone(),
                    preview: self.preview,
                    values: step.clean(),
                });
                reported = told(reporter, request, first, plain.len() * step.number);
                if reported.is_err() {
                    interrupt.set();
                }
            }
        });
        reported?;
        let made = made.map_err(failed)?;
        let keeping = self.work.wait(self.work.server.store.keeping(self.work.claim.project))?;
        match self.keep(&keeping, first, &made, starts) {
            Ok(events) => {
                drop(keeping);
                let job = self.work.claim.id;
                events.into_iter().for_each(|event| self.work.server.queue.tell(job, event));
                Ok(())
            }
            Err(stopped) => {
                self.work.undo(keeping);
                Err(stopped)
            }
        }
    }

    /// Keeps images, the first of which has the number `first`, and returns what there is to tell of them.
    fn keep(
        &self,
        keeping: &Keeping<'_>,
        first: u32,
        made: &[RgbImage],
        starts: Vec<Begun>,
    ) -> Result<Vec<EventRow>, Stopped> {
        let mut images = Vec::new();
        for ((number, image), (start, canvas, layout)) in (first..).zip(made).zip(starts) {
            let parameters = self.parameters(start.seed, layout);
            let encoded = |image: &RgbImage, parameters: Option<&Parameters>| {
                encode_png(image, parameters).map_err(|error| Stopped::fault("failed", error.to_string()))
            };
            let thumbnail = media::thumbnail(image).map_err(|error| Stopped::of("failed", &error))?;
            let put = |bytes, extension| self.work.wait(keeping.put(bytes, extension));
            images.push(NewImage {
                number,
                file: put(encoded(image, Some(&parameters))?, "png")?,
                thumbnail: put(thumbnail.bytes, thumbnail.extension)?,
                canvas: canvas.map(|canvas| put(encoded(&canvas, None)?, "png")).transpose()?,
                size: image.dimensions(),
                seed: start.seed,
                parameters: serde_json::to_string(&parameters)
                    .map_err(|error| Stopped::of("failed", &error))?,
            });
        }
        let (store, claim) = (&self.work.server.store, self.work.claim);
        self.work.wait(store.add_images(claim.project, claim.id, self.request.run, &images))
    }

    fn start(&self, number: u32) -> Result<Begun, GenerateError> {
        let seed = self.request.seed.wrapping_add(u64::from(number));
        let placed;
        let placing = match (&self.request.layout, self.data) {
            (LayoutChoice::None, _) | (_, None) => {
                return Ok((Start { seed, ..Start::default() }, None, None));
            }
            (LayoutChoice::Random, _) => Placing::Random(&self.law),
            (LayoutChoice::Fixed(layout), Some(data)) => {
                placed = data.by_place(layout)?;
                Placing::Fixed(&placed)
            }
        };
        let (start, canvas, layout) =
            layout_start(&self.base, &self.cutouts, placing, self.settings.size, seed)?;
        let numbered = self.data.map(|data| data.by_number(layout));
        Ok((start, Some(canvas), numbered))
    }

    fn parameters(&self, seed: u64, layout: Option<Layout>) -> Parameters {
        let NewImages { prompt, negative, .. } = self.request;
        let negative = negative.as_deref().unwrap_or(self.base.negative_prompt);
        let precision = self.way.precision;
        Parameters {
            seed,
            layout,
            run: self.data.map(|data| data.run.name.clone()),
            vae_tile: self.way.tile,
            // Memory has decided.
            precision: (precision != self.wished.precision).then(|| word(precision)),
            ..Parameters::of(&self.settings, prompt, negative, self.base_name)
        }
    }
}

/// How weights are held, as recipes and the command line name it.
fn word(precision: Precision) -> &'static str {
    match precision {
        Precision::Single => "single",
        Precision::Half => "half",
        Precision::Bf16 => "bf16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_cut_at_the_same_numbers_whenever_a_job_goes_on() {
        let cut = |made, count, together| groups(made, count, together).collect::<Vec<_>>();
        assert_eq!(cut(0, 10, 4), [0..4, 4..8, 8..10]);
        assert_eq!(cut(4, 10, 4), [4..8, 8..10]);
        assert_eq!(cut(0, 3, 1), [0..1, 1..2, 2..3]);
        assert!(cut(10, 10, 4).is_empty() && cut(12, 10, 4).is_empty());
        // There is more memory than before, or less: nothing is made twice or left out.
        assert_eq!(cut(2, 10, 4), [2..4, 4..8, 8..10]);
        assert_eq!(cut(5, 8, 2), [5..6, 6..8]);
        assert_eq!(cut(u32::MAX - 5, u32::MAX, 4), [u32::MAX - 5..u32::MAX - 3, u32::MAX - 3..u32::MAX]);
    }
}
