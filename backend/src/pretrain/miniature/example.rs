//! Pictures with the truth about them, as detector and segmenter learn from them.

use image::{GrayImage, RgbImage, imageops};
use mudi_domain::rng::{self, Stream};
use mudi_toybox::{Options as SceneOptions, Scene, Toy};
use rand::Rng;

use super::augment::worn;
use super::softener::Softener;
use super::{Options, PretrainError, architecture};

/// A picture, and each toy in it.
#[derive(Clone)]
pub(super) struct Example {
    /// The picture.
    pub(super) image: RgbImage,
    /// Each toy with its mask and its box: left, top, right, bottom in pixels.
    pub(super) toys: Vec<(Toy, GrayImage, [f32; 4])>,
}

/// Toys with fewer visible pixels than this are not asked for.
const LEAST_PIXELS: usize = 24;
/// Share of examples in which an edge cuts the picture, so that shapes and scales vary.
const CUT: f64 = 0.3;
/// Share of examples that went through the base's autoencoder.
const SOFTENED: f64 = 0.2;
/// Share of examples without a toy.
const EMPTY: f64 = 0.04;
/// Examples that went through the autoencoder, from which batches take theirs.
const POOL: u64 = 768;

/// Where examples come from.
pub(super) struct Source {
    seed: u64,
    softened: Vec<Example>,
}

impl Source {
    /// Renders the pool of softened pictures.
    pub(super) fn new(options: &Options) -> Result<Self, PretrainError> {
        let softener = Softener::load(&options.base)?;
        let mut softened = Vec::new();
        if !options.export_only {
            for first in (0..POOL).step_by(16) {
                let mut examples: Vec<Example> =
                    (first..first + 16).map(|index| example(options.seed, "softened", index)).collect();
                let images: Vec<RgbImage> = examples.iter().map(|example| example.image.clone()).collect();
                for (example, image) in examples.iter_mut().zip(softener.soften(&images)?) {
                    example.image = image;
                }
                softened.append(&mut examples);
            }
        }
        Ok(Self { seed: options.seed, softened })
    }

    /// Example `index` of a run.
    pub(super) fn example(&self, index: u64) -> Example {
        let stream = &mut rng::stream(self.seed, "miniature example", index);
        let mut example = if stream.random_bool(SOFTENED) {
            self.softened[stream.random_range(0..self.softened.len())].clone()
        } else {
            example(self.seed, "miniature", index)
        };
        if stream.random_bool(CUT) {
            example = cut(example, stream);
        }
        example.image = worn(example.image, stream);
        example
    }
}

/// A rendered scene as an example.
fn example(seed: u64, purpose: &str, index: u64) -> Example {
    let stream = &mut rng::stream(seed, purpose, index);
    let options = SceneOptions {
        size: [architecture::SIDE as u32; 2],
        counts: [24.0, 28.0, 20.0, 14.0, 14.0],
        ..SceneOptions::default()
    };
    let mut scene = Scene::random(stream, &options);
    if stream.random_bool(EMPTY) {
        scene.toys.clear();
    }
    let rendered = scene.render();
    let toys = scene.toys.into_iter().map(|(toy, _)| toy).zip(rendered.masks);
    let toys = toys.filter_map(|(toy, mask)| bounds(&mask).map(|bounds| (toy, mask, bounds))).collect();
    Example { image: rendered.image, toys }
}

/// Left, top, right and bottom of what is at least half visible; `None` where it is nearly nothing.
fn bounds(mask: &GrayImage) -> Option<[f32; 4]> {
    let mut found = [u32::MAX, u32::MAX, 0, 0];
    let mut count = 0;
    for (x, y, _) in mask.enumerate_pixels().filter(|(_, _, v)| v.0[0] >= 128) {
        found = [found[0].min(x), found[1].min(y), found[2].max(x + 1), found[3].max(y + 1)];
        count += 1;
    }
    (count >= LEAST_PIXELS).then(|| found.map(|v| v as f32))
}

fn visible(mask: &GrayImage) -> usize {
    mask.iter().filter(|&&value| value >= 128).count()
}

/// A part of an example in which every toy is there for the most part or not at all; the example itself where no such part
/// was found.
fn cut(example: Example, stream: &mut Stream) -> Example {
    let (width, height) = example.image.dimensions();
    for _ in 0..8 {
        let (w, h) = (
            (width as f32 * stream.random_range(0.5..1.0f32)) as u32,
            (height as f32 * stream.random_range(0.5..1.0f32)) as u32,
        );
        let (x, y) = (stream.random_range(0..=width - w), stream.random_range(0..=height - h));
        let part = |mask: &GrayImage| imageops::crop_imm(mask, x, y, w, h).to_image();
        let parts: Vec<GrayImage> = example.toys.iter().map(|(_, mask, _)| part(mask)).collect();
        let clear = parts.iter().zip(&example.toys).all(|(part, (_, mask, _))| {
            let (left, all) = (visible(part), visible(mask));
            left == 0 || 5 * left >= 3 * all
        });
        if clear && (example.toys.is_empty() || parts.iter().any(|part| visible(part) > 0)) {
            let image = imageops::crop_imm(&example.image, x, y, w, h).to_image();
            let toys = example.toys.into_iter().zip(parts);
            let toys = toys
                .filter_map(|((toy, ..), mask)| bounds(&mask).map(|bounds| (toy, mask, bounds)))
                .collect();
            return Example { image, toys };
        }
    }
    example
}
