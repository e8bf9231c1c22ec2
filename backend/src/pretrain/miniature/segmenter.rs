//! SAM's miniature: masks of what boxes and points point at.
//!
//! As *Segment Anything* (Kirillov et al., 2023, appendix A) trains it: a box or several points give one mask; a single point
//! gives three, of which the best learns; then a further point where the mask errs, with that mask as an earlier answer. Every
//! mask's estimate of its quality learns by its squared error. Masks learn by cross entropy and dice.

use image::{GrayImage, imageops};
use mudi_diffusion::{Engine, Parameters};
use mudi_domain::rng::{self, Stream};
use mudi_engine_candle::weights::TrainableWeights;
use mudi_engine_candle::{CandleEngine, Gradients, Tensor, backward, on_pool};
use mudi_vision::sam::names::FromTransformers;
use mudi_vision::sam::{Fit, Point, Prompt, Sam};
use rand::Rng;

use super::example::{Example, Source};
use super::initial::Origin;
use super::masks::mask_loss;
use super::{Options, PretrainError, State, Student, architecture, learn};

/// Pictures in a batch, each with a prompt of every sort for each of its toys.
const BATCH: u64 = 8;
/// Prompts that the decoder takes at once: it works on them one by one, with copies of all.
const TOGETHER: usize = 12;
/// Clicks that are followed by a second one.
const CORRECTED: usize = 8;

/// A prompt in one picture of the batch, and what it asks for.
#[derive(Clone)]
struct Task {
    picture: usize,
    prompt: Prompt,
    /// Shares of the mask's positions that are covered.
    wanted: Vec<f32>,
}

pub(super) struct Batch {
    pixels: Vec<f32>,
    /// Boxes, single points, and a point on the toy with one beside it: a mask, three masks, a mask.
    tasks: [Vec<Task>; 3],
    /// Of the points that correct.
    seed: u64,
}

/// A pixel for which `is` holds, by chance; `None` where there is none.
fn any_pixel(mask: &GrayImage, stream: &mut Stream, is: impl Fn(u8) -> bool) -> Option<[f32; 2]> {
    let places: Vec<(u32, u32)> =
        mask.enumerate_pixels().filter(|(_, _, v)| is(v.0[0])).map(|(x, y, _)| (x, y)).collect();
    let (x, y) = *places.get(stream.random_range(0..places.len().max(1)))?;
    Some([x as f32 + 0.5, y as f32 + 0.5])
}

/// A box as users and detectors draw it: exact, or a little off, rather too large.
fn drawn([x0, y0, x1, y1]: [f32; 4], [width, height]: [f32; 2], stream: &mut Stream) -> [f32; 4] {
    if stream.random_bool(0.4) {
        return [x0, y0, x1, y1];
    }
    let mut off = |side: f32| stream.random_range(-0.02..0.06) * side;
    let (left, top, right, bottom) = (off(width), off(height), off(width), off(height));
    [(x0 - left).max(0.0), (y0 - top).max(0.0), (x1 + right).min(width), (y1 + bottom).min(height)]
}

/// The mask of a picture as the decoder's positions see it.
fn target(mask: &GrayImage, fit: &Fit, side: usize) -> Vec<f32> {
    let [height, width] = fit.fitted().map(|length| length as u32);
    let fitted = imageops::resize(mask, width, height, imageops::FilterType::Triangle);
    let mut square = GrayImage::new(fit.image_size as u32, fit.image_size as u32);
    imageops::replace(&mut square, &fitted, 0, 0);
    let small = imageops::resize(&square, side as u32, side as u32, imageops::FilterType::Triangle);
    small.iter().map(|&value| f32::from(value) / 255.0).collect()
}

