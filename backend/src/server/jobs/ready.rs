//! A base in memory, ready to make pictures: in the best way that fits.

use std::path::Path;

use mudi_domain::api::{LayoutChoice, NewImages};
use mudi_domain::aspect::Aspect;
use mudi_domain::recipe::Recipe;
use mudi_engine_candle::weights::Precision;

use super::loaded::Key;
use super::worker::{MEMORY, Stopped, Work};
use crate::base::{Base, BaseError, Source, Texts, precision};
use crate::plan::{self, Way};

/// The most images that are sampled, and kept, in one go.
const MOST: u32 = 4;

/// A base in memory, and the encoded prompts.
pub(super) struct Ready {
    pub(super) base: Base,
    /// How it can be kept for the next job, if it can: its name among those that are kept, and the bytes of its weights.
    pub(super) kept_as: Option<(Key, usize)>,
    pub(super) texts: Texts,
    /// How pictures are made with it.
    pub(super) way: Way,
}

/// What a run has taught the base.
pub(super) struct Taught<'a> {
    /// By this recipe.
    pub(super) recipe: &'a Recipe,
    /// The file of its LoRA.
    pub(super) lora: &'a Path,
}

/// How pictures of the run, or of the base alone, are made where there is memory enough.
pub(super) fn wished(request: &NewImages, recipe: Option<&Recipe>) -> Way {
    Way {
        count: MOST.min(request.count) as usize,
        // The recipe's is for what is encoded in training.
        tile: None,
        precision: recipe.map_or(Precision::Single, |recipe| precision(recipe.precision)),
    }
}

/// The proportions that were asked for, by themselves or with a layout.
pub(super) fn aspect(request: &NewImages) -> Option<Aspect> {
    let of_layout = match &request.layout {
        LayoutChoice::Fixed(layout) => Some(layout.aspect),
        LayoutChoice::None | LayoutChoice::Random => None,
    };
    request.aspect.or(of_layout)
}

/// The base that an earlier job has left, or loads it: whole where it will be kept, else with its text encoders let go in between. The
/// run's LoRA is attached before the prompts are encoded: it may adapt text encoders, too.
pub(super) fn ready(
    work: &Work<'_>,
    request: &NewImages,
    folder: &Path,
    taught: Option<&Taught<'_>>,
) -> Result<Ready, Stopped> {
    let failed = |error: BaseError| Stopped::of("base", &error);
    let adapted = |error: BaseError| Stopped::of("weights", &error);
    let engine = |held| work.device.engine(held).map_err(|error| Stopped::of("device", &error));
    // A plan asks where the base will be: the program is not in a card's memory.
    let source = Source::open(folder).map_err(failed)?.on(engine(Precision::Single)?);
    let way = chosen(work, request, folder, &source, taught)?;
    let held = way.way.precision;
    let bytes = plan::all_weights(&source, held).map_err(failed)?;
    let key = Key::of(folder, held).map_err(|error| Stopped::of("base", &error))?;
    let lora = taught.map(|taught| source.attachment(taught.lora)).transpose().map_err(adapted)?;
    let done = |mut base: Base, kept_as: Option<(Key, usize)>, texts: Texts| {
        // A base that was kept may have been another job's.
        base.vae.tile = way.way.tile;
        Ready { base, kept_as, texts, way: way.way }
    };
    let whole = |mut base: Base, key: Key| -> Result<Ready, Stopped> {
        if let Some(lora) = &lora {
            base.attach(lora).map_err(adapted)?;
        }
        let negative = request.negative.as_deref().unwrap_or(base.negative_prompt);
        let texts = base.encode_pair_with(&request.prompt, negative, request.lora_scale).map_err(failed)?;
        Ok(done(base, Some((key, bytes)), texts))
    };
    if let Some(base) = work.models.take(&key) {
        return whole(base, key);
    }
    work.models.make_room(bytes);
    let source = source.on(engine(held)?);
    let fits = available(work).is_none_or(|available| way.needs + bytes <= available);
    if work.models.would_keep(bytes) && fits {
        return whole(Base::from_source(&source, held).map_err(failed)?, key);
    }
    let lora = lora.as_ref().map(|lora| (lora, request.lora_scale));
    let (base, texts) = Base::for_prompt(&source, held, &request.prompt, request.negative.as_deref(), lora)
        .map_err(failed)?;
    Ok(done(base, None, texts))
}

/// Memory of the device that can be had now, where it is known.
fn available(work: &Work<'_>) -> Option<usize> {
    let limit = work.server.settings.memory_bytes();
    limit.or_else(|| work.device.free_memory())
}

struct Chosen {
    way: Way,
    /// Memory that it needs, in bytes.
    needs: usize,
}

/// The best way that fits. Models that are kept for later give way first, but for the one that the job takes.
fn chosen(
    work: &Work<'_>,
    request: &NewImages,
    folder: &Path,
    source: &Source,
    taught: Option<&Taught<'_>>,
) -> Result<Chosen, Stopped> {
    let recipe = taught.map(|taught| taught.recipe);
    let size = source.sizes().map_err(|error| fault(&error))?.size_for(recipe, aspect(request));
    let (size, wished) = (Some(size), wished(request, recipe));
    let available = || {
        // What is free is free beside the model that is there already; a limit is for all.
        let limited = work.server.settings.memory_bytes().is_some();
        let there = if limited { 0 } else { work.models.bytes_of(folder, wished.precision) };
        available(work).map(|available| available.saturating_add(there))
    };
    let fits = |available: usize| {
        plan::plan(source, wished.job(size, recipe)).is_ok_and(|needs| needs.total <= available)
    };
    if !work.models.is_empty() && available().is_some_and(|available| !fits(available)) {
        work.models.clear();
    }
    let (way, needs) = plan::way(source, size, recipe, wished, available()).map_err(|error| fault(&error))?;
    if way != wished {
        tracing::info!(
            job = %work.claim.id, count = way.count, tile = way.tile, precision = ?way.precision,
            "pictures are made in less memory"
        );
    }
    Ok(Chosen { way, needs: needs.total })
}

fn fault(error: &BaseError) -> Stopped {
    match error {
        BaseError::TooLarge(large) => Stopped::fault(MEMORY, large.for_page()),
        error => Stopped::of("base", error),
    }
}
