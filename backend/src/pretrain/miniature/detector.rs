//! OWLv2's miniature: boxes of what texts name.
//!
//! The loss is OWL-ViT's (Minderer et al., 2022, section 3.2): patches are assigned to toys so that the sum of costs is the
//! least; boxes learn by L1 and generalized IoU, texts by focal loss on sigmoids. At first, though, every patch that lies on a toy
//! learns it (as in FCOS, Tian et al., 2019): one patch a toy teaches too slowly for a small network that begins with little.
//! Meanwhile each of these patches also tells its toy's kind from the other kinds, by softmax: what pretraining on captions,
//! which tells a picture's text from others', does for OWL-ViT.

use image::GrayImage;
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_diffusion::{Engine, Parameters};
use mudi_domain::rng::{self, Stream};
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, Gradients, backward, on_pool};
use mudi_toybox::{Color, Kind, Toy};
use mudi_vision::owl::{Owl, OwlOutput};
use mudi_vision::preprocess::OwlProcessor;
use rand::Rng;

use super::beginning::Beginning;
use super::boxes::{by_center, corners, giou};
use super::cross_entropy::cross_entropy;
use super::example::{Example, Source};
use super::focal::{focal, sigmoid};
use super::matching::assign;
use super::texts::Query;
use super::{Options, PretrainError, State, Student, architecture, learn};
use crate::base::load_tokenizer;

const BATCH: u64 = 24;
/// Texts with a colour, such as `red bear`, in each batch.
const COLOURED: usize = 8;
/// Weights of texts, L1 and generalized IoU in the costs of an assignment and, but for the texts', in the losses; DETR's.
const WEIGHTS: [f32; 3] = [2.0, 5.0, 2.0];
/// Weight of the texts in the losses: sure answers count little in focal loss, and kinds are learnt from it alone.
const TEXTS: f32 = 5.0;

/// Weight of telling kinds apart, by cross entropy, while every patch on a toy learns it.
const KINDS: f32 = 2.0;

/// The share of all steps, the first ones, in which every patch on a toy learns it.
const DENSE: f64 = 0.7;

/// Every kind, any toy, and toys of a colour: half of them are in the pictures, the others might be.
fn queries(examples: &[Example], stream: &mut Stream) -> Vec<Query> {
    let mut queries: Vec<Query> =
        Kind::ALL.iter().map(|&kind| Query { kind: Some(kind), color: None }).collect();
    queries.push(Query::TOY);
    let toys: Vec<&Toy> =
        examples.iter().flat_map(|example| example.toys.iter().map(|(toy, ..)| toy)).collect();
    for index in 0..COLOURED {
        let (kind, color) = match toys.get(stream.random_range(0..toys.len().max(1))) {
            Some(toy) if index % 2 == 0 => (toy.kind, toy.color),
            Some(toy) => (toy.kind, Color::random(stream)),
            None => (Kind::random(stream), Color::random(stream)),
        };
        let query = Query { kind: Some(kind), color: Some(color) };
        if !queries.contains(&query) {
            queries.push(query);
        }
    }
    queries
}

/// A toy, as the loss sees it.
struct Truth {
    /// Centre and size in shares of the padded square.
    bounds: [f32; 4],
    /// Which texts name it.
    named: Vec<bool>,
    /// The text that names its kind.
    kind: usize,
    /// The patches whose middle shows it.
    patches: Vec<usize>,
}

/// The patches of the padded square, `grid` by `grid`, whose middle lies on the toy; that in the middle of its box where there
/// is none.
fn patches(mask: &GrayImage, [x, y, ..]: [f32; 4], grid: usize) -> Vec<usize> {
    let (width, height) = mask.dimensions();
    let side = width.max(height) as f32;
    let on = |patch: usize| {
        let place = |at: usize| ((at as f32 + 0.5) * side / grid as f32) as u32;
        let (x, y) = (place(patch % grid), place(patch / grid));
        x < width && y < height && mask.get_pixel(x, y).0[0] >= 128
    };
    let found: Vec<usize> = (0..grid * grid).filter(|&patch| on(patch)).collect();
    let cell = |share: f32| ((share * grid as f32) as usize).min(grid - 1);
    if found.is_empty() { vec![cell(y) * grid + cell(x)] } else { found }
}