fn batch(source: &Source, seed: u64, step: u64) -> Result<Batch, PretrainError> {
    let config = architecture::sam();
    let stream = &mut rng::stream(seed, "sam prompts", step);
    let mut batch = Batch { pixels: Vec::new(), tasks: Default::default(), seed: stream.random() };
    for picture in 0..BATCH as usize {
        let Example { image, toys } = source.example(step * BATCH + picture as u64)?;
        let size = [image.height() as usize, image.width() as usize];
        let fit = Fit { size, image_size: config.image_size() };
        batch.pixels.extend(fit.pixels(image.as_raw()));
        for (_, mask, bounds) in &toys {
            let wanted = target(mask, &fit, config.mask_size());
            let sides = [image.width() as f32, image.height() as f32];
            let point = |place: [f32; 2], on_subject| Point { x: place[0], y: place[1], on_subject };
            let boxed = Prompt { bounds: Some(drawn(*bounds, sides, stream)), ..Prompt::default() };
            let on = any_pixel(mask, stream, |v| v == 255).or_else(|| any_pixel(mask, stream, |v| v >= 128));
            let beside = any_pixel(mask, stream, |v| v == 0);
            let clicks = |points: Vec<Point>| Prompt { points, ..Prompt::default() };
            let mut prompts = vec![(0, boxed)];
            if let Some(on) = on {
                prompts.push((1, clicks(vec![point(on, true)])));
                if let Some(beside) = beside {
                    prompts.push((2, clicks(vec![point(on, true), point(beside, false)])));
                }
            }
            for (sort, prompt) in prompts {
                batch.tasks[sort].push(Task { picture, prompt: fit.prompt(&prompt), wanted: wanted.clone() });
            }
        }
    }
    // They teach least, and each costs as much as another.
    batch.tasks[2].truncate(CORRECTED);
    Ok(batch)
}

struct Learner(Sam<CandleEngine>);

/// What one pass through the decoder leaves to be learnt from.
struct Pass {
    outputs: Vec<(Tensor, Vec<f32>)>,
    loss: f64,
    /// Of each task, the logits that were best.
    best: Vec<Vec<f32>>,
}

impl Learner {
    /// Masks for tasks that are alike, each counting `share` in the loss.
    fn pass(
        &self,
        engine: &CandleEngine,
        features: &Tensor,
        tasks: &[Task],
        several: bool,
        share: f32,
    ) -> mudi_diffusion::Result<Pass> {
        let shape = engine.shape(features);
        let each: usize = shape[1..].iter().product();
        let ids: Vec<u32> = tasks.iter().map(|task| task.picture as u32).collect();
        let table = engine.reshape(features, &[shape[0], each])?;
        let embeddings = engine.embedding(&table, &ids, ids.len())?;
        let embeddings = engine.reshape(&embeddings, &[ids.len(), shape[1], shape[2], shape[3]])?;
        let prompts: Vec<Prompt> = tasks.iter().map(|task| task.prompt.clone()).collect();
        let found = self.0.predict(engine, &embeddings, &prompts, several)?;
        let (logits, ious) = (engine.to_vec(&found.logits)?, engine.to_vec(&found.ious)?);
        let masks = ious.len() / tasks.len();
        let positions = tasks[0].wanted.len();
        let mut pass = Pass { outputs: Vec::new(), loss: 0.0, best: Vec::new() };
        let mut by_logits = vec![0f32; logits.len()];
        let mut by_ious = vec![0f32; ious.len()];
        for (index, task) in tasks.iter().enumerate() {
            let mask =
                |mask: usize| (index * masks + mask) * positions..(index * masks + mask + 1) * positions;
            let losses: Vec<_> = (0..masks).map(|at| mask_loss(&logits[mask(at)], &task.wanted)).collect();
            for (at, (_, _, iou)) in losses.iter().enumerate() {
                let error = ious[index * masks + at] - iou;
                pass.loss += f64::from(share * error * error / masks as f32);
                by_ious[index * masks + at] = 2.0 * share * error / masks as f32;
            }
            let best = losses.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
            if let Some((best, (loss, slopes, _))) = best {
                pass.loss += f64::from(share * loss);
                for (to, slope) in by_logits[mask(best)].iter_mut().zip(slopes) {
                    *to = share * slope;
                }
                pass.best.push(logits[mask(best)].to_vec());
            }
        }
        pass.outputs = vec![(found.logits, by_logits), (found.ious, by_ious)];
        Ok(pass)
    }

