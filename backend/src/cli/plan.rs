//! `mudi plan`.

use std::path::PathBuf;

use mudi::base::Source;
use mudi::plan::{self, Job, Plan, gigabytes};
use mudi::train::check_targets;
use mudi_domain::recipe::{Precision, Recipe};
use serde::Serialize;

use super::{Failure, model_path, print, train};

/// Tell how much memory training and generating need, without loading the base model's weights: in single and half precision, with and
/// without gradient checkpointing, or as --precision and --gradient-checkpointing say.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, whose configurations are enough, a checkpoint file, or the name of one in `models`, as `pocket`.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Recipe file (JSON). A parameter's value is that of its flag, else of this file, else of its environment variable, else its
    /// default.
    #[arg(long, id = "recipe-file", value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Pictures generated at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    count: u16,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: train::Overrides,
}

#[derive(Serialize)]
struct Row {
    job: String,
    precision: &'static str,
    #[serde(flatten)]
    plan: Plan,
    fits: Option<bool>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let base = Source::open(&model_path(&arguments.base)?)?;
    let recipe = train::recipe(arguments.recipe.as_ref(), &arguments.overrides)?;
    check_targets(&recipe, &base)?;
    let available = plan::available_memory();
    let mut rows = Vec::new();
    let given = |name| arguments.overrides.has(name);
    let precisions =
        if given("precision") { vec![recipe.precision] } else { vec![Precision::Single, Precision::Half] };
    let checkpointing =
        if given("gradient-checkpointing") { vec![recipe.gradient_checkpointing] } else { vec![false, true] };
    for precision in precisions {
        let mut add = |job: String, planned: Job<'_>| -> Result<(), Failure> {
            let plan = plan::plan(&base, planned)?;
            let fits = available.map(|available| plan.total <= available);
            rows.push(Row { job, precision: precision.word(), plan, fits });
            Ok(())
        };
        for &gradient_checkpointing in &checkpointing {
            let recipe = Recipe { precision, gradient_checkpointing, ..recipe.clone() };
            let how = if gradient_checkpointing { "with" } else { "without" };
            add(format!("train, {how} gradient checkpointing"), Job::Train(&recipe))?;
        }
        let generate = Job::Generate {
            size: None,
            tile: Some(recipe.vae_tile as usize).filter(|&tile| tile > 0),
            count: usize::from(arguments.count),
            lora: Some(&recipe),
            precision: mudi::base::precision(precision),
        };
        add(format!("generate, {} at a time", arguments.count), generate)?;
    }
    let mut text = "| job | precision | weights | LoRA | optimizer | activations | all | fits |\n".to_owned();
    text += "|---|---|---|---|---|---|---|---|\n";
    for row in &rows {
        let plan = &row.plan;
        let [weights, lora, optimizer, activations, total] =
            [plan.weights, plan.lora, plan.optimizer, plan.activations, plan.total].map(gigabytes);
        let fits = row.fits.map_or("?", |fits| if fits { "yes" } else { "no" });
        text += &format!(
            "| {} | {} | {weights} | {lora} | {optimizer} | {activations} | {total} | {fits} |\n",
            row.job, row.precision
        );
    }
    if let Some(available) = available {
        text += &format!("\n{} of memory can be had now.", gigabytes(available));
    }
    print(arguments.json, &serde_json::json!({ "rows": rows, "available": available }), &text)
}
