//! Every operation's gradients against central differences, and what the tape promises.

use mudi_diffusion::Engine;
use mudi_engine_candle::{CandleEngine, Tensor, backward};
use mudi_engine_cases::{inputs, random};

mod common;
use common::{Case, engines, runs, seed, tensors, value, values};

/// Half the distance between the two points of a difference.
const STEP: f32 = 1e-2;
/// Largest error of a derivative along a random direction, relative to the gradient's norm.
const TOLERANCE: f64 = 1e-3;
/// Largest error of a single coordinate, relative to the gradient's root mean square; rounding errors weigh more here.
const COORDINATE_TOLERANCE: f64 = 1e-2;

/// `sum(output * seed)`, in double precision.
fn objective(engine: &CandleEngine, case: &Case, at: &[Vec<f32>], seed: &[f32]) -> f64 {
    let y = (case.run)(engine, &tensors(case, at, |_| false)).expect("the shapes fit");
    let y = values(y.value());
    y.iter().zip(seed).map(|(&y, &seed)| f64::from(y) * f64::from(seed)).sum()
}

/// The derivative of [`objective`] as `input` moves along `direction`.
fn difference(
    engine: &CandleEngine,
    case: &Case,
    at: &[Vec<f32>],
    seed: &[f32],
    input: usize,
    direction: &[f32],
) -> f64 {
    let moved = |step: f32| {
        let mut at = at.to_vec();
        at[input].iter_mut().zip(direction).for_each(|(x, d)| *x += step * d);
        objective(engine, case, &at, seed)
    };
    (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP))
}

/// Compares one case; returns the largest errors along directions and of coordinates.
fn compare(engine: &CandleEngine, case: &Case) -> [f64; 2] {
    let at = inputs(case);
    let leaves = tensors(case, &at, |_| true);
    let y = (case.run)(engine, &leaves).expect("the shapes fit");
    let seed = seed(&y);
    let gradients = backward(&[(&y, seed.clone())]).expect("a first backward pass");
    let seed = values(&seed);
    let mut worst = [0f64; 2];
    for (input, leaf) in leaves.iter().enumerate() {
        let gradient = gradients.get(leaf).expect("a gradient for each leaf");
        assert_eq!(gradient.dims(), leaf.value().dims(), "{}: input {input}", case.name);
        let gradient = values(gradient);
        let count = gradient.len();
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        // One key is always seen whole: the gradients of its scores are zero.
        let norm = norm.max(1e-3);
        let mut directions: Vec<(Vec<f32>, f64)> =
            (0..4).map(|index| (random(1000 + index, count), norm)).collect();
        // All coordinates of small inputs, and some of large ones.
        for coordinate in (0..count).step_by(count.div_ceil(64)) {
            let mut direction = vec![0.0; count];
            direction[coordinate] = 1.0;
            directions.push((direction, norm / (count as f64).sqrt()));
        }
        for (index, (direction, scale)) in directions.into_iter().enumerate() {
            let expected = difference(engine, case, &at, &seed, input, &direction);
            let found: f64 =
                gradient.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            let error = (found - expected).abs() / scale;
            let (worst, tolerance) =
                if index < 4 { (&mut worst[0], TOLERANCE) } else { (&mut worst[1], COORDINATE_TOLERANCE) };
            assert!(
                error < tolerance,
                "{}: input {input}, direction {index}: {found}, expected {expected}, on {engine:?}",
                case.name
            );
            *worst = worst.max(error);
        }
    }
    worst
}

#[test]
fn gradients_agree_with_differences() {
    for (engine, case) in runs() {
        let [directions, coordinates] = compare(&engine, &case);
        println!("{directions:.1e}  {coordinates:.1e}  {}", case.name);
    }
}

