//! The model card: what a pretrained model is, how it was made, how its losses went, and what it draws.

use std::path::Path;

use image::{ImageFormat, RgbImage};
use mudi_domain::rng;
use mudi_engine_candle::shapes::Shapes;
use mudi_engine_candle::weights::Precision;

use super::export::States;
use super::{Options, PretrainError, architecture, data};
use crate::base::Base;
use crate::files::write_atomically;
use crate::generate::{Settings, Start, pictures};
use crate::report::chart::loss_chart;
use crate::report::sheet::sheet;

/// What the sample grid shows, a row each.
const PROMPTS: [&str; 6] = [
    "a photo of a red striped bear in the garden",
    "a blue cat with a yellow scarf on the beach",
    "a green robot, simple background",
    "a photo of a pink rabbit in the kitchen",
    "a brown dog and a grey cat in the garden",
    "a yellow spotted bear and a purple robot on the beach",
];
/// What wide pictures show, of three toys, four and five.
const CROWDS: [&str; 3] = [
    "a red bear, a blue bear and a green bear in the garden",
    "4 toys: a purple penguin, a yellow penguin, a red penguin and a teal penguin in the snow",
    "5 toys: a brown dog, a grey cat, a pink rabbit, a green robot and a yellow striped bear in the forest",
];
const SEEDS: u64 = 6;

/// Writes `README.md` and its pictures into `options.out`, where the model is already.
pub(super) fn write(options: &Options, states: States<'_>) -> Result<(), PretrainError> {
    let base = Base::load(&options.out, Precision::Single)?;
    let folder = &options.out;
    write_png(&folder.join("samples.png"), &samples(&base, &PROMPTS, &data::SIZES[0])?)?;
    for (count, prompt) in (3..).zip(CROWDS) {
        let size = data::Size::of_crowd(count);
        write_png(&folder.join(format!("crowds-{count}.png")), &samples(&base, &[prompt], size)?)?;
    }
    write_png(&folder.join("reconstructions.png"), &reconstructions(&base)?)?;
    let all = [("autoencoder", states.vae), ("denoiser", states.diffusion), ("decoder", states.decoder)];
    // Of a stage that an earlier run made, the chart stays.
    for (name, state) in all.into_iter().filter(|(_, state)| state.step() > 0) {
        let chart = standalone(&loss_chart(&state.losses));
        write_atomically(&folder.join(format!("loss-{name}.svg")), chart.as_bytes())?;
    }
    Ok(write_atomically(&folder.join("README.md"), text(options, states)?.as_bytes())?)
}

fn samples(base: &Base, prompts: &[&str], size: &data::Size) -> Result<RgbImage, PretrainError> {
    let settings = Settings { size: [size.height, size.width], ..Settings::for_base(base) };
    let starts: Vec<Start> = (0..SEEDS).map(|seed| Start { seed, ..Start::default() }).collect();
    let mut rows = Vec::new();
    for prompt in prompts {
        let texts = base.encode_pair(prompt, "")?;
        rows.push(pictures(base, &texts, &settings, &starts, |_| {})?);
    }
    Ok(sheet(&rows, 2))
}

/// Pictures that the autoencoder has not seen, above what comes back.
fn reconstructions(base: &Base) -> Result<RgbImage, PretrainError> {
    // Of another seed than any that is trained with by default.
    const SEED: u64 = 0x7e57;
    let images: Vec<RgbImage> = (0..8).map(|index| data::scene(SEED, index).render().image).collect();
    let latents = base.encode_images(&images.iter().collect::<Vec<_>>())?;
    let side = architecture::RESOLUTION;
    let back = base.decode_latents(&latents, base.latent_size(side, side)?)?;
    Ok(sheet(&[images, back], 2))
}

fn write_png(path: &std::path::Path, image: &RgbImage) -> Result<(), PretrainError> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| PretrainError::Serialize(error.to_string()))?;
    Ok(write_atomically(path, &bytes.into_inner())?)
}

/// A chart that is a file of its own: the page that usually holds it brings its styles.
pub(super) fn standalone(chart: &str) -> String {
    const STYLE: &str = "<style>svg{background:#fff;font:12px sans-serif}.grid{stroke:#ddd}.label,text{fill:#444}\
        .raw{fill:none;stroke:#bcd}.smooth{fill:none;stroke:#06c;stroke-width:2}</style>";
    let chart = chart.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    chart.replacen('>', &format!(">{STYLE}"), 1)
}

/// A run's folder as a card names it: below `runs`, wherever it was on the machine that it was made on.
pub(super) fn told(run: &Path) -> String {
    Path::new("runs").join(run.file_name().unwrap_or_default()).display().to_string()
}

