//! The composed path against the CPU's kernels, in every type that it computes in.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{Activation, Engine, ParameterKind};
use mudi_engine_candle::weights::Trainable;
use mudi_engine_candle::{AdamW, AdamWConfig, CandleEngine, Optimizer, Tensor, backward};
use mudi_engine_cases::{cases, inputs, random};

mod common;
use common::{Case, seed, tensors, value, values};

fn composed(dtype: DType) -> CandleEngine {
    CandleEngine::composed(Device::Cpu, dtype).expect("a type that is supported")
}

/// The largest difference, relative to the largest expected value.
fn error(found: &Value, expected: &Value) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let found = values(&found.to_dtype(DType::F32).expect("a float"));
    let expected = values(expected);
    assert!(found.iter().all(|v| v.is_finite()));
    // One key is always seen whole: the gradients of its scores are zero.
    let largest = expected.iter().fold(1e-3f32, |most, v| most.max(v.abs()));
    found.iter().zip(&expected).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// Largest errors of a case's result and of its gradients.
fn compare(engine: &CandleEngine, case: &Case) -> [f32; 2] {
    let at = inputs(case);
    let run = |engine: &CandleEngine| {
        let leaves = tensors(case, &at, |_| true);
        let y = (case.run)(engine, &leaves).expect("the shapes fit");
        assert!(y.value().is_contiguous(), "{}", case.name);
        let seed = seed(&y).to_dtype(y.value().dtype()).expect("a float");
        let mut gradients = backward(&[(&y, seed)]).expect("a first backward pass");
        let gradients: Vec<Value> = leaves.iter().filter_map(|leaf| gradients.take(leaf)).collect();
        (y, gradients)
    };
    let (found, found_gradients) = run(engine);
    let (expected, expected_gradients) = run(&CandleEngine::cpu());
    assert_eq!(found_gradients.len(), expected_gradients.len());
    let pairs = found_gradients.iter().zip(&expected_gradients);
    for (found, expected) in pairs.clone() {
        assert_eq!(found.dtype(), expected.dtype(), "{}: a gradient in its leaf's type", case.name);
    }
    let gradients = pairs.map(|(found, expected)| error(found, expected)).fold(0f32, f32::max);
    [error(found.value(), expected.value()), gradients]
}

fn agrees(dtype: DType, tolerance: f32) {
    let engine = composed(dtype);
    let mut worst = [0f32; 2];
    for case in cases() {
        // In bf16 the roundings of its operations add up.
        if dtype == DType::BF16 && case.name == "a residual block" {
            continue;
        }
        let errors = compare(&engine, &case);
        println!("{:.1e}  {:.1e}  {}", errors[0], errors[1], case.name);
        assert!(errors.iter().all(|&error| error < tolerance), "{}: {errors:?}", case.name);
        worst = [worst[0].max(errors[0]), worst[1].max(errors[1])];
    }
    println!("{dtype:?}: largest errors {:.1e} of results, {:.1e} of gradients", worst[0], worst[1]);
}

#[test]
fn both_paths_agree() {
    agrees(DType::F32, 1e-5);
}

#[test]
fn half_precision_agrees_within_its_rounding() {
    agrees(DType::F16, 2e-3);
    agrees(DType::BF16, 1.5e-2);
}

#[test]
fn norms_compute_their_statistics_in_f32() {
    // Sums of so many numbers around 20 end, in bf16, at a small part of what they should be.
    let shape = [2, 1024, 40];
    let drawn = random(1, 2 * 1024 * 40);
    let offset: Vec<f32> = drawn.iter().map(|v| 20.0 + v).collect();
    let x = value(&offset, &shape).to_dtype(DType::BF16).expect("a float");
    let [w, b] = [2, 3].map(|seed| Tensor::constant(value(&random(seed, 40), &[40])));
    let run = |engine: &CandleEngine, x: Value| {
        let x = Tensor::leaf(x);
        let grouped = engine.group_norm(&x, &w, &b, 4, 1e-5, Some(Activation::Silu)).expect("fitting shapes");
        let rows = engine.layer_norm(&x, &w, &b, 1e-5).expect("fitting shapes");
        let seed = value(&random(4, drawn.len()), &shape).to_dtype(grouped.value().dtype()).expect("a float");
        let mut gradients = backward(&[(&grouped, seed.clone()), (&rows, seed)]).expect("a first pass");
        [grouped.value().clone(), rows.value().clone(), gradients.take(&x).expect("a gradient")]
    };
    let found = run(&composed(DType::BF16), x.clone());
    let expected = run(&CandleEngine::cpu(), x.to_dtype(DType::F32).expect("a float"));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.dtype(), DType::BF16);
        let error = error(found, expected);
        // The rounding of the result, and of the seed.
        assert!(error < 1e-2, "{error:e}");
    }
}

