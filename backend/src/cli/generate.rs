//! `mudi generate`.

mod starts;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use clap::ArgGroup;
use mudi::base::{Base, BaseError, Source, precision};
use mudi::device::Device;
use mudi::files::{check_folder, create_folder, is_same};
use mudi::generate::{Parameters, Settings, Start, pictures, write_png};
use mudi::plan;
use mudi::plan::peak_memory;
use mudi::train::{RunInfo, finished_lora};
use mudi_diffusion::schedule::{Sampler, SamplerKind, mean_shifted_start};
use mudi_domain::aspect::Aspect;
use mudi_domain::metadata::FILE_NAME;
use mudi_engine_candle::weights::Precision;

use super::base::Changes;
use super::{Failure, bar, check_range, print};
use starts::{Stage, Starter, noise};

/// Make pictures with a trained run, or with a base model alone.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("model").args(["run", "base"]).required(true).multiple(true)))]
pub(super) struct Arguments {
    /// Folder of a finished `mudi train` run.
    #[arg(long)]
    run: Option<PathBuf>,
    /// Base model instead of a run, or with --run where the run's base is now: a folder in diffusers' layout, a checkpoint file, or
    /// the name of one in `models`, as `pocket`.
    #[arg(long)]
    base: Option<PathBuf>,
    /// Where the run's photos are now, for layouts [default: where they were in training].
    #[arg(long, requires = "run")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    /// What to draw.
    #[arg(long)]
    prompt: String,
    /// What not to draw [default: `sticker, collage.` where the base's vocabulary has words for that, else nothing].
    #[arg(long)]
    negative: Option<String>,
    /// Layout to start from: a JSON file, or `random` for a random collage of the run's subjects that the prompt names.
    #[arg(long, requires = "run")]
    layout: Option<PathBuf>,
    /// Strength of the layout: 2 suits two or three subjects, 3 more; 0 is plain sampling. By default what suits its subjects.
    #[arg(long, allow_negative_numbers = true)]
    gamma: Option<f32>,
    /// Size in pixels, WIDTHxHEIGHT or one number for both, or width to height, as 3:2, in about as many pixels as otherwise [default: as the
    /// layout or the training has it, or the base's own].
    #[arg(long, value_name = "SIZE")]
    size: Option<Size>,
    /// Steps of the sampler.
    #[arg(long, default_value_t = 25, value_parser = steps())]
    steps: usize,
    /// Classifier-free guidance scale; 1 and less leave it out, as turbo models are to be used.
    #[arg(long, default_value_t = 5.0, allow_negative_numbers = true)]
    guidance: f32,
    /// ddim, euler, euler-ancestral or dpmpp-2m.
    #[arg(long, default_value = "euler")]
    sampler: SamplerKind,
    /// Karras' spacing of noise levels, for euler and dpmpp-2m; `--karras=false` leaves it out [default: as the base's schedule has it].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    karras: Option<bool>,
    /// Seed of the first picture; the next ones count up.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Pictures.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    count: u64,
    /// Strength of the run's LoRA.
    #[arg(long, default_value_t = 1.0, requires = "run", allow_negative_numbers = true)]
    lora_scale: f32,
    /// Start from the tensor `noise` `[count, C, h, w]` of this safetensors file instead of the seed's noise.
    #[arg(long)]
    noise: Option<PathBuf>,
    /// Folder for the pictures: `0000.png` and on, in place of those that are there.
    #[arg(long)]
    out: PathBuf,
    /// How the base's weights are held: single, or in half the memory: half, or bf16, the fastest on processors that multiply bf16
    /// [default: as in training, or single].
    #[arg(long, value_parser = precision_words())]
    precision: Option<String>,
    /// Decode pictures in tiles of so many pixels, which takes less memory; colours may differ a little between them.
    #[arg(long, value_name = "PIXELS", value_parser = tile())]
    vae_tile: Option<usize>,
    /// Where to compute: cpu, cuda, metal, or one with its number, as cuda:1.
    #[arg(long, default_value_t)]
    device: Device,
    /// Memory that may be used, in GiB; what does not fit is refused before it begins [default: what is free].
    #[arg(long, value_name = "GIB", value_parser = super::gibibytes, allow_negative_numbers = true)]
    memory: Option<usize>,
    /// Leave the parameters out of the pictures.
    #[arg(long)]
    no_metadata: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// How large pictures are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    /// Height and width in pixels.
    Pixels([usize; 2]),
    /// Proportions, in about as many pixels as otherwise.
    Aspect(Aspect),
}

