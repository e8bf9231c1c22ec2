//! The probe classifier: how many toys a picture shows, their kinds and colours, and where it is set.
//!
//! Middles of toys learn as key points in CenterNet (Zhou et al., 2019): by focal loss that forgives neighbours. Kinds and colours
//! learn by cross entropy at every cell that a toy covers, at its middle above all.

use image::{GrayImage, RgbImage};
use mudi_diffusion::vae::VaeEncoder;
use mudi_diffusion::{Engine, Parameters};
use mudi_domain::rng;
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, Gradients, backward, on_pool};
use mudi_toybox::{Background, Color, Kind, Options as SceneOptions, Scene};
use rand::Rng;

use super::augment::worn;
use super::cross_entropy::cross_entropy;
use super::focal::{focal, log_sigmoid, sigmoid};
use super::initial::Origin;
use super::softener::Softener;
use super::{Options, PretrainError, State, Student, architecture, learn};
use crate::pretrain::data::to_unit;
use crate::probe::reader::Answers;

const BATCH: usize = 16;
/// Of these, the first so many go through the base's autoencoder.
const SOFTENED: usize = 4;
/// How likely one, two, ... five toys are.
const COUNTS: [f32; mudi_toybox::MAX_TOYS] = [30.0, 30.0, 25.0, 10.0, 5.0];
/// Share of pictures without a toy.
const EMPTY: f64 = 0.03;
/// Toys with fewer visible pixels than this are not counted.
const LEAST_PIXELS: f32 = 24.0;
/// How far from a toy's middle, in cells, saying that it is here is forgiven.
const SPREAD: f32 = 0.7;
/// Weight of a toy's middle among the cells that it covers.
const MIDDLE: f32 = 6.0;

/// A toy, as the loss sees it.
struct Truth {
    middle: usize,
    /// Cells of which it covers more than half.
    cells: Vec<usize>,
    kind: usize,
    color: usize,
}

/// A picture's truth.
struct Picture {
    background: usize,
    toys: Vec<Truth>,
    /// How much of each cell toys cover, 0..=1.
    covered: Vec<f32>,
}

pub(super) struct Batch {
    pixels: Vec<f32>,
    pictures: Vec<Picture>,
}

/// How much of each cell of a `grid` by `grid` division the mask covers, 0..=1.
fn cover(mask: &GrayImage, grid: usize) -> Vec<f32> {
    let cell = mask.width() as usize / grid;
    let mut cover = vec![0.0; grid * grid];
    for (x, y, value) in mask.enumerate_pixels() {
        let (x, y) = ((x as usize / cell).min(grid - 1), (y as usize / cell).min(grid - 1));
        cover[y * grid + x] += f32::from(value.0[0]) / 255.0 / (cell * cell) as f32;
    }
    cover
}