    /// The task again, with its mask as the earlier answer and a point where that errs; `None` where it does not.
    fn corrected(&self, task: &Task, logits: &[f32], stream: &mut Stream) -> Option<Task> {
        let wrong: Vec<usize> =
            (0..logits.len()).filter(|&at| (logits[at] > 0.0) != (task.wanted[at] >= 0.5)).collect();
        let at = *wrong.get(stream.random_range(0..wrong.len().max(1)))?;
        let side = self.0.config.mask_size();
        let scale = self.0.config.image_size() as f32 / side as f32;
        let place = |at: usize| (at as f32 + 0.5) * scale;
        let point = Point { x: place(at % side), y: place(at / side), on_subject: task.wanted[at] >= 0.5 };
        let mut task = task.clone();
        task.prompt.points.push(point);
        task.prompt.mask = Some(logits.to_vec());
        Some(task)
    }
}

impl Student for Learner {
    type Batch = Batch;
    const RATE: f64 = 1e-3;

    fn gradients(&self, engine: &CandleEngine, batch: &Batch) -> mudi_diffusion::Result<(f64, Gradients)> {
        on_pool(|| {
            let side = architecture::SIDE;
            let pixels = engine.from_slice(&batch.pixels, &[BATCH as usize, side, side, 3])?;
            let features = self.0.embed(engine, &pixels)?;
            let count = batch.tasks.iter().map(Vec::len).sum::<usize>() + CORRECTED;
            let share = 1.0 / count as f32;
            let stream = &mut rng::stream(batch.seed, "corrections", 0);
            let mut passes = Vec::new();
            let mut corrections = Vec::new();
            for (sort, tasks) in batch.tasks.iter().enumerate() {
                for tasks in tasks.chunks(TOGETHER) {
                    let pass = self.pass(engine, &features, tasks, sort == 1, share)?;
                    if sort == 1 {
                        let again = tasks.iter().zip(&pass.best);
                        corrections
                            .extend(again.filter_map(|(task, best)| self.corrected(task, best, stream)));
                    }
                    passes.push(pass);
                }
            }
            corrections.truncate(CORRECTED);
            if !corrections.is_empty() {
                passes.push(self.pass(engine, &features, &corrections, false, share)?);
            }
            let loss = passes.iter().map(|pass| pass.loss).sum();
            let mut seeds = Vec::new();
            for (tensor, gradient) in passes.iter().flat_map(|pass| &pass.outputs) {
                let gradient = engine.from_slice(gradient, &engine.shape(tensor))?;
                seeds.push((tensor, gradient.value().clone()));
            }
            Ok((loss, backward(&seeds)?))
        })
    }
}

pub(super) fn train(options: &Options) -> Result<(), PretrainError> {
    let seed = options.seed;
    let engine = CandleEngine::cpu();
    let config = architecture::sam();
    let depth = config.mask_decoder_config.iou_head_depth;
    let mut origin = Origin::open(seed, options.from.as_deref())?;
    let mut source = TrainableWeights::new(|name, shape, kind| origin.values(name, shape, kind));
    let parameters: &mut dyn Parameters<CandleEngine> = &mut source;
    let learner = Learner(Sam::new(&engine, config, &mut FromTransformers::new(parameters, depth))?);
    let mut state = State::new(std::mem::take(&mut source.made))?;
    drop(source);
    origin.finish()?;
    let examples = Source::new(options)?;
    learn(options, &learner, &mut state, move |step| batch(&examples, seed, step))
}
