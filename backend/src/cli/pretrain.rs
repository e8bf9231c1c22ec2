//! `mudi pretrain`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mudi::files::{check_folder, is_same};
use mudi::plan::peak_memory;
use mudi::pretrain::miniature::{self, Miniature};
use mudi::pretrain::{self, Options};

use super::{Failure, model_path, print};

/// Train the pocket base model on the toybox, or a miniature of a network that sees. Stop it at will: the same command
/// resumes.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What to train.
    #[arg(long, value_enum, default_value_t = Network::Pocket)]
    network: Network,
    /// Folder for checkpoints; by default in `runs`, under the network's name.
    #[arg(long)]
    run: Option<PathBuf>,
    /// Folder that the model is written to; by default in `models`, under the network's name.
    #[arg(long)]
    out: Option<PathBuf>,
    /// For a network that sees: the base model whose pictures it is to see as well, and whose tokenizer it takes.
    #[arg(long, default_value = "pocket")]
    base: PathBuf,
    /// Model to go on from, in a new --run folder: its weights and vocabulary are taken over, the optimizer starts anew. For
    /// owlv2 an earlier OWLv2, or a DINOv2 of the same shape, `dinov2-toybox`: its blocks are what the image tower begins with.
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Seed of weights, pictures and noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of the autoencoder (batches of 24 crops of 48 x 48 pixels).
    #[arg(long, default_value_t = 6000)]
    vae_steps: u64,
    /// Steps of text encoders and denoiser (batches of 13 to 32 pictures, of seven sizes in turn), or of the network that sees; by default 12,000 for
    /// pocket, 6000 for owlv2, 4000 for sam and dinov2, 3000 for the reader.
    #[arg(long)]
    steps: Option<u64>,
    /// Steps of the autoencoder's decoder alone, after all others; latents, and so the denoiser, stay as they are.
    #[arg(long, default_value_t = 3000)]
    decoder_steps: u64,
    /// Pictures of each size that the denoiser learns from.
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(1..))]
    pool: u64,
    /// Steps between checkpoints.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// Write the model from the checkpoints that there are, without training.
    #[arg(long)]
    export_only: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bars.
    #[arg(long)]
    quiet: bool,
}

/// What can be trained.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Network {
    /// The base model.
    Pocket,
    /// A detector: boxes of what texts name.
    Owlv2,
    /// A segmenter: masks of what boxes and points point at.
    Sam,
    /// An embedder: who is who.
    Dinov2,
    /// The probe classifier: what a picture of toys shows.
    Reader,
}

impl Network {
    fn miniature(self) -> Option<Miniature> {
        match self {
            Self::Pocket => None,
            Self::Owlv2 => Some(Miniature::Owlv2),
            Self::Sam => Some(Miniature::Sam),
            Self::Dinov2 => Some(Miniature::Dinov2),
            Self::Reader => Some(Miniature::Reader),
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let miniature = arguments.network.miniature();
    let name = miniature.map_or("pocket", Miniature::folder);
    let run = arguments.run.unwrap_or_else(|| Path::new("runs").join(name));
    let out = arguments.out.unwrap_or_else(|| Path::new("models").join(name));
    let json = arguments.json;
    let from = arguments.from.as_deref().map(model_path).transpose()?;
    if let Some(from) = from.as_ref().filter(|from| !from.is_dir()) {
        return Err(
            format!("{}: there is no such folder; --from must name that of a model", from.display()).into()
        );
    }
    if is_same(&run, &out) {
        let folder = out.display();
        return Err(format!(
            "{folder}: this folder is for checkpoints (--run) and for the model (--out), whose files would take each other's place; name two"
        )
        .into());
    }
    // The model is written after hours of training.
    check_folder(&out)?;
    let begin = Instant::now();
    match miniature {
        None => pretrain::run(&Options {
            run: run.clone(),
            out: out.clone(),
            from,
            seed: arguments.seed,
            vae_steps: arguments.vae_steps,
            steps: arguments.steps.unwrap_or(12_000),
            decoder_steps: arguments.decoder_steps,
            pool: arguments.pool,
            checkpoint_every: arguments.checkpoint_every,
            export_only: arguments.export_only,
            quiet: arguments.quiet,
        })?,
        Some(network) => miniature::run(&miniature::Options {
            network,
            run: run.clone(),
            out: out.clone(),
            base: model_path(&arguments.base)?,
            from,
            seed: arguments.seed,
            steps: arguments.steps.unwrap_or(network.steps()),
            checkpoint_every: arguments.checkpoint_every,
            export_only: arguments.export_only,
            quiet: arguments.quiet,
        })?,
    }
    let out = out.display().to_string();
    let object = serde_json::json!({
        "out": out, "run": run.display().to_string(), "seconds": begin.elapsed().as_secs_f64(), "peak_memory_bytes": peak_memory(),
    });
    print(json, &object, &format!("The model is in {out}."))
}