/// The covered cell that is nearest to the middle of what is covered; `None` where hardly anything is.
fn middle(cover: &[f32], grid: usize) -> Option<usize> {
    let all: f32 = cover.iter().sum();
    let cell = architecture::SIDE / grid;
    if all * (cell * cell) as f32 <= LEAST_PIXELS {
        return None;
    }
    let place = |at: usize| [(at % grid) as f32, (at / grid) as f32];
    let mean =
        |axis: usize| cover.iter().enumerate().map(|(at, share)| share * place(at)[axis]).sum::<f32>() / all;
    let mean = [mean(0), mean(1)];
    let most = cover.iter().copied().fold(0.0, f32::max);
    let distance = |at: &usize| {
        let [x, y] = place(*at);
        (x - mean[0]).powi(2) + (y - mean[1]).powi(2)
    };
    // A thin toy covers no cell whole.
    (0..cover.len()).filter(|&at| cover[at] >= 0.5 * most).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

fn index<T: PartialEq>(all: &[T], one: &T) -> usize {
    all.iter().position(|other| other == one).unwrap_or(0)
}

fn truth(scene: &Scene, masks: &[GrayImage], grid: usize) -> Picture {
    let mut covered = vec![0.0f32; grid * grid];
    let mut toys = Vec::new();
    for ((toy, _), mask) in scene.toys.iter().zip(masks) {
        let cover = cover(mask, grid);
        covered.iter_mut().zip(&cover).for_each(|(all, one)| *all = (*all + one).min(1.0));
        if let Some(middle) = middle(&cover, grid) {
            toys.push(Truth {
                middle,
                cells: (0..cover.len()).filter(|&at| cover[at] > 0.5).collect(),
                kind: index(Kind::ALL, &toy.kind),
                color: index(Color::ALL, &toy.color),
            });
        }
    }
    Picture { background: index(Background::ALL, &scene.background), toys, covered }
}

fn batch(softener: &Softener, seed: u64, grid: usize, step: u64) -> Result<Batch, PretrainError> {
    let stream = &mut rng::stream(seed, "reader", step);
    let options =
        SceneOptions { size: [architecture::SIDE as u32; 2], counts: COUNTS, ..SceneOptions::default() };
    let mut images: Vec<RgbImage> = Vec::with_capacity(BATCH);
    let mut pictures = Vec::with_capacity(BATCH);
    for _ in 0..BATCH {
        let mut scene = Scene::random(stream, &options);
        if stream.random_bool(EMPTY) {
            scene.toys.clear();
        }
        let rendered = scene.render();
        pictures.push(truth(&scene, &rendered.masks, grid));
        images.push(rendered.image);
    }
    let soft = softener.soften(&images[..SOFTENED])?;
    for (image, soft) in images.iter_mut().zip(soft) {
        *image = soft;
    }
    let pixels = images.into_iter().flat_map(|image| to_unit(&worn(image, stream))).collect();
    Ok(Batch { pixels, pictures })
}

/// The loss of what is said of one picture's cells; its derivatives are added to `slopes`.
fn loss(said: &[f32], picture: &Picture, grid: usize, slopes: &mut [f32]) -> f32 {
    let cells = grid * grid;
    let at = |cell: usize| cell * Answers::COUNT;
    let mut loss = 0.0;
    // Where middles are.
    let toys = picture.toys.len().max(1) as f32;
    for cell in 0..cells {
        let forgiven = picture.toys.iter().map(|toy| {
            let (x, y) = (cell % grid, cell / grid);
            let (dx, dy) = (x.abs_diff(toy.middle % grid), y.abs_diff(toy.middle / grid));
            (-((dx * dx + dy * dy) as f32) / (2.0 * SPREAD * SPREAD)).exp()
        });
        let nearest = forgiven.fold(0.0, f32::max);
        let there = nearest >= 1.0;
        let weight = if there { 10.0 / toys } else { 2.0 * (1.0 - nearest).powi(4) / toys };
        let (value, slope) = focal(said[at(cell) + Answers::MIDDLE], there);
        loss += weight * value;
        slopes[at(cell) + Answers::MIDDLE] += weight * slope;
        // Where toys are.
        let logit = said[at(cell) + Answers::TOY];
        let share = picture.covered[cell];
        let each = 1.0 / cells as f32;
        loss -= each * (share * log_sigmoid(logit) + (1.0 - share) * log_sigmoid(-logit));
        slopes[at(cell) + Answers::TOY] += each * (sigmoid(logit) - share);
    }
    // Which they are.
    for toy in &picture.toys {
        let all = toy.cells.len() as f32 + MIDDLE;
        let weighed = toy.cells.iter().map(|&cell| (cell, 1.0)).chain([(toy.middle, MIDDLE)]);
        for (cell, weight) in weighed {
            let (said, slopes) = (&said[at(cell)..][..Answers::COUNT], &mut slopes[at(cell)..]);
            for (part, right) in [(Answers::kinds(), toy.kind), (Answers::colors(), toy.color)] {
                let slopes = &mut slopes[part.clone()];
                loss += cross_entropy(&said[part], right, weight / all / toys, slopes);
            }
        }
    }
    // Where the picture is set.
    let mut mean = vec![0.0; Answers::places().len()];
    for said in said.chunks_exact(Answers::COUNT) {
        mean.iter_mut().zip(&said[Answers::places()]).for_each(|(sum, v)| *sum += v / cells as f32);
    }
    let mut slope = vec![0.0; mean.len()];
    loss += cross_entropy(&mean, picture.background, 1.0, &mut slope);
    for slopes in slopes.chunks_exact_mut(Answers::COUNT) {
        slopes[Answers::places()].iter_mut().zip(&slope).for_each(|(all, one)| *all += one / cells as f32);
    }
    loss
}

struct Learner {
    encoder: VaeEncoder<CandleEngine>,
    grid: usize,
}

impl Student for Learner {
    type Batch = Batch;
    const RATE: f64 = 1e-3;

    fn gradients(&self, engine: &CandleEngine, batch: &Batch) -> mudi_diffusion::Result<(f64, Gradients)> {
        on_pool(|| {
            let (side, count) = (architecture::SIDE, batch.pictures.len());
            let pixels = engine.from_slice(&batch.pixels, &[count, side, side, 3])?;
            let output = self.encoder.forward(engine, &pixels)?;
            let said = engine.to_vec(&output)?;
            let mut slopes = vec![0.0; said.len()];
            let each = said.len() / count;
            let mut total = 0.0;
            let parts = said.chunks_exact(each).zip(slopes.chunks_exact_mut(each));
            for (picture, (said, slopes)) in batch.pictures.iter().zip(parts) {
                total += f64::from(loss(said, picture, self.grid, slopes));
            }
            slopes.iter_mut().for_each(|slope| *slope /= count as f32);
            let slopes = engine.from_slice(&slopes, &engine.shape(&output))?;
            Ok((total / count as f64, backward(&[(&output, slopes.value().clone())])?))
        })
    }
}

pub(super) fn train(options: &Options) -> Result<(), PretrainError> {
    let seed = options.seed;
    let mut origin = Origin::open(seed, options.from.as_deref())?;
    let mut source = TrainableWeights::new(|name, shape, kind| origin.values(name, shape, kind));
    let config = architecture::reader()?;
    let grid = config.grid();
    let encoder = VaeEncoder::new(&config.encoder, &mut source as &mut dyn Parameters<CandleEngine>)?;
    let learner = Learner { encoder, grid };
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    origin.finish()?;
    let softener = Softener::load(&options.base)?;
    learn(options, &learner, &mut state, move |step| batch(&softener, seed, grid, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: usize = 4;

    fn picture() -> Picture {
        let toy = |middle: usize, cells: &[usize], kind, color| Truth {
            middle,
            cells: cells.to_vec(),
            kind,
            color,
        };
        Picture {
            background: 3,
            toys: vec![toy(5, &[4, 5, 6], 2, 7), toy(15, &[], 0, 1)],
            covered: (0..GRID * GRID).map(|at| if (4..7).contains(&at) { 0.9 } else { 0.1 }).collect(),
        }
    }

    #[test]
    fn slopes_are_differences() {
        let picture = picture();
        let count = GRID * GRID * Answers::COUNT;
        let said = rng::normal(&mut rng::stream(1, "reader test", 0), count);
        let mut slopes = vec![0.0; count];
        loss(&said, &picture, GRID, &mut slopes);
        let at = |said: &[f32]| f64::from(loss(said, &picture, GRID, &mut vec![0.0; count]));
        for index in 0..count {
            let moved = |by: f32| {
                let mut said = said.clone();
                said[index] += by;
                at(&said)
            };
            let difference = (moved(0.05) - moved(-0.05)) / 0.1;
            assert!((difference - f64::from(slopes[index])).abs() < 2e-3, "{index}: {difference}");
        }
    }

    #[test]
    fn truth_says_where_toys_are() {
        let stream = &mut rng::stream(3, "reader test", 0);
        let options = SceneOptions { counts: [0.0, 1.0, 0.0, 0.0, 0.0], ..SceneOptions::default() };
        for _ in 0..8 {
            let scene = Scene::random(stream, &options);
            let rendered = scene.render();
            let picture = truth(&scene, &rendered.masks, 12);
            for (toy, mask) in picture.toys.iter().zip(&rendered.masks) {
                let (x, y) = ((toy.middle % 12) as u32 * 8, (toy.middle / 12) as u32 * 8);
                let seen = (0..64).filter(|at| mask.get_pixel(x + at % 8, y + at / 8).0[0] >= 128).count();
                assert!(seen > 0, "the middle of a toy shows it");
                assert!(toy.cells.iter().all(|&cell| picture.covered[cell] > 0.5));
            }
        }
        let nothing = Scene { toys: Vec::new(), ..Scene::random(stream, &options) };
        assert!(truth(&nothing, &[], 12).toys.is_empty());
    }
}
