//! Making images.

use std::path::Path;

use image::RgbImage;
use indexmap::IndexMap;
use mudi_domain::api::{Latents, LayoutChoice, NewImages};
use mudi_domain::cutout::Cutout;
use mudi_domain::layout::{Layout, suited_gamma};
use mudi_domain::segmix;
use mudi_domain::subject::SubjectId;
use mudi_engine_candle::weights::Precision;

use super::loaded::Key;
use super::worker::{Stopped, Work};
use super::{TRAINED, bases, photos};
use crate::base::{Base, BaseError, Source, Texts, precision};
use crate::dataset::Dataset;
use crate::generate::{
    GenerateError, Parameters, Placing, Settings, Start, colours, encode_png, layout_start, pictures,
};
use crate::models;
use crate::plan;
use crate::server::media;
use crate::server::store::{NewImage, RunData};
use crate::train::LORA_FILE;

/// Images that are sampled, and kept, in one go.
const BATCH: u32 = 4;

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
    let mut maker = Maker::new(work, &request, data.as_ref())?;
    // Groups are cut at the same numbers however often the job is interrupted.
    let groups = (made / BATCH * BATCH..request.count).step_by(BATCH as usize);
    let made = groups.into_iter().try_for_each(|first| maker.group(first));
    match made {
        // Whatever is wrong, the next job begins anew.
        Err(Stopped::Fault(_)) => work.models.clear(),
        _ => maker.let_go(),
    }
    made
}

struct Maker<'a> {
    work: &'a Work<'a>,
    request: &'a NewImages,
    data: Option<&'a RunData>,
    base_name: &'a str,
    base: Base,
    /// How it can be kept for the next job, if it can: its name among those that are kept, and the bytes of its weights.
    kept_as: Option<(Key, usize)>,
    texts: Texts,
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
        GenerateError::Layout(_) | GenerateError::Collage(_) => Stopped::of("layout", &error),
        error => Stopped::of("failed", &error),
    }
}

/// Whether the model for previews decodes this base's latents: whether both have the very same decoder.
fn decoded_by_preview(work: &Work<'_>, base: &Path) -> bool {
    const DECODER: &str = "vae/diffusion_pytorch_model.safetensors";
    let settings = &work.server.settings;
    // Without such a model there is none to decode them.
    let Ok(known) = work.server.preview.look(&settings.models, &settings.preview) else { return false };
    let Some(theirs) = known.files.iter().find(|file| file.name == DECODER) else { return false };
    let path = base.join(DECODER);
    path.metadata().is_ok_and(|own| own.len() == theirs.bytes)
        && models::digest(&path).is_ok_and(|own| own == theirs.sha256)
}

/// A base in memory, and the encoded prompts.
struct Ready {
    base: Base,
    kept_as: Option<(Key, usize)>,
    texts: Texts,
}

/// The base that an earlier job has left, or loads it: whole where it will be kept, else with its text encoders let go in between. The
/// LoRA of the file `lora` is attached before the prompts are encoded: it may adapt text encoders, too.
fn ready(
    work: &Work<'_>,
    request: &NewImages,
    folder: &Path,
    job: plan::Job<'_>,
    held: Precision,
    lora: Option<&Path>,
) -> Result<Ready, Stopped> {
    let failed = |error: BaseError| Stopped::of("base", &error);
    let adapted = |error: BaseError| Stopped::of("weights", &error);
    let source = Source::open(folder).map_err(failed)?;
    let limit = work.server.settings.memory_bytes();
    let available = || limit.or_else(|| plan::available_memory().filter(|_| work.device.is_cpu()));
    let mut needs = plan::check(&source, job, available());
    if needs.is_err() && !work.models.is_empty() {
        work.models.clear();
        needs = plan::check(&source, job, available());
    }
    let needs = needs.map_err(|error| Stopped::of("memory", &error))?;
    let bytes = plan::all_weights(&source, held).map_err(failed)?;
    let key = Key::of(folder, held).map_err(|error| Stopped::of("base", &error))?;
    let lora = lora.map(|path| source.attachment(path)).transpose().map_err(adapted)?;
    let whole = |mut base: Base, key: Key| -> Result<Ready, Stopped> {
        if let Some(lora) = &lora {
            base.attach(lora).map_err(adapted)?;
        }
        let negative = request.negative.as_deref().unwrap_or(base.negative_prompt);
        let texts = base.encode_pair_with(&request.prompt, negative, request.lora_scale).map_err(failed)?;
        Ok(Ready { base, kept_as: Some((key, bytes)), texts })
    };
    if let Some(base) = work.models.take(&key) {
        return whole(base, key);
    }
    work.models.make_room(bytes);
    let engine = work.device.engine(held).map_err(|error| Stopped::of("device", &error))?;
    let source = source.on(engine);
    let fits = available().is_none_or(|available| needs.total + bytes <= available);
    if work.models.would_keep(bytes) && fits {
        return whole(Base::from_source(&source, held).map_err(failed)?, key);
    }
    let lora = lora.as_ref().map(|lora| (lora, request.lora_scale));
    let (base, texts) = Base::for_prompt(&source, held, &request.prompt, request.negative.as_deref(), lora)
        .map_err(failed)?;
    Ok(Ready { base, kept_as: None, texts })
}

