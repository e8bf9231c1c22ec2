//! `mudi evaluate`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mudi::dataset::Dataset;
use mudi::evaluate::{Evaluation, Eyes, HTML_NAME, Judge, Options, Summary, images};
use mudi::files::{check_folder, create_folder, whole};
use mudi::pretrain::miniature::Miniature;
use mudi_domain::compare::Norm;
use mudi_domain::statistics::Estimate;

use super::{Failure, bar, model_path, print};

/// Tell whether images show your subjects, each once and unmixed: the Detect-and-Compare score of every image of a folder.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder with photos of the subjects, their masks, and `metadata.jsonl`.
    #[arg(long)]
    photos: PathBuf,
    /// Folder with the images to judge.
    #[arg(long)]
    images: PathBuf,
    /// Folder with OWLv2, which finds the subjects. The one that ships knows the toybox's toys only.
    #[arg(long, default_value = Miniature::Owlv2.folder())]
    detector: PathBuf,
    /// Folder with DINOv2 or DreamSim, which compares them; may be given several times. Images are ordered by the first. The
    /// one that ships knows the toybox's toys only.
    #[arg(long = "embedder", value_name = "DIR", default_values = [Miniature::Dinov2.folder()])]
    embedders: Vec<PathBuf>,
    /// What to look for, such as `dog`; may be given several times [default: the classes of the subjects, or what the detector's config.json says; `toy` with the one that ships].
    #[arg(long = "query", value_name = "TEXT")]
    queries: Vec<String>,
    /// What a detection's score must exceed, 0 to 1 [default: 0.4, or what the detector's config.json says].
    #[arg(long, value_parser = share)]
    threshold: Option<f64>,
    /// Of two detections that overlap by more than this share the surer one counts; 1 keeps all [default: 1, or what the detector's config.json says].
    #[arg(long, value_parser = share)]
    overlap: Option<f64>,
    /// How the matrices' difference is measured: frobenius, squared (the paper's formula) or spectral (the released code).
    #[arg(long, default_value_t = Norm::Frobenius)]
    norm: Norm,
    /// Folder to write the page and its numbers to.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.out.as_deref().map_or(Ok(()), check_folder)?;
    let embedders: Vec<PathBuf> =
        arguments.embedders.iter().map(|folder| model_path(folder)).collect::<Result<_, _>>()?;
    let embedders: Vec<&Path> = embedders.iter().map(PathBuf::as_path).collect();
    // Before large networks look at the photos.
    images(&arguments.images)?;
    let data = Dataset::load(&arguments.photos)?;
    let eyes = Eyes::load(&model_path(&arguments.detector)?, &embedders)?;
    let usual = eyes.options();
    let options = Options {
        queries: if arguments.queries.is_empty() { usual.queries } else { arguments.queries.clone() },
        threshold: arguments.threshold.map_or(usual.threshold, |threshold| threshold as f32),
        overlap: arguments.overlap.unwrap_or(usual.overlap),
        norm: arguments.norm,
    };
    let judge = Judge::new(Arc::new(eyes), &data, options)?;
    let bar = bar(arguments.json || arguments.quiet, 0).with_message("images");
    let evaluation = judge.judge_folder(&arguments.images, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let mut text = table(&evaluation);
    if let Some(out) = &arguments.out {
        create_folder(out)?;
        judge.write(&evaluation, out)?;
        text += &format!("\nOpen {} in a browser.", whole(&out.join(HTML_NAME)).display());
    }
    print(arguments.json, &serde_json::to_value(&evaluation)?, &text)
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "write a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("it must be from 0 to 1".to_owned()) }
}

/// The scores as text: a column for each embedder.
fn table(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for image in &evaluation.images {
        let scores = image.verdicts.iter().map(|verdict| format!("{:6.3}  ", verdict.comparison.score));
        let file = image.file.file_name().unwrap_or_default().to_string_lossy();
        let why = image.verdicts.first().map_or("", |verdict| verdict.explanation.as_str());
        text += &format!("{}{file}: {why}\n", scores.collect::<String>());
    }
    let mut line = |name: &str, estimate: Option<Estimate>| match estimate {
        None => {}
        Some(Estimate { value, interval: None, .. }) => text += &format!("{value:6.3}  {name}\n"),
        Some(Estimate { value, interval: Some((low, high)), .. }) => {
            text += &format!("{value:6.3}  {name} (95 %: {low:.3} to {high:.3})\n");
        }
    };
    let norm = evaluation.options.norm;
    for Summary { embedder, score, .. } in &evaluation.summaries {
        line(&format!("mean Detect-and-Compare score by {embedder}, norm {norm}"), *score);
    }
    line("share of images with the right number of subjects", evaluation.all_found);
    for Summary { embedder, multi_subject_similarity, .. } in &evaluation.summaries {
        line(&format!("mean plain multi-subject similarity by {embedder}"), *multi_subject_similarity);
    }
    for note in &evaluation.notes {
        text += &format!("Note: {note}\n");
    }
    text.trim_end().to_owned()
}