pub(super) struct Batch {
    pixels: Vec<f32>,
    ids: Vec<u32>,
    queries: usize,
    truths: Vec<Vec<Truth>>,
    /// Whether every patch on a toy learns it, or one alone.
    dense: bool,
}

fn batch(
    source: &Source,
    tokenizer: &Tokenizer,
    processor: &OwlProcessor,
    options: &Options,
    step: u64,
) -> Result<Batch, PretrainError> {
    let stream = &mut rng::stream(options.seed, "owl texts", step);
    let examples: Vec<Example> =
        (0..BATCH).map(|index| source.example(step * BATCH + index)).collect::<Result<_, _>>()?;
    let queries = queries(&examples, stream);
    let mut ids = Vec::new();
    for query in &queries {
        ids.extend_from_slice(&tokenizer.encode(&query.text(stream))?.ids[..architecture::TOKENS]);
    }
    let mut pixels = Vec::new();
    let mut truths = Vec::new();
    for example in &examples {
        pixels.extend(processor.apply(&example.image)?.values);
        let side = example.image.width().max(example.image.height()) as f32;
        let truth = |(toy, mask, [x0, y0, x1, y1]): &(Toy, GrayImage, [f32; 4])| {
            let bounds = [(x0 + x1) / 2.0, (y0 + y1) / 2.0, x1 - x0, y1 - y0].map(|v| v / side);
            Truth {
                bounds,
                named: queries.iter().map(|query| query.names(toy)).collect(),
                kind: Kind::ALL.iter().position(|kind| *kind == toy.kind).unwrap_or(0),
                patches: patches(mask, bounds, architecture::GRID),
            }
        };
        truths.push(example.toys.iter().map(truth).collect());
    }
    let dense = (step as f64) < DENSE * options.steps as f64;
    Ok(Batch { pixels, ids, queries: queries.len(), truths, dense })
}

struct Learner(Owl<CandleEngine>);

impl Student for Learner {
    type Batch = Batch;
    const RATE: f64 = 7e-4;

    fn gradients(&self, engine: &CandleEngine, batch: &Batch) -> mudi_diffusion::Result<(f64, Gradients)> {
        on_pool(|| {
            let side = architecture::SIDE;
            // What texts mean is settled: see `beginning`.
            let texts = self.0.encode_texts(engine, &batch.ids, batch.queries)?.detached();
            let pixels = engine.from_slice(&batch.pixels, &[batch.truths.len(), side, side, 3])?;
            let output = self.0.forward(engine, &pixels, &texts)?;
            let found = Found::of(engine, &output)?;
            let loss = loss(&found, &batch.truths, batch.queries, batch.dense);
            let mut seeds = Vec::new();
            for (tensor, gradient) in [
                (&output.logits, &loss.logits),
                (&output.objectness_logits, &loss.objectness),
                (&output.box_logits, &loss.boxes),
            ] {
                let gradient = engine.from_slice(gradient, &engine.shape(tensor))?;
                seeds.push((tensor, gradient.value().clone()));
            }
            Ok((loss.value, backward(&seeds)?))
        })
    }
}

/// What the network says, as numbers.
struct Found {
    logits: Vec<f32>,
    objectness: Vec<f32>,
    boxes: Vec<f32>,
}

impl Found {
    fn of(engine: &CandleEngine, output: &OwlOutput<CandleEngine>) -> mudi_diffusion::Result<Self> {
        Ok(Self {
            logits: engine.to_vec(&output.logits)?,
            objectness: engine.to_vec(&output.objectness_logits)?,
            boxes: engine.to_vec(&output.box_logits)?,
        })
    }
}

