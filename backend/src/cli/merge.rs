//! `mudi merge`.

use std::path::PathBuf;

use clap::ValueEnum;
use mudi::export::{Held, write_checkpoint, write_folder};
use mudi::files::create_folder;

use super::base::Changes;
use super::{Failure, print};

/// Write a base model with LoRAs merged into it, or in another form: a checkpoint file where --out ends in .safetensors,
/// otherwise a folder in diffusers' layout.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, a checkpoint file, or the name of one in `models`, as `pocket`.
    #[arg(long)]
    base: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Folder or .safetensors file to write; must be new.
    #[arg(long)]
    out: PathBuf,
    /// How weights are written: f16 as most models are published, bf16, or f32.
    #[arg(long, default_value = "f16")]
    dtype: Dtype,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F16,
    Bf16,
    F32,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = arguments.changes.source(&arguments.base, None)?;
    let held = match arguments.dtype {
        Dtype::F16 => Held::F16,
        Dtype::Bf16 => Held::Bf16,
        Dtype::F32 => Held::Single,
    };
    let out = &arguments.out;
    let file = out.extension().is_some_and(|extension| extension == "safetensors");
    let note = if file {
        out.parent().map_or(Ok(()), create_folder)?;
        write_checkpoint(&source, held, out)?
    } else {
        write_folder(&source, held, out)?;
        None
    };
    let out = out.display().to_string();
    let object = serde_json::json!({ "out": out, "loras": arguments.changes.names(), "note": note });
    let note = note.map(|note| format!("\nNote: {note}")).unwrap_or_default();
    print(arguments.json, &object, &format!("The model is in {out}.{note}"))
}
