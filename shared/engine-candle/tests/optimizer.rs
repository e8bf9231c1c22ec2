//! AdamW and Muon against plain implementations in double precision.

use mudi_diffusion::Engine;
use mudi_engine_candle::{
    AdamW, AdamWConfig, CandleEngine, Gradients, Muon, MuonConfig, Tensor, backward, gradient_norm,
};
use mudi_engine_cases::random;

mod common;
use common::{value, values};

/// AdamW of one weight, as the paper writes it.
struct Plain {
    weight: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Plain {
    fn new(weight: &[f32]) -> Self {
        let zeros = vec![0.0; weight.len()];
        Self { weight: weight.iter().map(|&w| f64::from(w)).collect(), first: zeros.clone(), second: zeros }
    }

    fn update(&mut self, config: AdamWConfig, step: i32, rate: f64, gradient: &[f64]) {
        for (i, &g) in gradient.iter().enumerate() {
            self.first[i] = config.beta1 * self.first[i] + (1.0 - config.beta1) * g;
            self.second[i] = config.beta2 * self.second[i] + (1.0 - config.beta2) * g * g;
            let mean = self.first[i] / (1.0 - config.beta1.powi(step));
            let square = self.second[i] / (1.0 - config.beta2.powi(step));
            self.weight[i] -= rate * config.weight_decay * self.weight[i];
            self.weight[i] -= rate * mean / (square.sqrt() + config.epsilon);
        }
    }
}

/// Gradients with the given values, by way of seeds.
fn gradients(of: &[(&Tensor, &[f32])]) -> Gradients {
    let seeds: Vec<_> = of.iter().map(|(leaf, g)| (*leaf, value(g, leaf.value().dims()))).collect();
    backward(&seeds).expect("leaves take any seed")
}

#[test]
fn twenty_steps_agree_with_a_plain_implementation() {
    let shapes: [&[usize]; 3] = [&[3, 5], &[7], &[2, 3, 3, 2]];
    let mut worst = 0f64;
    for (weight_decay, beta2) in [(0.0, 0.999), (0.3, 0.99)] {
        let config = AdamWConfig { weight_decay, beta2, ..AdamWConfig::default() };
        let starts: Vec<Vec<f32>> =
            (0u64..).zip(shapes).map(|(i, shape)| random(i, shape.iter().product())).collect();
        let leaves: Vec<Tensor> =
            starts.iter().zip(shapes).map(|(start, shape)| Tensor::leaf(value(start, shape))).collect();
        let mut plain: Vec<Plain> = starts.iter().map(|start| Plain::new(start)).collect();
        let mut optimizer = AdamW::new(config);
        for step in 1..=20u64 {
            let rate = 0.02 / (1.0 + 0.1 * step as f64);
            let scale = 0.25 + 0.05 * step as f64;
            let drawn: Vec<Vec<f32>> =
                starts.iter().enumerate().map(|(i, s)| random(100 * step + i as u64, s.len())).collect();
            let pairs: Vec<(&Tensor, &[f32])> =
                leaves.iter().zip(&drawn).map(|(leaf, g)| (leaf, g.as_slice())).collect();
            let rated = leaves.iter().map(|leaf| (leaf, rate));
            optimizer.update(rated, &gradients(&pairs), scale).expect("weights on the CPU");
            assert_eq!(optimizer.step, step);
            for (index, plain) in plain.iter_mut().enumerate() {
                let gradient: Vec<f64> = drawn[index].iter().map(|&g| f64::from(g) * scale).collect();
                plain.update(config, i32::try_from(step).expect("few steps"), rate, &gradient);
                for (found, expected) in values(leaves[index].value()).iter().zip(&plain.weight) {
                    worst = worst.max((f64::from(*found) - expected).abs());
                }
            }
        }
    }
    println!("largest error of a weight: {worst:.1e}");
    assert!(worst < 1e-6, "{worst}");
}

/// `lhs [m, n] * rhs [n, k]`.
fn product(lhs: &[f64], rhs: &[f64], [m, n, k]: [usize; 3]) -> Vec<f64> {
    let entry = |at: usize| (0..n).map(|j| lhs[at / k * n + j] * rhs[j * k + at % k]).sum();
    (0..m * k).map(entry).collect()
}

fn transposed(x: &[f64], rows: usize) -> Vec<f64> {
    let cols = x.len() / rows;
    (0..x.len()).map(|at| x[at % rows * cols + at / rows]).collect()
}

/// The direction of `torch.optim.Muon`, which rounds to bf16 besides: five rounds that hold the whole matrix.
fn brought_near_one(x: &[f64], rows: usize) -> Vec<f64> {
    let cols = x.len() / rows;
    if rows > cols {
        return transposed(&brought_near_one(&transposed(x, rows), cols), cols);
    }
    let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut x: Vec<f64> = x.iter().map(|v| v / norm).collect();
    for _ in 0..5 {
        let gram = product(&x, &transposed(&x, rows), [rows, cols, rows]);
        let fourth = product(&gram, &gram, [rows, rows, rows]);
        let factor: Vec<f64> = gram.iter().zip(&fourth).map(|(g, f)| 2.0315 * f - 4.775 * g).collect();
        let moved = product(&factor, &x, [rows, rows, cols]);
        x.iter_mut().zip(moved).for_each(|(x, moved)| *x = 3.4445 * *x + moved);
    }
    x
}

#[test]
fn muon_agrees_with_a_plain_implementation() {
    // Wide, tall, a convolution of several lengths of a row, and one with small singular values.
    let shapes: [&[usize]; 4] = [&[3, 50], &[70, 4], &[6, 3, 3, 2], &[40, 40]];
    let config = MuonConfig { momentum: 0.9, weight_decay: 0.3 };
    let starts: Vec<Vec<f32>> =
        (0u64..).zip(shapes).map(|(i, shape)| random(i, shape.iter().product())).collect();
    let leaves: Vec<Tensor> =
        starts.iter().zip(shapes).map(|(start, shape)| Tensor::leaf(value(start, shape))).collect();
    let doubles = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let mut plain: Vec<(Vec<f64>, Vec<f64>)> =
        starts.iter().map(|start| (doubles(start), vec![0.0; start.len()])).collect();
    let mut optimizer = Muon::new(config);
    let mut worst = 0f64;
    for step in 1..=6u64 {
        let (rate, scale) = (0.02 / step as f64, 0.25 + 0.05 * step as f64);
        let drawn: Vec<Vec<f32>> =
            starts.iter().enumerate().map(|(i, s)| random(100 * step + i as u64, s.len())).collect();
        let pairs: Vec<(&Tensor, &[f32])> =
            leaves.iter().zip(&drawn).map(|(leaf, g)| (leaf, g.as_slice())).collect();
        let rated = leaves.iter().map(|leaf| (leaf, rate));
        optimizer.update(rated, &gradients(&pairs), scale).expect("weights on the CPU");
        for (index, (weight, momentum)) in plain.iter_mut().enumerate() {
            let gradient: Vec<f64> = doubles(&drawn[index]).iter().map(|g| g * scale).collect();
            momentum.iter_mut().zip(&gradient).for_each(|(m, g)| *m = 0.9 * *m + 0.1 * g);
            let ahead: Vec<f64> = momentum.iter().zip(&gradient).map(|(m, g)| 0.9 * m + 0.1 * g).collect();
            let rows = shapes[index][0];
            let longer = rows.max(weight.len() / rows) as f64;
            let direction = brought_near_one(&ahead, rows);
            for (w, d) in weight.iter_mut().zip(direction) {
                *w = *w * (1.0 - rate * 0.3) - rate * 0.2 * longer.sqrt() * d;
            }
            for (found, expected) in values(leaves[index].value()).iter().zip(weight.iter()) {
                worst = worst.max((f64::from(*found) - expected).abs());
            }
        }
    }
    println!("largest error of a weight: {worst:.1e}");
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn muon_leaves_weights_whose_gradients_are_nothing() {
    let leaf = Tensor::leaf(value(&random(0, 12), &[3, 4]));
    let mut optimizer = Muon::new(MuonConfig { weight_decay: 0.0, ..MuonConfig::default() });
    optimizer.update([(&leaf, 0.1)], &gradients(&[(&leaf, &[0.0; 12])]), 1.0).expect("weights on the CPU");
    assert_eq!(values(leaf.value()), random(0, 12));
}

#[test]
fn weights_without_a_gradient_stay() {
    let engine = CandleEngine::cpu();
    let start = random(1, 6);
    let (still, moving) = (Tensor::leaf(value(&start, &[6])), Tensor::leaf(value(&start, &[2, 3])));
    let seen_elsewhere = moving.clone();
    let mut optimizer = AdamW::new(AdamWConfig::default());
    for _ in 0..3 {
        let given = gradients(&[(&moving, &random(2, 6))]);
        optimizer.update([(&still, 0.1), (&moving, 0.1)], &given, 1.0).expect("weights on the CPU");
    }
    assert_eq!(values(still.value()), start);
    assert!(optimizer.moments[0].first.iter().chain(&optimizer.moments[0].second).all(|&m| m == 0.0));
    // Networks that hold the weight see the update.
    assert_ne!(values(moving.value()), start);
    assert_eq!(engine.to_vec(&seen_elsewhere).unwrap(), values(moving.value()));
}

#[test]
fn a_resumed_optimizer_takes_the_same_steps() {
    let steps = |optimizer: &mut AdamW, leaf: &Tensor, range: std::ops::Range<u64>| {
        for step in range {
            optimizer.update([(leaf, 0.01)], &gradients(&[(leaf, &random(step, 5))]), 1.0).unwrap();
        }
    };
    let leaf = Tensor::leaf(value(&random(0, 5), &[5]));
    let mut optimizer = AdamW::new(AdamWConfig::default());
    steps(&mut optimizer, &leaf, 1..6);
    let copy = Tensor::leaf(value(&values(leaf.value()), &[5]));
    let mut resumed = AdamW::new(AdamWConfig::default());
    resumed.step = optimizer.step;
    resumed.moments.clone_from(&optimizer.moments);
    steps(&mut optimizer, &leaf, 6..10);
    steps(&mut resumed, &copy, 6..10);
    assert_eq!(values(leaf.value()), values(copy.value()));
    assert_eq!(resumed.moments, optimizer.moments);
}

#[test]
fn the_norm_is_over_all_gradients() {
    let leaves = [5usize, 9000].map(|n| Tensor::leaf(value(&random(n as u64, n), &[n])));
    let drawn = [random(3, 5), random(4, 9000)];
    let given = gradients(&[(&leaves[0], &drawn[0]), (&leaves[1], &drawn[1])]);
    let expected = drawn.iter().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    let found = gradient_norm(&leaves, &given).unwrap();
    assert!((found / expected - 1.0).abs() < 1e-6, "{found}, expected {expected}");
}