/// Mean of the last hundred losses.
pub(super) fn recent(losses: &[f32]) -> String {
    let recent = &losses[losses.len().saturating_sub(100)..];
    if recent.is_empty() {
        return "not trained here".to_owned();
    }
    format!("{:.4}", recent.iter().sum::<f32>() / recent.len() as f32)
}

/// Millions of parameters.
fn millions(build: impl FnOnce(&mut Shapes) -> mudi_diffusion::Result<()>) -> Result<f64, PretrainError> {
    let mut shapes = Shapes::default();
    build(&mut shapes)?;
    Ok(shapes.elements() as f64 / 1e6)
}

fn text(options: &Options, States { vae, decoder, diffusion }: States<'_>) -> Result<String, PretrainError> {
    use mudi_diffusion::{unet::UNet, vae::VaeDecoder, vae::VaeEncoder};
    type Engine = mudi_engine_candle::CandleEngine;
    let autoencoder = millions(|shapes| {
        VaeEncoder::<Engine>::new(&architecture::vae()?, shapes)?;
        VaeDecoder::<Engine>::new(&architecture::vae()?, shapes).map(|_| ())
    })?;
    let unet = millions(|shapes| UNet::<Engine>::new(architecture::unet()?, shapes).map(|_| ()))?;
    let (seed, vae_steps, steps, pool) = (options.seed, vae.step(), diffusion.step(), options.pool);
    // The learning rate follows from the planned steps, so the command names those.
    let early = if steps < options.steps { ", written before its end" } else { "" };
    let example = data::scene(seed, 0).caption(&mut rng::stream(seed, "card", 0));
    let quoted = |prompts: &[&str]| -> String {
        prompts.iter().map(|prompt| format!("\"{prompt}\"")).collect::<Vec<_>>().join(", ")
    };
    let sizes =
        data::SIZES.iter().map(|size| format!("{} of {size}", size.batch)).collect::<Vec<_>>().join(", ");
    let crowds: String = (3..)
        .zip(CROWDS)
        .map(|(count, prompt)| {
            let size = data::Size::of_crowd(count);
            format!("At {size} pixels, \"{prompt}\":\n\n![{count} toys](crowds-{count}.png)\n\n")
        })
        .collect();
    Ok(format!(
        "---
license: mit
library_name: diffusers
pipeline_tag: text-to-image
---
# Pocket: SDXL's architecture in miniature, for toys

A text-to-image model of plush toys and robots, {side} x {side} pixels or, for three toys and more, wide ones of that height, small enough to be trained and personalized on a
laptop's processor. It exists to show and test personalization; it draws nothing else. The folder is in diffusers' layout
(`StableDiffusionXLPipeline`), weights in half precision: two CLIP text encoders, a UNet with {unet:.1} million parameters, an
autoencoder with {autoencoder:.1} million ({side} x {side} pixels to {latent} x {latent} x {channels}).

## Data
Pictures and captions of the toybox, the renderer in `backend/toybox`, drawn while training goes on: nobody's photos, no licence
but this repository's (MIT OR Apache-2.0). A caption:

> {example}

Now and then a toy bears a meaningless identifier, so that the
text encoders keep rare words apart; a tenth of the captions is empty. The identifiers that subjects get are tokens of the vocabulary.

## Training
    mudi pretrain --run {run} --seed {seed}{from} --vae-steps {planned_vae} --steps {planned} --decoder-steps {planned_decoder} --pool {pool}

The autoencoder saw {vae_steps} batches of 24 crops, the text encoders and the UNet, together, {steps} batches out of
{pool} pictures of each size, which take turns: {sizes} pixels{early}. Then the decoder alone saw {decoder_steps} batches of crops. Mean loss of the last hundred steps: autoencoder {vae_loss}, denoiser {loss},
decoder {decoder_loss} (by another measure). The weights are running averages.

![Loss of the autoencoder](loss-autoencoder.svg)
![Loss of the denoiser](loss-denoiser.svg)
![Loss of the decoder](loss-decoder.svg)

## What it draws
Twenty Euler steps, guidance 5, seeds 0 to {last}. Rows: {prompts}.

![Samples](samples.png)

{crowds}What the autoencoder makes of pictures that it has not seen:

![Reconstructions](reconstructions.png)
",
        run = told(&options.run),
        planned_vae = options.vae_steps,
        planned = options.steps,
        planned_decoder = options.decoder_steps,
        decoder_steps = decoder.step(),
        decoder_loss = recent(&decoder.losses),
        side = architecture::RESOLUTION,
        latent = architecture::RESOLUTION / architecture::vae()?.reduction(),
        channels = architecture::vae()?.latent_channels,
        from = options.from.as_ref().map_or(String::new(), |model| format!(" --from {}", model.display())),
        vae_loss = recent(&vae.losses),
        loss = recent(&diffusion.losses),
        last = SEEDS - 1,
        prompts = quoted(&PROMPTS),
    ))
}