impl<'a> Maker<'a> {
    fn new(work: &'a Work<'a>, request: &'a NewImages, data: Option<&'a RunData>) -> Result<Self, Stopped> {
        let base_name =
            data.map(|data| data.run.base.as_str()).or(request.base.as_deref()).unwrap_or_default();
        let folder = bases::find(&work.server.settings.models, base_name)
            .map_err(|fault| Stopped::fault("base", fault))?;
        let recipe = data.map(|data| &data.run.recipe);
        let held = recipe.map_or(Precision::Single, |recipe| precision(recipe.precision));
        let side = recipe.map(|recipe| recipe.resolution as usize).filter(|&side| side > 0);
        let job = plan::Job::Generate {
            size: side.map(|side| [side; 2]),
            tile: None,
            count: BATCH.min(request.count) as usize,
            lora: recipe,
            precision: held,
        };
        let lora = data.map(|data| {
            work.server.store.run_folder(work.claim.project, data.run.id).join(TRAINED).join(LORA_FILE)
        });
        let Ready { base, kept_as, texts } = ready(work, request, &folder, job, held, lora.as_deref())?;
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
        let mut settings = Settings {
            steps: request.steps as usize,
            guidance: request.guidance,
            sampler: request.sampler.parse().map_err(|error| Stopped::of("request", &error))?,
            karras: request.karras,
            gamma: request.gamma.unwrap_or(suited),
            lora_scale: request.lora_scale,
            interrupt: work.interrupt.clone(),
            ..Settings::for_base(&base)
        };
        if let Some(side) = side {
            settings.size = [side; 2];
        }
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

    /// Makes the images from number `first` on, and keeps them together.
    fn group(&mut self, first: u32) -> Result<(), Stopped> {
        let last = (first + BATCH).min(self.request.count);
        let starts: Vec<_> =
            (first..last).map(|number| self.start(number)).collect::<Result<_, _>>().map_err(failed)?;
        let plain: Vec<Start> = starts.iter().map(|(start, ..)| start.clone()).collect();
        let (request, steps) = (self.request, u64::from(self.request.steps));
        let mut reporter = self.work.reporter();
        let stage = format!("images {} to {last} of {}", first + 1, request.count);
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
                reported = reporter.step(&stage, step.number as u64, steps, None);
                if reported.is_err() {
                    interrupt.set();
                }
            }
        });
        reported?;
        let made = made.map_err(failed)?;
        let (store, project) = (&self.work.server.store, self.work.claim.project);
        let keeping = self.work.wait(store.keeping(project))?;
        let mut images = Vec::new();
        for ((number, image), (start, canvas, layout)) in (first..).zip(&made).zip(starts) {
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
        let job = self.work.claim.id;
        let events = self.work.wait(store.add_images(project, job, request.run, &images))?;
        drop(keeping);
        events.into_iter().for_each(|event| self.work.server.queue.tell(job, event));
        Ok(())
    }

    fn start(&self, number: u32) -> Result<(Start, Option<RgbImage>, Option<Layout>), GenerateError> {
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
            layout_start(&self.base, &self.cutouts, placing, self.settings.size[0], seed)?;
        let numbered = self.data.map(|data| data.by_number(layout));
        Ok((start, Some(canvas), numbered))
    }

    fn parameters(&self, seed: u64, layout: Option<Layout>) -> Parameters {
        let NewImages { prompt, negative, .. } = self.request;
        let negative = negative.as_deref().unwrap_or(self.base.negative_prompt);
        Parameters { seed, layout, ..Parameters::of(&self.settings, prompt, negative, self.base_name) }
    }
}
