//! DINOv2's miniature: the identity that a crop shows.
//!
//! The published DINOv2 teaches itself without labels. This one is small and learns from who is who: pictures of one toy
//! are to be near to each other and far from those of others, of its kind above all.

use image::RgbImage;
use mudi_diffusion::{Engine, Parameters};
use mudi_domain::geometry::Rect;
use mudi_domain::rng::{self, Stream};
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, Gradients, backward, on_pool};
use mudi_toybox::{
    Accessory, AccessoryKind, Background, Color, Kind, MAX_TOYS, Pattern, Rendered, Scene, Toy, is_held_out,
};
use mudi_vision::dino::{Dinov2, mean_state};
use mudi_vision::preprocess::Processor;
use rand::Rng;
use rand::seq::SliceRandom;

use super::augment::worn;
use super::contrast::contrast;
use super::initial::Origin;
use super::redraw::{Pool, Redrawer};
use super::softener::Softener;
use super::{Options, PretrainError, State, Student, architecture, export, learn};
use crate::evaluate::crops::on_square;
use crate::pretrain::data::Size;

/// Toys in a batch, of two kinds.
const TOYS: usize = 16;
/// Pictures of each.
const VIEWS: usize = 4;
/// Share of toys that differ from another one in one thing.
const NEAR: f64 = 0.4;
/// Toys whose pictures are in part drawn anew: every other step shows the toys of one of so many groups.
const GROUPS: usize = 64;
/// Of the sampler's steps so many, at least and at most, are drawn anew.
const STEPS: [usize; 2] = [4, 11];
/// How far a crop's edges may be from the toy's, in shares of the box.
const LOOSE: f32 = 0.08;

/// A toy that differs from `toy` in one thing that captions name or do not name.
fn near(toy: &Toy, stream: &mut Stream) -> Toy {
    let other = Toy { kind: toy.kind, ..Toy::random(stream) };
    let mut near = toy.clone();
    match stream.random_range(0..5) {
        0 => (near.color, near.coat) = (other.color, other.coat),
        1 => near.pattern = Pattern::ALL[stream.random_range(0..Pattern::ALL.len())],
        2 => near.accessory = other.accessory,
        3 => {
            near.accessory = near.accessory.map(|_| {
                let color = Color::random(stream);
                Accessory { kind: AccessoryKind::random(stream), color, shade: color.shade(stream) }
            });
        }
        _ => near.traits = other.traits,
    }
    near
}

/// Toys of two kinds that training may show.
fn toys(stream: &mut Stream) -> Vec<Toy> {
    let kinds = [Kind::random(stream), Kind::random(stream)];
    let mut toys: Vec<Toy> = Vec::with_capacity(TOYS);
    while toys.len() < TOYS {
        let toy = match toys.last() {
            Some(last) if stream.random_bool(NEAR) => near(last, stream),
            _ => Toy { kind: kinds[toys.len() % 2], ..Toy::random(stream) },
        };
        if !is_held_out(&toy) && !toys.contains(&toy) {
            toys.push(toy);
        }
    }
    toys
}

/// A toy's crop as evaluation makes it, with edges that are not exact.
fn crop(image: &RgbImage, [x, y, width, height]: [u32; 4], stream: &mut Stream) -> Option<RgbImage> {
    let mut edge = |at: u32, length: u32, most: u32| {
        let shift = stream.random_range(-LOOSE..LOOSE) * length as f32;
        (at as f32 + shift).round().clamp(0.0, most as f32) as u32
    };
    let (left, right) = (edge(x, width, image.width()), edge(x + width, width, image.width()));
    let (top, bottom) = (edge(y, height, image.height()), edge(y + height, height, image.height()));
    let (wide, high) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
    // A sliver shows nobody.
    (wide >= 4 && high >= 4).then(|| on_square(image, Rect::new(left as i32, top as i32, wide, high)))
}

pub(super) struct Batch {
    pixels: Vec<f32>,
    who: Vec<usize>,
}

/// Toys, and pictures of them with the numbers of those that each shows, from left to right.
type Group = Vec<(Rendered, Vec<usize>)>;

/// Where batches come from.
struct Source {
    seed: u64,
    softener: Softener,
    redrawer: Redrawer,
    groups: Pool<Group>,
    processor: Processor,
}

impl Source {
    fn batch(&self, step: u64) -> Result<Batch, PretrainError> {
        let stream = &mut rng::stream(self.seed, "identities", step);
        let fresh;
        let group = if step.is_multiple_of(2) {
            fresh = self.rendered(stream)?;
            &fresh
        } else {
            let index = stream.random_range(0..self.groups.size());
            self.groups.get(index, || self.drawn(index as u64))?
        };
        let mut batch = Batch { pixels: Vec::new(), who: Vec::new() };
        for (rendered, shown) in group {
            let image = worn(rendered.image.clone(), stream);
            for (&index, &bounds) in shown.iter().zip(&rendered.boxes) {
                if let Some(crop) = crop(&image, bounds, stream) {
                    batch.pixels.extend(self.processor.apply(&crop)?.values);
                    batch.who.push(index);
                }
            }
        }
        Ok(batch)
    }

