#![allow(clippy::unwrap_used, reason = "tests may panic")]

use candle_core::{Device, Tensor as Value};
use proptest::prelude::*;

use super::quantized::{BLOCK, SIGNED, UNSIGNED, decode, encode};
use super::*;
use crate::tape::backward;

fn value(values: &[f32]) -> Value {
    Value::new(values, &Device::Cpu).unwrap()
}

/// Steps on half the squared distance to `goal`, with weights of different curvature.
fn descend(optimizer: &mut Optimizer, leaf: &Tensor, goal: &[f32], steps: usize, rate: f64) -> Vec<f32> {
    for _ in 0..steps {
        let now: Vec<f32> = leaf.value().to_vec1().unwrap();
        let gradient: Vec<f32> =
            now.iter().zip(goal).enumerate().map(|(n, (w, g))| (1.0 + n as f32 % 3.0) * (w - g)).collect();
        let gradients = backward(&[(leaf, value(&gradient))]).unwrap();
        optimizer.update([(leaf, rate)], &gradients, 1.0).unwrap();
    }
    leaf.value().to_vec1().unwrap()
}

fn config() -> AdamWConfig {
    AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() }
}

const GOAL: [f32; 5] = [0.5, -1.0, 2.0, 0.25, -0.125];
const START: [f32; 5] = [0.1, 0.2, -0.3, 0.4, 0.5];

/// The numbers are those of the authors' package, prodigyopt 1.1.2, on the same problem in double precision:
/// `Prodigy([w], lr=1.0, weight_decay=0.01)`. While the estimate grows it enlarges what is rounded: in single precision that
/// package itself is 2e-7 away from these weights after 5 steps, 5e-3 after 40.
#[test]
fn prodigy_is_its_authors() {
    for (steps, expected, estimate, near) in
        [(5, PRODIGY_AFTER_5, 3.456_126_08e-5, 1e-6), (40, PRODIGY_AFTER_40, 0.414_607_81, 1e-2)]
    {
        let leaf = Tensor::leaf(value(&START));
        let mut optimizer = Optimizer::Prodigy(Prodigy::new(config()));
        let found = descend(&mut optimizer, &leaf, &GOAL, steps, 1.0);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < near, "after {steps} steps {found} is not {expected}");
        }
        let found = optimizer.numbers()[0];
        assert!((found / estimate - 1.0).abs() < 5e-3, "after {steps} steps {found} is not {estimate}");
    }
}

const PRODIGY_AFTER_5: [f32; 5] = [0.100_098_2, 0.199_901_7, -0.299_901_7, 0.399_901_7, 0.499_901_7];
const PRODIGY_AFTER_40: [f32; 5] = [0.766_202, -1.340_739, 1.717_497, 0.129_122, -0.200_152];

#[test]
fn eight_bits_go_where_thirty_two_go() {
    let goal: Vec<f32> = (0..600).map(|n| (n as f32 * 0.37).sin()).collect();
    let start = vec![0.0; goal.len()];
    let distance = |optimizer: &mut Optimizer| {
        let leaf = Tensor::leaf(value(&start));
        let found = descend(optimizer, &leaf, &goal, 300, 0.02);
        found.iter().zip(&goal).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    };
    let whole = distance(&mut Optimizer::AdamW(AdamW::new(AdamWConfig { weight_decay: 0.0, ..config() })));
    let small = distance(&mut Optimizer::AdamW8(AdamW8::new(AdamWConfig { weight_decay: 0.0, ..config() })));
    let before = goal.iter().map(|v| v * v).sum::<f32>().sqrt();
    assert!(whole < 0.02 * before && small < 0.02 * before, "{whole} and {small} of {before}");
}

#[test]
fn a_state_that_was_kept_goes_on_to_the_same_bits() {
    let makers: [fn() -> Optimizer; 3] = [
        || Optimizer::AdamW(AdamW::new(config())),
        || Optimizer::AdamW8(AdamW8::new(config())),
        || Optimizer::Prodigy(Prodigy::new(config())),
    ];
    for make in makers {
        let leaf = Tensor::leaf(value(&START));
        let mut whole = make();
        let expected = descend(&mut whole, &leaf, &GOAL, 9, 0.5);
        let leaf = Tensor::leaf(value(&START));
        let mut first = make();
        descend(&mut first, &leaf, &GOAL, 4, 0.5);
        let kept = first.kept(0).unwrap();
        assert_eq!(kept.len(), first.names().len());
        let mut second = make();
        assert!(second.restore(first.step(), &first.numbers(), vec![(GOAL.len(), kept.clone())]));
        assert_eq!(descend(&mut second, &leaf, &GOAL, 5, 0.5), expected);
        assert_eq!(second.step(), 9);
        // A state of another size, or of nothing, is none.
        assert!(!make().restore(4, &first.numbers(), vec![(GOAL.len() + 1, kept.clone())]));
        assert!(!make().restore(4, &first.numbers(), vec![(GOAL.len(), kept[1..].to_vec())]));
    }
}

proptest! {
    /// What a byte stands for is within a few percent of the value, or of the block's largest one below a ten millionth.
    #[test]
    fn a_byte_is_near_its_value(values in proptest::collection::vec(-1e3f32..1e3, 1..BLOCK)) {
        let squares: Vec<f32> = values.iter().map(|v| v * v).collect();
        for (table, values) in [(&*SIGNED, &values), (&*UNSIGNED, &squares)] {
            let mut codes = vec![0; values.len()];
            let scale = encode(table, values, &mut codes);
            let mut found = vec![0.0; values.len()];
            decode(table, &codes, scale, &mut found);
            for (found, value) in found.iter().zip(values) {
                // The coarsest power of ten has one value between 1e-7 and 1e-6 of the scale.
                let bound = 0.06 * value.abs() + 0.03 * scale;
                prop_assert!((found - value).abs() <= bound, "{value} became {found} of {scale}");
            }
        }
    }
}