/// A loss, and its derivatives by what the network says.
struct Loss {
    value: f64,
    logits: Vec<f32>,
    objectness: Vec<f32>,
    boxes: Vec<f32>,
}

/// The boxes of one image's patches: centres and sizes.
fn boxes(logits: &[f32]) -> Vec<[f32; 4]> {
    logits.as_chunks::<4>().0.iter().map(|logits| logits.map(sigmoid)).collect()
}

/// The sum of absolute differences.
fn distance(a: [f32; 4], b: [f32; 4]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// The patch of each toy of one image, at least cost.
fn matched(logits: &[f32], boxes: &[[f32; 4]], truths: &[Truth], queries: usize) -> Vec<usize> {
    let mut costs = Vec::with_capacity(truths.len() * boxes.len());
    for truth in truths {
        for (patch, bounds) in boxes.iter().enumerate() {
            let sure = sigmoid(logits[patch * queries + truth.kind]);
            let overlap = giou(corners(*bounds), corners(truth.bounds)).0;
            costs.push(
                -WEIGHTS[0] * sure + WEIGHTS[1] * distance(*bounds, truth.bounds) - WEIGHTS[2] * overlap,
            );
        }
    }
    assign(&costs, boxes.len())
}

/// The loss where every patch on a toy learns it (`dense`), or one alone.
fn loss(found: &Found, truths: &[Vec<Truth>], queries: usize, dense: bool) -> Loss {
    let patches = found.objectness.len() / truths.len().max(1);
    let learning = |truth: &Truth| if dense { truth.patches.len() } else { 1 };
    let toys = truths.iter().flatten().map(learning).sum::<usize>().max(1) as f32;
    let mut loss = Loss {
        value: 0.0,
        logits: vec![0.0; found.logits.len()],
        objectness: vec![0.0; found.objectness.len()],
        boxes: vec![0.0; found.boxes.len()],
    };
    for (image, truths) in truths.iter().enumerate() {
        let first = image * patches;
        let logits = &found.logits[first * queries..(first + patches) * queries];
        let boxes = boxes(&found.boxes[4 * first..4 * (first + patches)]);
        let mut owner: Vec<Option<&Truth>> = vec![None; patches];
        let pairs: Vec<(&Truth, usize)> = if dense {
            truths.iter().flat_map(|truth| truth.patches.iter().map(move |patch| (truth, *patch))).collect()
        } else {
            truths.iter().zip(matched(logits, &boxes, truths, queries)).collect()
        };
        for (truth, patch) in pairs {
            owner[patch] = Some(truth);
            loss.add_box(4 * (first + patch), boxes[patch], truth.bounds, toys);
        }
        for (patch, owner) in owner.iter().enumerate() {
            let place = first + patch;
            let (value, slope) = focal(found.objectness[place], owner.is_some());
            loss.value += f64::from(value / toys);
            loss.objectness[place] = slope / toys;
            for query in 0..queries {
                let named = owner.is_some_and(|truth| truth.named[query]);
                let (value, slope) = focal(logits[patch * queries + query], named);
                loss.value += f64::from(TEXTS * value / toys);
                loss.logits[place * queries + query] = TEXTS * slope / toys;
            }
            if let (true, Some(truth)) = (dense, owner) {
                let kinds = &logits[patch * queries..][..Kind::ALL.len()];
                let slopes = &mut loss.logits[place * queries..];
                loss.value += f64::from(cross_entropy(kinds, truth.kind, KINDS / toys, slopes));
            }
        }
    }
    loss
}

impl Loss {
    /// Adds the loss of one matched box, whose four logits begin at `place`.
    fn add_box(&mut self, place: usize, found: [f32; 4], wanted: [f32; 4], toys: f32) {
        let (overlap, slope) = giou(corners(found), corners(wanted));
        let slope = by_center(slope);
        let value = WEIGHTS[1] * distance(found, wanted) + WEIGHTS[2] * (1.0 - overlap);
        self.value += f64::from(value / toys);
        for i in 0..4 {
            let by_value = WEIGHTS[1] * (found[i] - wanted[i]).signum() - WEIGHTS[2] * slope[i];
            self.boxes[place + i] = by_value * found[i] * (1.0 - found[i]) / toys;
        }
    }
}

pub(super) fn train(options: &Options) -> Result<(), PretrainError> {
    let tokenizer = load_tokenizer(&options.base.join("tokenizer"))?;
    let mut beginning = Beginning::open(options.seed, &options.base, options.from.as_deref())?;
    let mut source = TrainableWeights::new(|name, shape, kind| beginning.values(name, shape, kind));
    let config = architecture::owlv2(tokenizer.vocab_size());
    let learner = Learner(Owl::new(config, &mut source as &mut dyn Parameters<CandleEngine>)?);
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    beginning.finish()?;
    let examples = Source::new(options)?;
    let processor = OwlProcessor::new(architecture::SIDE);
    let planned = options.clone();
    learn(options, &learner, &mut state, move |step| batch(&examples, &tokenizer, &processor, &planned, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind, and any toy.
    const QUERIES: usize = Kind::ALL.len() + 1;

    fn truth(bounds: [f32; 4], kind: usize, patches: &[usize]) -> Truth {
        let named = (0..QUERIES).map(|query| query == kind || query == Kind::ALL.len()).collect();
        Truth { bounds, named, kind, patches: patches.to_vec() }
    }

    /// Two images of six patches; one image with two toys, one with none.
    fn case() -> (Found, Vec<Vec<Truth>>) {
        let mut stream = rng::stream(3, "test", 0);
        let found = Found {
            logits: rng::normal(&mut stream, 12 * QUERIES),
            objectness: rng::normal(&mut stream, 12),
            boxes: rng::normal(&mut stream, 48),
        };
        let truths = vec![
            vec![truth([0.3, 0.4, 0.2, 0.5], 0, &[0, 2]), truth([0.7, 0.6, 0.4, 0.3], 3, &[5])],
            Vec::new(),
        ];
        (found, truths)
    }

    #[test]
    fn derivatives_are_differences() {
        compare(false);
        compare(true);
    }

    fn compare(dense: bool) {
        const STEP: f32 = 1e-3;
        let (found, truths) = case();
        let exact = loss(&found, &truths, QUERIES, dense);
        let moved = |which: usize, at: usize, step: f32| {
            let (mut found, truths) = case();
            [&mut found.logits, &mut found.objectness, &mut found.boxes][which][at] += step;
            loss(&found, &truths, QUERIES, dense).value
        };
        for (which, slopes) in [&exact.logits, &exact.objectness, &exact.boxes].into_iter().enumerate() {
            for (at, slope) in slopes.iter().enumerate() {
                let difference = (moved(which, at, STEP) - moved(which, at, -STEP)) / f64::from(2.0 * STEP);
                assert!(
                    (f64::from(*slope) - difference).abs() < 1e-3 + 0.02 * difference.abs(),
                    "{which}, {at}: {slope}, expected {difference}"
                );
            }
        }
    }

    #[test]
    fn patches_lie_on_their_toy() {
        // Twice as wide as high: the square's lower half is padding.
        let mask = GrayImage::from_fn(8, 4, |x, y| image::Luma([if x < 4 && y < 2 { 255 } else { 0 }]));
        assert_eq!(patches(&mask, [0.25, 0.125, 0.5, 0.25], 4), [0, 1]);
        assert_eq!(patches(&GrayImage::new(8, 8), [0.6, 0.3, 0.1, 0.1], 4), [6]);
    }

    #[test]
    fn only_matched_patches_have_boxes_to_learn() {
        let (found, truths) = case();
        for (dense, count) in [(false, 2), (true, 3)] {
            let loss = loss(&found, &truths, QUERIES, dense);
            let boxes = loss.boxes.as_chunks::<4>().0.iter();
            assert_eq!(boxes.filter(|slopes| slopes.iter().any(|s| *s != 0.0)).count(), count);
        }
    }
}
