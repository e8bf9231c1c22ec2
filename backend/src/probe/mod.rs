//! How good networks are on held-out toys, whose truth is known: what `mudi probe` prints.

mod auroc;
mod average_precision;
mod base;
mod detection;
mod identity;
mod masks;
mod metric;
mod place;
pub(crate) mod reader;

use std::path::{Path, PathBuf};

use mudi_domain::rng;
use mudi_domain::statistics::Estimate;
use mudi_toybox::{Options as SceneOptions, Rendered, Scene};
use serde::Serialize;

pub use base::{BaseOptions, BaseProbe, base};
pub(crate) use metric::references;
pub use metric::{Group, MOST_DRAWN, MetricOptions, MetricProbe, Sort, Telling, Truth, metric};
pub use place::{Setting, Settled, place};

use crate::base::BaseError;
use crate::evaluate::EvaluateError;
use crate::segment::{SegmentError, Segmenter};
use crate::vision::{Detector, Embedder, VisionError};

/// Why a network could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The detector or the embedder.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// The segmenter.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The base model.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A network.
    #[error(transparent)]
    Network(#[from] mudi_diffusion::Error),
    /// Images cannot be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A subject cannot be named.
    #[error(transparent)]
    Subject(#[from] mudi_domain::subject::SubjectError),
    /// The probe classifier's configuration does not fit its answers.
    #[error("{}: this is not the shape of a toybox reader; make it with `mudi pretrain --network reader`", path.display())]
    Reader {
        /// The configuration.
        path: PathBuf,
    },
    /// The base model draws nothing.
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
    /// The base model gave no picture.
    #[error("the base model gave no picture")]
    NoPicture,
    /// A picture cannot be encoded.
    #[error("a picture cannot be encoded: {0}")]
    Image(#[from] image::ImageError),
    /// A picture cannot be written.
    #[error(transparent)]
    Write(#[from] crate::files::WriteError),
}

/// What is asked of the networks.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pictures for detection and for masks.
    pub pictures: u64,
    /// Toys of each kind whose photos are searched, 2 or more.
    pub toys: usize,
    /// Seed of the pictures. They show toys that training never shows, whatever the seed.
    pub seed: u64,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// How it came out, 0..=1, with its 95 % interval where there is one.
    pub value: f64,
    /// Lower and upper end of the interval.
    pub interval: Option<(f64, f64)>,
    /// Of how many.
    pub count: usize,
    /// What is aimed at, at least.
    pub aim: Option<f64>,
}

impl Row {
    fn of(name: &'static str, estimate: Option<Estimate>, aim: Option<f64>) -> Option<Self> {
        let Estimate { value, interval, count } = estimate?;
        Some(Self { name, value, interval, count, aim })
    }
}

/// Boxes of the kinds of toys that texts name: average precision at an intersection over union of one half, its mean over
/// kinds, and the same for the question `toy`.
///
/// # Errors
/// A folder without OWLv2; networks that fail.
pub fn detection(folder: &Path, options: &Options) -> Result<Vec<Row>, ProbeError> {
    detection::probe(&Detector::load(folder)?, options)
}

/// Masks from the box of each toy, from a click into its middle, and from a click anywhere on it: mean intersection over
/// union.
///
/// # Errors
/// A folder without SAM; networks that fail.
pub fn masks(folder: &Path, options: &Options) -> Result<Vec<Row>, ProbeError> {
    masks::probe(&Segmenter::load(folder)?, options)
}

/// How often the photo that is most like a toy's photo, of four photos of each of many toys of one kind, shows that toy.
///
/// # Errors
/// A folder without an embedder; networks that fail.
pub fn identity(folder: &Path, options: &Options) -> Result<Vec<Row>, ProbeError> {
    identity::probe(&Embedder::load(folder)?, options)
}

/// Held-out picture `index`.
fn picture(options: &Options, index: u64) -> (Scene, Rendered) {
    let scene = Scene::random(
        &mut rng::stream(options.seed, "probe picture", index),
        &SceneOptions { held_out: true, ..SceneOptions::default() },
    );
    let rendered = scene.render();
    (scene, rendered)
}
