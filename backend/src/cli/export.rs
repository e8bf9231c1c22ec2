//! `mudi export`.

use std::path::PathBuf;

use clap::ValueEnum;
use mudi::base::Source;
use mudi::export::write_lora;
use mudi::train::{LORA_FILE, RunInfo};
use mudi_engine_candle::lora::Dialect;

use super::{Failure, base_folder, print};

/// Write a LoRA with the names that other programs read.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder of a finished `mudi train` run.
    #[arg(long, conflicts_with = "lora", required_unless_present = "lora")]
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
            let lora = run.join(LORA_FILE);
            if !lora.exists() {
                let run = run.display();
                return Err(
                    format!("{run}: this run has not finished; go on with `mudi train --resume`").into()
                );
            }
            let base = match &arguments.base {
                Some(base) => base_folder(base),
                None => RunInfo::load(run)?.base,
            };
            (lora, base)
        }
        (None, Some(lora), Some(base)) => (lora.clone(), base_folder(base)),
        _ => return Err("name a --run, or a --lora and its --base".into()),
    };
    let dialect = match arguments.format {
        Format::Peft => Dialect::Peft,
        Format::Kohya => Dialect::Kohya,
    };
    let layers = write_lora(&lora, &Source::open(&base)?, dialect, &arguments.out)?;
    let object = serde_json::json!({ "out": arguments.out, "layers": layers });
    let text = format!("The LoRA, of {layers} layers, is in {}.", arguments.out.display());
    print(arguments.json, &object, &text)
}
