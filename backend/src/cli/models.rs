//! `mudi models`.

use std::path::PathBuf;

use clap::Subcommand;
use mudi::models::{self, CATALOG, DEFAULT_HUB, Hub};

use super::{Failure, bar, print};

/// Pull published models into a folder, and list, verify or remove what is there. Everything else works without a network.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of models.
    #[arg(long, global = true, default_value = "models", value_name = "DIR")]
    models: PathBuf,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Pull a model: sdxl, sd21, sd15, sam, owlv2, dinov2, dreamsim, or a repository as OWNER/NAME. The same command goes on
    /// where an earlier one stopped.
    Pull {
        /// The model.
        name: String,
        #[arg(long, env = "MUDI_HUB", value_name = "URL", help = format!("Address of a mirror of the hub, and of other hosts that models come from [default: {DEFAULT_HUB}]"))]
        mirror: Option<String>,
        /// File with the token of an account of the hub [default: the variable MUDI_HUB_TOKEN].
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Weights in single precision, where there are both.
        #[arg(long)]
        full: bool,
        /// No progress bar.
        #[arg(long)]
        quiet: bool,
    },
    /// List the models that are there.
    List,
    /// Compare a pulled model's files with their hashes.
    Verify {
        /// The model's name.
        name: String,
    },
    /// Remove a pulled model.
    Remove {
        /// The model's name.
        name: String,
    },
}

/// The variable that a token may be in.
const TOKEN: &str = "MUDI_HUB_TOKEN";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let models = &arguments.models;
    let (object, text) = match &arguments.action {
        Action::Pull { name, mirror, token_file, full, quiet } => {
            let token = match token_file {
                Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                    let file = path.display();
                    format!("{file}: the token cannot be read ({error}); --token-file takes a file with it")
                })?),
                None => std::env::var(TOKEN).ok(),
            };
            let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
            let bar = bar(*quiet, 0);
            let folder =
                models::pull(&Hub::new(mirror.as_deref(), token), name, models, !full, |progress| {
                    bar.set_length(progress.total);
                    bar.set_position(progress.done);
                    bar.set_message(progress.file.to_owned());
                })?;
            bar.finish();
            let folder = folder.display().to_string();
            (serde_json::json!({ "folder": folder }), format!("The model is in {folder}."))
        }
        Action::List => {
            let found = models::list(models)?;
            let mut text = String::new();
            for model in &found {
                let from = if model.repositories.is_empty() {
                    "put here by hand".to_owned()
                } else {
                    model.repositories.join(", ")
                };
                text += &format!("{}  {:.2} GB  {from}\n", model.name, model.size as f64 / 1e9);
            }
            text += "\nCan be pulled:\n";
            for entry in CATALOG {
                text += &format!("{}  {}\n", entry.name, entry.what);
            }
            (serde_json::json!({ "models": found }), text.trim_end().to_owned())
        }
        Action::Verify { name } => {
            let count = models::verify(&models.join(plain(name)?))?;
            (serde_json::json!({ "files": count }), format!("All {count} files are as they were pulled."))
        }
        Action::Remove { name } => {
            models::remove(&models.join(plain(name)?))?;
            (serde_json::json!({ "removed": name }), format!("{name} is removed."))
        }
    };
    print(arguments.json, &object, &text)
}

/// The name of a folder of models, and no path.
fn plain(name: &str) -> Result<&str, Failure> {
    let one = std::path::Path::new(name).components().count() == 1 && !matches!(name, "." | "..");
    if one {
        Ok(name)
    } else {
        Err(format!("{name:?} is no model's name; `mudi models list` tells them").into())
    }
}
