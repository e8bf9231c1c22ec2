//! `mudi toybox`.

use std::path::PathBuf;

use mudi::files::check_folder;
use mudi_domain::recipe::Recipe;
use mudi_domain::rng;
use mudi_toybox::{Naming, Toy, photo_set, similar_group, write_data_set};

use super::{Failure, print};

/// Draw a data set of toys that are easily mixed up: photos, masks, `metadata.jsonl` and `truth.json`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Different toys of one kind.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=5))]
    subjects: u8,
    /// Photos of each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=200))]
    photos: u16,
    /// Seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Side of the photos in pixels; by default the size in which `pocket` draws so many toys.
    #[arg(long, value_parser = clap::value_parser!(u32).range(32..=2048))]
    size: Option<u32>,
    /// Name toys by their kind alone (`olis bear`), not by colour and kind: the harder case.
    #[arg(long)]
    plain_names: bool,
    /// Folder to write; must not hold anything yet.
    #[arg(long)]
    out: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_folder(&arguments.out)?;
    let mut stream = rng::stream(arguments.seed, "toybox", 0);
    let toys = similar_group(&mut stream, usize::from(arguments.subjects));
    let naming = if arguments.plain_names { Naming::Kind } else { Naming::Described };
    let size = arguments.size.unwrap_or(Recipe::pocket_side(toys.len()));
    let photos = photo_set(&toys, naming, usize::from(arguments.photos), arguments.seed, size);
    write_data_set(&arguments.out, &toys, naming, &photos)?;
    let phrases: Vec<String> = toys.iter().map(Toy::phrase).collect();
    let out = arguments.out.display().to_string();
    let object = serde_json::json!({ "out": out, "photos": photos.len(), "toys": phrases });
    let mut text = format!("{} photos of {} toys are in {out}.", photos.len(), toys.len());
    for phrase in &phrases {
        text += &format!("\n  {phrase}");
    }
    print(arguments.json, &object, &text)
}
