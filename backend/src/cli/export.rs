//! `mudi export`.

use std::path::PathBuf;

use clap::{ArgGroup, ValueEnum};
use mudi::base::Source;
use mudi::export::write_lora;
use mudi::files::create_folder;
use mudi::train::{RunInfo, finished_lora};
use mudi_engine_candle::lora::Dialect;

use super::{Failure, model_path, print};

/// Write a LoRA with the names that other programs read.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("source").args(["run", "lora"]).required(true)))]
pub(super) struct Arguments {
    /// Folder of a finished `mudi train` run.
    #[arg(long)]
    run: Option<PathBuf>,
    /// A LoRA's file instead of a run, of any tool; --base says what it is for.
    #[arg(long, requires = "base")]
    lora: Option<PathBuf>,
    /// The base model: with --lora what it is for, with --run where the run's base is now.
    #[arg(long)]
    base: Option<PathBuf>,
    /// peft: for diffusers and PEFT. kohya: for ComfyUI, and kohya's tools.
    #[arg(long, default_value = "peft")]
    format: Format,
    /// The .safetensors file to write; must be new.
    #[arg(long)]
    out: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Peft,
    Kohya,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (lora, base) = match (&arguments.run, &arguments.lora, &arguments.base) {
        (Some(run), ..) => {
            let lora = finished_lora(run)?;
            let base = match &arguments.base {
                Some(base) => model_path(base)?,
                None => RunInfo::load(run)?.base,
            };
            (lora, base)
        }
        (None, Some(lora), Some(base)) => (lora.clone(), model_path(base)?),
        _ => return Err("name a --run, or a --lora and its --base".into()),
    };
    let dialect = match arguments.format {
        Format::Peft => Dialect::Peft,
        Format::Kohya => Dialect::Kohya,
    };
    if arguments.out.extension().is_none_or(|extension| extension != "safetensors") {
        let out = arguments.out.display();
        return Err(format!("{out}: programs tell a LoRA's format by the end of its name; name an --out that ends in .safetensors").into());
    }
    arguments.out.parent().map_or(Ok(()), create_folder)?;
    let layers = write_lora(&lora, &Source::open(&base)?, dialect, &arguments.out)?;
    let out = arguments.out.display().to_string();
    let object = serde_json::json!({ "out": out, "layers": layers });
    let text = format!("The LoRA, of {layers} layers, is in {out}.");
    print(arguments.json, &object, &text)
}