/// The longest side that is taken for a wish and not for a mistake.
const LONGEST: usize = 8192;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(aspect) = text.parse() {
            return Ok(Self::Aspect(aspect));
        }
        let (width, height) = text.split_once('x').unwrap_or((text, text));
        let side = |text: &str| text.parse().ok().filter(|side| (1..=LONGEST).contains(side));
        match (side(width), side(height)) {
            (Some(width), Some(height)) => Ok(Self::Pixels([height, width])),
            _ => Err(format!(
                "give 1024 or 1216x832 (width, height), each up to {LONGEST}, or one of {}",
                Aspect::WORDS.join(", ")
            )),
        }
    }
}

/// Steps; how many there can be depends on sampler and base.
fn steps() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u16).range(1..).map(usize::from)
}

/// Sides of tiles, in pixels.
fn tile() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u16).range(64..).map(usize::from)
}

fn precision_words() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(mudi_domain::recipe::Precision::WORDS)
}

/// Refuses what the base cannot do, before its weights are read, which may take minutes.
fn check(
    arguments: &Arguments,
    source: &Source,
    [height, width]: [usize; 2],
    gamma: f32,
) -> Result<(), Failure> {
    check_folder(&arguments.out)?;
    let multiple = source.vae_config()?.reduction();
    if !height.is_multiple_of(multiple) || !width.is_multiple_of(multiple) {
        return Err(BaseError::Size { width, height, multiple }.into());
    }
    let schedule = source.schedule()?;
    let karras = schedule.karras(arguments.sampler, arguments.karras);
    let sampler = Sampler::new(arguments.sampler, &schedule, arguments.steps, karras)?;
    mean_shifted_start(&[], gamma, &[], &sampler)?;
    Ok(())
}