#[test]
fn scores_are_as_exact_as_their_operands() {
    // Scores of up to 30: in bf16 each would be 0.06 off, and its weight 6 %.
    let (shape, heads) = ([1, 24, 16], 2);
    let in_bf16 = |seed, factor: f32| {
        let drawn: Vec<f32> = random(seed, 24 * 16).iter().map(|v| factor * v).collect();
        value(&drawn, &shape).to_dtype(DType::BF16).expect("a float")
    };
    let inputs = [in_bf16(1, 6.0), in_bf16(2, 6.0), in_bf16(3, 1.0)];
    let run = |engine: &CandleEngine, dtype: DType| {
        let leaves = inputs.clone().map(|x| Tensor::leaf(x.to_dtype(dtype).expect("a float")));
        let [q, k, v] = &leaves;
        let y = engine.attention(q, k, v, heads, false).expect("fitting shapes");
        let seed = in_bf16(4, 1.0).to_dtype(dtype).expect("a float");
        let mut gradients = backward(&[(&y, seed)]).expect("a first pass");
        let [dq, dk, dv] = leaves.map(|leaf| gradients.take(&leaf).expect("a gradient"));
        [y.value().clone(), dq, dk, dv]
    };
    let found = run(&composed(DType::BF16), DType::BF16);
    let expected = run(&CandleEngine::cpu(), DType::F32);
    for (found, expected) in found.iter().zip(&expected) {
        let error = error(found, expected);
        assert!(error < 1e-2, "{error:e}");
    }
}

#[test]
fn factors_are_not_rounded() {
    // In bf16 the factor would be 1 or 1.0078, and the product 200 or 202.
    let by = Tensor::constant(value(&[1.004; 4], &[4]));
    let engine = composed(DType::BF16);
    let x = engine.from_slice(&[200.0; 8], &[2, 4]).expect("eight values");
    let y = engine.mul(&x, &by).expect("fitting shapes");
    assert_eq!((y.value().dtype(), engine.to_vec(&y).expect("eight values")), (DType::BF16, vec![201.0; 8]));
    // Nor are factors of factors: DoRA's magnitudes and inverse norms.
    let magnitudes = Tensor::constant(value(&[0.125_5; 4], &[4]));
    let inverse = Tensor::constant(value(&[8.0; 4], &[4]));
    let factors = engine.mul(&magnitudes, &inverse).expect("fitting shapes");
    let y = engine.mul(&x, &factors).expect("fitting shapes");
    assert_eq!(engine.to_vec(&y).expect("eight values"), [201.0; 8]);
}

#[test]
fn what_is_kept_of_a_leaf_follows_its_changes() {
    let engine = composed(DType::BF16);
    let leaf = Tensor::leaf(value(&[1.0, 2.0], &[1, 2]));
    let weight = Trainable { name: "w".to_owned(), kind: ParameterKind::Linear, leaf: leaf.clone() };
    let x = engine.from_slice(&[1.0, 1.0], &[1, 2]).expect("two values");
    let product =
        || engine.to_vec(&engine.linear(&x, &leaf, None).expect("fitting shapes")).expect("a value");
    assert_eq!(product(), [3.0]);
    weight.set(vec![4.0, 8.0]).expect("two values");
    assert_eq!(product(), [12.0]);
    let y = engine.linear(&x, &leaf, None).expect("fitting shapes");
    let seed = y.value().ones_like().expect("a float");
    let gradients = backward(&[(&y, seed)]).expect("a first pass");
    let config = AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    Optimizer::AdamW(AdamW::new(config)).update([(&leaf, 1.0)], &gradients, 1.0).expect("an update");
    assert_eq!(product(), [10.0]);
}

#[test]
fn an_engine_tells_what_its_device_can_do() {
    let engine = composed(DType::BF16);
    assert!(engine.knows_bf16());
    assert_eq!(
        (engine.in_single().dtype(), CandleEngine::cpu().in_single().dtype()),
        (DType::F32, DType::F32)
    );
}

#[test]
fn values_enter_in_the_type_of_the_engine_and_leave_as_f32() {
    let engine = composed(DType::BF16);
    let x = engine.from_slice(&[0.5, 1.0, 1.001], &[3]).expect("three values");
    assert_eq!((engine.dtype(), x.value().dtype()), (DType::BF16, DType::BF16));
    assert_eq!(engine.to_vec(&x).expect("three values"), [0.5, 1.0, 1.0]);
}

#[test]
fn other_types_are_refused() {
    let error = CandleEngine::composed(Device::Cpu, DType::U8).expect_err("no float").to_string();
    assert!(error.contains("U8") && error.contains("BF16"), "{error}");
}

#[cfg(not(any(feature = "cuda", feature = "metal")))]
#[test]
fn a_device_that_was_not_built_in_is_an_error_with_its_cure() {
    let error = CandleEngine::cuda(0).expect_err("built without CUDA").to_string();
    assert!(error.contains("--features cuda"), "{error}");
    let error = CandleEngine::metal(0).expect_err("built without Metal").to_string();
    assert!(error.contains("--features metal"), "{error}");
}