    /// Renders, of which as many go through the autoencoder as time allows.
    fn rendered(&self, stream: &mut Stream) -> Result<Group, PretrainError> {
        const SOFTENED: usize = 4;
        let toys = toys(stream);
        let mut group = Group::new();
        for _ in 0..VIEWS {
            group.extend(view(&toys, 3, stream).into_iter().map(|(scene, shown)| (scene.render(), shown)));
        }
        let images: Vec<RgbImage> =
            group.iter().take(SOFTENED).map(|(rendered, _)| rendered.image.clone()).collect();
        for ((rendered, _), image) in group.iter_mut().zip(self.softener.soften(&images)?) {
            rendered.image = image;
        }
        Ok(group)
    }

    /// The same where half of the pictures are drawn anew by the base, so that a toy is the same drawn and rendered.
    fn drawn(&self, index: u64) -> Result<Group, PretrainError> {
        let stream = &mut rng::stream(self.seed, "drawn identities", index);
        let toys = toys(stream);
        let mut group = Group::new();
        for number in 0..VIEWS {
            let scenes = view(&toys, MAX_TOYS, stream);
            if number % 2 == 0 {
                group.extend(scenes.into_iter().map(|(scene, shown)| (scene.render(), shown)));
                continue;
            }
            // Pictures of one size are drawn together.
            for scenes in scenes.chunk_by(|(one, _), (other, _)| one.size == other.size) {
                let steps = stream.random_range(STEPS[0]..=STEPS[1]);
                let (scenes, shown): (Vec<&Scene>, Vec<Vec<usize>>) =
                    scenes.iter().map(|(scene, shown)| (scene, shown.clone())).unzip();
                group.extend(self.redrawer.redraw(&scenes, steps, stream)?.into_iter().zip(shown));
            }
        }
        Ok(group)
    }
}

/// Scenes in which each of `toys` is once, with the numbers of those in each, from one up to `most` together, as many of a size one after the other.
fn view(toys: &[Toy], most: usize, stream: &mut Stream) -> Vec<(Scene, Vec<usize>)> {
    let mut order: Vec<usize> = (0..toys.len()).collect();
    order.shuffle(stream);
    let mut scenes = Vec::new();
    let mut left = order.as_slice();
    while !left.is_empty() {
        let (together, rest) = left.split_at(stream.random_range(1..=most).min(left.len()));
        left = rest;
        let place =
            if stream.random_bool(0.25) { Background::Simple } else { Background::random_place(stream) };
        let shown = together.iter().map(|&index| toys[index].clone()).collect();
        // Where there may be more than three, from three on they are drawn wide, as pocket does.
        let wide = most > 3 && together.len() > 2;
        let size = if wide { Size::of_crowd(together.len()).sides() } else { [architecture::SIDE as u32; 2] };
        scenes.push((Scene::compose(stream, size, place, shown), together.to_vec()));
    }
    scenes.sort_by_key(|(scene, _)| scene.size);
    scenes
}

struct Learner(Dinov2<CandleEngine>);

impl Student for Learner {
    type Batch = Batch;
    const RATE: f64 = 1e-3;

    fn gradients(&self, engine: &CandleEngine, batch: &Batch) -> mudi_diffusion::Result<(f64, Gradients)> {
        on_pool(|| {
            let side = architecture::CROP;
            let pixels = engine.from_slice(&batch.pixels, &[batch.who.len(), side, side, 3])?;
            let vectors = mean_state(engine, &self.0.forward(engine, &pixels)?)?;
            let shape = engine.shape(&vectors);
            let (loss, slopes) = contrast(&engine.to_vec(&vectors)?, shape[1], &batch.who);
            let slopes = engine.from_slice(&slopes, &shape)?;
            Ok((loss, backward(&[(&vectors, slopes.value().clone())])?))
        })
    }
}

pub(super) fn train(options: &Options) -> Result<(), PretrainError> {
    let seed = options.seed;
    let mut origin = Origin::open(seed, options.from.as_deref())?;
    let mut source = TrainableWeights::new(|name, shape, kind| origin.values(name, shape, kind));
    let config = architecture::dinov2();
    let learner = Learner(Dinov2::new(config, &mut source as &mut dyn Parameters<CandleEngine>)?);
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    origin.finish()?;
    let processor = export::preprocessor(options.network).unwrap_or_default();
    let source = Source {
        seed,
        softener: Softener::load(&options.base)?,
        redrawer: Redrawer::load(&options.base)?,
        groups: Pool::new(GROUPS),
        processor: Processor::from_json(&processor.to_string())?,
    };
    learn(options, &learner, &mut state, move |step| source.batch(step))
}