/// Pictures sampled in one go.
const BATCH: usize = 4;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.gamma.is_some() && arguments.layout.is_none() {
        return Err(
            "--gamma is the strength of a layout; name that with --layout, or leave out --gamma".into()
        );
    }
    check_range("--gamma", arguments.gamma.unwrap_or(0.0), -20.0)?;
    check_range("--guidance", arguments.guidance, 0.0)?;
    check_range("--lora-scale", arguments.lora_scale, -20.0)?;
    let info = arguments.run.as_deref().map(RunInfo::load).transpose()?;
    let lora = arguments.run.as_deref().map(finished_lora).transpose()?;
    let folder = match (&arguments.base, &info) {
        (Some(base), _) => base.clone(),
        (None, Some(info)) => info.base.clone(),
        (None, None) => return Err("name a --run or a --base".into()),
    };
    let recipe = info.as_ref().map(|info| &info.recipe);
    let precision = match arguments.precision.as_deref() {
        Some("half") => Precision::Half,
        Some("bf16") => Precision::Bf16,
        Some(_) => Precision::Single,
        None => recipe.map_or(Precision::Single, |recipe| precision(recipe.precision)),
    };
    let vae = info.as_ref().and_then(|info| info.vae.clone());
    let source = arguments.changes.source(&folder, vae)?.on(arguments.device.engine(precision)?);
    let available = || arguments.device.free_memory();
    let whose = match &info {
        Some(info) if is_same(&info.photos, &arguments.out) => Some("these are the run's photos"),
        // A picture might take the place of a photo.
        _ if arguments.out.join(FILE_NAME).exists() => {
            Some("this folder holds photos and their metadata.jsonl")
        }
        _ => None,
    };
    if let Some(whose) = whose {
        let out = arguments.out.display();
        return Err(format!("{out}: {whose}; name another folder for pictures as --out").into());
    }
    let stage = Stage::load(arguments, info.as_ref())?;
    let size = match arguments.size {
        Some(Size::Pixels(size)) => size,
        Some(Size::Aspect(aspect)) => source.sizes()?.size_for(recipe, Some(aspect)),
        None => source.sizes()?.size_for(recipe, stage.as_ref().and_then(Stage::aspect)),
    };
    if let (Some(stage), Some(layout)) = (&stage, &arguments.layout) {
        stage.check(layout, size)?;
    }
    let job = plan::Job::Generate {
        size: Some(size),
        tile: arguments.vae_tile,
        count: BATCH.min(usize::try_from(arguments.count).unwrap_or(BATCH)),
        lora: recipe,
        precision,
    };
    let gamma = arguments.gamma.unwrap_or(stage.as_ref().map_or(0.0, Stage::suited_gamma));
    check(arguments, &source, size, gamma)?;
    let noise = noise(&source, arguments, size)?;
    plan::check(&source, job, arguments.memory.or_else(available))?;
    let lora = lora.map(|lora| source.attachment(&lora)).transpose()?;
    let (mut base, texts) = Base::for_prompt(
        &source,
        precision,
        &arguments.prompt,
        arguments.negative.as_deref(),
        lora.as_ref().map(|lora| (lora, arguments.lora_scale)),
    )?;
    base.vae.tile = arguments.vae_tile;
    let negative = arguments.negative.as_deref().unwrap_or(base.negative_prompt);
    let settings = Settings {
        size,
        steps: arguments.steps,
        guidance: arguments.guidance,
        sampler: arguments.sampler,
        karras: base.schedule.karras(arguments.sampler, arguments.karras),
        gamma,
        lora_scale: arguments.lora_scale,
        ..Settings::for_base(&base)
    };
    let mut starter = Starter::new(&base, stage, size, arguments.seed, noise);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let begin = Instant::now();
    let count = arguments.count;
    let mut written = Vec::with_capacity(count as usize);
    let bar = bar(arguments.quiet, count.div_ceil(BATCH as u64) * settings.steps as u64);
    for first in (0..count).step_by(BATCH) {
        let group = starter.starts(first..(first + BATCH as u64).min(count))?;
        // Where nothing can be started from nothing is left behind.
        if first == 0 {
            create_folder(&arguments.out)?;
        }
        let plain: Vec<Start> = group.iter().map(|made| made.start.clone()).collect();
        let images = pictures(&base, &texts, &settings, &plain, |_| bar.inc(1))?;
        for ((number, image), made) in (first..).zip(&images).zip(group) {
            let parameters = Parameters {
                seed: made.start.seed,
                layout: made.layout,
                loras: arguments.changes.names(),
                ..Parameters::of(&settings, &arguments.prompt, negative, &name)
            };
            let parameters = (!arguments.no_metadata).then_some(&parameters);
            let file = arguments.out.join(format!("{number:04}.png"));
            write_png(&file, image, parameters)?;
            let layout = file.with_extension("layout.png");
            match &made.canvas {
                Some(canvas) => write_png(&layout, canvas, None)?,
                // That of an earlier picture of this number is not this one's; where there is none there is nothing to remove.
                None => drop(std::fs::remove_file(&layout)),
            }
            written.push(serde_json::json!({ "file": file.display().to_string(), "seed": made.start.seed }));
        }
    }
    bar.finish();
    let out = arguments.out.display().to_string();
    let object = serde_json::json!({
        "out": out, "pictures": written,
        "seconds": begin.elapsed().as_secs_f64(), "peak_memory_bytes": peak_memory(),
    });
    let text = format!("{count} pictures are in {out}.");
    print(arguments.json, &object, &text)
}
