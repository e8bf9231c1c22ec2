//! Grids of samples: what the model draws after so many steps.

use std::path::{Path, PathBuf};

use super::captions::Captions;
use super::{Options, TrainError};
use crate::base::Base;
use crate::files::{create_folder, write_atomically};
use crate::generate::{Settings, Start, pictures};
use crate::report::sheet::sheet;

/// A grid of samples: a row for each of the recipe's prompts.
pub(super) fn write_samples(
    base: &Base,
    captions: &Captions,
    options: &Options,
    step: u64,
) -> Result<(), TrainError> {
    let recipe = &options.recipe;
    let settings = Settings {
        guidance: 5.0,
        size: base.size_for(recipe),
        interrupt: options.interrupt.clone(),
        ..Settings::for_base(base)
    };
    let starts: Vec<Start> =
        (0..4).map(|seed| Start { seed: recipe.seed.wrapping_add(seed), ..Start::default() }).collect();
    let mut rows = Vec::new();
    for prompt in &recipe.sample_prompts {
        let encoded;
        let texts = if base.text.is_some() {
            encoded = base.encode_pair(prompt, base.negative_prompt)?;
            &encoded
        } else {
            captions.prompt(prompt)?
        };
        // One by one: a run that just fits into memory shall not end at its first sample.
        let drawn = starts.chunks(1).map(|start| pictures(base, texts, &settings, start, |_| {}));
        rows.push(drawn.collect::<Result<Vec<_>, _>>()?.concat());
    }
    create_folder(&options.out.join("samples"))?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    sheet(&rows, 2)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .map_err(|error| TrainError::Serialize(error.to_string()))?;
    Ok(write_atomically(&samples_file(&options.out, step), &bytes.into_inner())?)
}

/// The file of the samples after `step` steps of the run in the folder `out`.
pub(crate) fn samples_file(out: &Path, step: u64) -> PathBuf {
    out.join("samples").join(format!("step-{step:06}.png"))
}

/// The steps after which the run in the folder `out` drew samples, in order.
pub(crate) fn sample_steps(out: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(out.join("samples")).into_iter().flatten().flatten();
    let step = |entry: std::fs::DirEntry| {
        entry.file_name().to_str()?.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()
    };
    let mut steps: Vec<u64> = entries.filter_map(step).collect();
    steps.sort_unstable();
    steps
}
