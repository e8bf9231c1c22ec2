//! Pictures with the truth about them, as detector and segmenter learn from them.

use image::{GrayImage, RgbImage, imageops};
use mudi_domain::rng::{self, Stream};
use mudi_toybox::{Options as SceneOptions, Rendered, Scene, Toy};
use rand::Rng;

use super::augment::worn;
use super::redraw::{Pool, Redrawer};
use super::softener::Softener;
use super::{Options, PretrainError, architecture};
use crate::pretrain::data::Size;

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
/// Share of examples that the base has drawn anew.
const DRAWN: f64 = 0.5;
/// Share of examples without a toy.
const EMPTY: f64 = 0.04;
/// Examples that went through the autoencoder, from which batches take theirs.
const POOL: u64 = 768;
/// Sheets of examples that the base has drawn anew, of one size each: squares and wide ones take turns.
const SHEETS: usize = 80;
/// Examples of a sheet.
const SHEET: usize = 16;
/// Of the sampler's steps so many, at least and at most, are drawn anew.
const STEPS: [usize; 2] = [4, 13];

/// Where examples come from.
pub(super) struct Source {
    seed: u64,
    softened: Vec<Example>,
    redrawer: Redrawer,
    sheets: Pool<Vec<Example>>,
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
        let redrawer = Redrawer::load(&options.base)?;
        Ok(Self { seed: options.seed, softened, redrawer, sheets: Pool::new(SHEETS) })
    }

    /// Example `index` of a run.
    pub(super) fn example(&self, index: u64) -> Result<Example, PretrainError> {
        let stream = &mut rng::stream(self.seed, "miniature example", index);
        let mut example = if stream.random_bool(DRAWN) {
            self.drawn(stream)?
        } else if stream.random_bool(SOFTENED) {
            self.softened[stream.random_range(0..self.softened.len())].clone()
        } else {
            example(self.seed, "miniature", index)
        };
        if stream.random_bool(CUT) {
            example = cut(example, stream);
        }
        example.image = worn(example.image, stream);
        Ok(example)
    }

    /// One that the base has drawn anew; of a wide one a square, as it is looked at.
    fn drawn(&self, stream: &mut Stream) -> Result<Example, PretrainError> {
        let index = stream.random_range(0..self.sheets.size());
        let sheet = self.sheets.get(index, || self.sheet(index))?;
        let example = sheet[stream.random_range(0..sheet.len())].clone();
        let (width, height) = example.image.dimensions();
        Ok(if width == height { example } else { part(&example, height, height, stream).unwrap_or(example) })
    }

    fn sheet(&self, index: usize) -> Result<Vec<Example>, PretrainError> {
        let stream = &mut rng::stream(self.seed, "miniature sheet", index as u64);
        let size = if index.is_multiple_of(2) {
            [architecture::SIDE as u32; 2]
        } else {
            Size::of_crowd(3 + index / 2 % 3).sides()
        };
        let scenes: Vec<Scene> = (0..SHEET).map(|_| scene(stream, size)).collect();
        let steps = stream.random_range(STEPS[0]..=STEPS[1]);
        let drawn = self.redrawer.redraw(&scenes.iter().collect::<Vec<_>>(), steps, stream)?;
        Ok(scenes.into_iter().zip(drawn).map(|(scene, rendered)| Example::of(scene, rendered)).collect())
    }
}

/// A random scene of `size` (width and height), of one toy to five, or of none.
fn scene(stream: &mut Stream, size: [u32; 2]) -> Scene {
    // Wide pictures are for many.
    let counts =
        if size[0] == size[1] { [24.0, 28.0, 20.0, 14.0, 14.0] } else { [5.0, 15.0, 25.0, 30.0, 25.0] };
    let options = SceneOptions { size, counts, ..SceneOptions::default() };
    let mut scene = Scene::random(stream, &options);
    if stream.random_bool(EMPTY) {
        scene.toys.clear();
    }
    scene
}

/// A rendered scene as an example.
fn example(seed: u64, purpose: &str, index: u64) -> Example {
    let scene = scene(&mut rng::stream(seed, purpose, index), [architecture::SIDE as u32; 2]);
    let rendered = scene.render();
    Example::of(scene, rendered)
}

impl Example {
    /// A rendered scene.
    fn of(scene: Scene, rendered: Rendered) -> Self {
        let toys = scene.toys.into_iter().map(|(toy, _)| toy).zip(rendered.masks);
        let toys = toys.filter_map(|(toy, mask)| bounds(&mask).map(|bounds| (toy, mask, bounds))).collect();
        Self { image: rendered.image, toys }
    }
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
    let mut share = |side: u32| (side as f32 * stream.random_range(0.5..1.0f32)) as u32;
    let (w, h) = (share(width), share(height));
    part(&example, w, h, stream).unwrap_or(example)
}

/// A part of this width and height in which every toy is there for the most part or not at all, if one is found.
fn part(example: &Example, w: u32, h: u32, stream: &mut Stream) -> Option<Example> {
    let (width, height) = example.image.dimensions();
    (0..8).find_map(|_| {
        let (x, y) = (stream.random_range(0..=width - w), stream.random_range(0..=height - h));
        let part = |mask: &GrayImage| imageops::crop_imm(mask, x, y, w, h).to_image();
        let parts: Vec<GrayImage> = example.toys.iter().map(|(_, mask, _)| part(mask)).collect();
        let clear = parts.iter().zip(&example.toys).all(|(part, (_, mask, _))| {
            let (left, all) = (visible(part), visible(mask));
            left == 0 || 5 * left >= 3 * all
        });
        (clear && (example.toys.is_empty() || parts.iter().any(|part| visible(part) > 0))).then(|| {
            let image = imageops::crop_imm(&example.image, x, y, w, h).to_image();
            let toys = example.toys.iter().zip(parts);
            let toys = toys
                .filter_map(|((toy, ..), mask)| bounds(&mask).map(|bounds| (toy.clone(), mask, bounds)))
                .collect();
            Example { image, toys }
        })
    })
}