#[test]
fn gradients_are_computed_only_where_asked() {
    for (engine, case) in runs() {
        let at = inputs(&case);
        let run = |tracked: usize| {
            let tensors = tensors(&case, &at, |index| tracked >> index & 1 == 1);
            let y = (case.run)(&engine, &tensors).expect("the shapes fit");
            assert_eq!(y.is_tracked(), tracked != 0, "{}", case.name);
            let gradients = backward(&[(&y, seed(&y))]).expect("a first backward pass");
            assert_eq!(gradients.len(), tracked.count_ones() as usize, "{}: {tracked:b}", case.name);
            let each = tensors.iter().map(|tensor| gradients.get(tensor).map(values)).collect::<Vec<_>>();
            (values(y.value()), each)
        };
        let all = (1usize << case.inputs.len()) - 1;
        let (y, complete) = run(all);
        for tracked in 0..all {
            let (same_y, gradients) = run(tracked);
            assert_eq!(y, same_y, "{}: {tracked:b}", case.name);
            for (index, (gradient, complete)) in gradients.iter().zip(&complete).enumerate() {
                let expected = if tracked >> index & 1 == 1 { complete.as_ref() } else { None };
                assert_eq!(gradient.as_ref(), expected, "{}: {tracked:b}, input {index}", case.name);
            }
        }
    }
}

fn leaf(values: &[f32]) -> Tensor {
    Tensor::leaf(value(values, &[values.len()]))
}

#[test]
fn gradients_of_a_tensor_used_twice_add_up() {
    for engine in engines() {
        let x = leaf(&[1.0, -2.0, 3.0]);
        // x + 2 x + (x + x), and x itself as one more output.
        let twice = engine.scale(&x, 2.0).unwrap();
        let sum = engine.add(&x, &twice).unwrap();
        let y = engine.add(&sum, &engine.add(&x, &x).unwrap()).unwrap();
        let ones = value(&[1.0; 3], &[3]);
        let tens = value(&[10.0; 3], &[3]);
        let outputs = [(&y, ones.clone()), (&x, tens.clone()), (&twice, ones.clone())];
        let gradients = backward(&outputs).unwrap();
        assert_eq!(values(gradients.get(&x).unwrap()), [17.0; 3]);
        assert!(gradients.get(&y).is_none() && gradients.get(&twice).is_none());
        let mut gradients = backward(&[(&x, ones)]).unwrap();
        gradients.accumulate(backward(&[(&x, tens)]).unwrap()).unwrap();
        assert_eq!(values(&gradients.take(&x).unwrap()), [11.0; 3]);
        assert!(gradients.is_empty());
    }
}

#[test]
fn nothing_flows_past_a_detached_tensor() {
    let engine = CandleEngine::cpu();
    let x = leaf(&[1.0, 2.0]);
    let y = engine.scale(&engine.scale(&x, 3.0).unwrap().detached(), 2.0).unwrap();
    assert!(!y.is_tracked() && y.leaf_id().is_none());
    let y = engine.add(&y, &x).unwrap();
    let gradients = backward(&[(&y, value(&[1.0, 1.0], &[2]))]).unwrap();
    assert_eq!(values(gradients.get(&x).unwrap()), [1.0; 2]);
}

#[test]
fn a_graph_is_walked_once() {
    for (engine, case) in runs() {
        let leaves = tensors(&case, &inputs(&case), |_| true);
        let y = (case.run)(&engine, &leaves).expect("the shapes fit");
        backward(&[(&y, seed(&y))]).expect("a first backward pass");
        let Err(error) = backward(&[(&y, seed(&y))]) else { panic!("{}: walked twice", case.name) };
        assert!(error.to_string().contains("walked already"), "{error}");
    }
}

#[test]
fn a_seed_of_another_shape_is_an_error() {
    for (engine, case) in runs() {
        let leaves = tensors(&case, &inputs(&case), |_| true);
        let y = (case.run)(&engine, &leaves).expect("the shapes fit");
        assert!(backward(&[(&y, value(&[1.0; 3], &[3]))]).is_err(), "{}", case.name);
    }
}
