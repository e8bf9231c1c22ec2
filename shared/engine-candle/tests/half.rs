//! Weights in two bytes give what the same values give in four; where the processor multiplies bf16, with what goes into a product rounded.

use candle_core::{DType, Device, Tensor as Value};
use mudi_diffusion::{ConvGeometry, Engine, Result};
use mudi_engine_candle::{CandleEngine, Tensor, backward};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(stream: &mut ChaCha8Rng, shape: &[usize]) -> Value {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| stream.random_range(-1.0..1.0)).collect();
    Value::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

fn flat(value: &Value) -> Vec<f32> {
    value.flatten_all().and_then(|value| value.to_vec1()).expect("values")
}

/// Largest difference, as a share of the largest value.
fn difference(a: &Value, b: &Value) -> f32 {
    let (a, b) = (flat(a), flat(b));
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    a.iter().zip(&b).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

/// Whether this processor multiplies bf16.
fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let multiplies = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
    #[cfg(not(target_arch = "x86_64"))]
    let multiplies = false;
    multiplies
}

/// The same values, or what bf16 makes of them.
fn rounded(value: &Value, rounds: bool) -> Value {
    let there = |dtype| value.to_dtype(dtype).and_then(|value| value.to_dtype(DType::F32)).expect("values");
    there(if rounds { DType::BF16 } else { DType::F32 })
}

/// The result of `operation` with `weight`, and the gradient of its input for a random gradient of the result. `rounds`: whether the input
/// and that gradient are rounded before.
fn run(
    x: &Value,
    weight: Value,
    rounds: [bool; 2],
    operation: impl Fn(&CandleEngine, &Tensor, &Tensor) -> Result<Tensor>,
) -> [Value; 2] {
    let engine = CandleEngine::cpu();
    let x = Tensor::leaf(rounded(x, rounds[0]));
    let y = operation(&engine, &x, &Tensor::constant(weight)).expect("the operation");
    let seed = rounded(&random(&mut ChaCha8Rng::seed_from_u64(1), y.value().dims()), rounds[1]);
    let dx = backward(&[(&y, seed)]).expect("gradients").take(&x).expect("the input's gradient");
    [y.value().clone(), dx]
}

/// Compares with weights in four bytes. Pairs of values are multiplied in bf16, so `pairs` says whether there are pairs alone in what is
/// summed, for the result and for the gradient.
fn compare(
    name: &str,
    x: &[usize],
    weight: &[usize],
    pairs: [bool; 2],
    operation: impl Fn(&CandleEngine, &Tensor, &Tensor) -> Result<Tensor>,
) {
    let mut stream = ChaCha8Rng::seed_from_u64(0);
    let (x, weight) = (random(&mut stream, x), random(&mut stream, weight));
    for dtype in [DType::BF16, DType::F16] {
        let half = weight.to_dtype(dtype).expect("half");
        let same = half.to_dtype(DType::F32).expect("the same values");
        let rounds = pairs.map(|pairs| pairs && dtype == DType::BF16 && multiplies_bf16());
        let (found, wanted) = (run(&x, half, [false; 2], &operation), run(&x, same, rounds, &operation));
        for (what, (found, wanted)) in ["result", "gradient"].iter().zip(found.iter().zip(&wanted)) {
            let difference = difference(found, wanted);
            assert!(difference < 2e-6, "{name}, {dtype:?}: {what} differs by {difference}");
        }
    }
}

#[test]
fn linear_layers() {
    let bias = random(&mut ChaCha8Rng::seed_from_u64(2), &[130]);
    compare("bias", &[3, 7, 34], &[130, 34], [true; 2], |engine, x, w| {
        engine.linear(x, w, Some(&Tensor::constant(bias.clone())))
    });
    // More than one band of weights each way.
    compare("bands", &[2, 5, 1500], &[1200, 1500], [true; 2], |engine, x, w| engine.linear(x, w, None));
    // Rows for more than one part, columns for less than one panel.
    compare("many rows", &[3, 171, 40], &[6, 40], [true; 2], |engine, x, w| engine.linear(x, w, None));
    compare("odd inputs", &[2, 5, 33], &[20, 33], [false, true], |engine, x, w| engine.linear(x, w, None));
    compare("odd outputs", &[2, 5, 38], &[47, 38], [true, false], |engine, x, w| engine.linear(x, w, None));
}

#[test]
fn convolutions() {
    let cases = [
        ("3x3", [2, 9, 7, 20], [50, 3, 3, 20], ConvGeometry::same(3)),
        ("few positions", [1, 4, 4, 40], [100, 3, 3, 40], ConvGeometry::same(3)),
        ("many positions", [1, 40, 40, 8], [12, 3, 3, 8], ConvGeometry::same(3)),
        ("stride 2", [2, 8, 11, 6], [10, 3, 3, 6], ConvGeometry { stride: 2, before: 1, after: 1 }),
        ("padding after", [1, 8, 8, 6], [10, 3, 3, 6], ConvGeometry { stride: 2, before: 0, after: 1 }),
        ("1x1", [2, 5, 6, 30], [70, 1, 1, 30], ConvGeometry::same(1)),
    ];
    for (name, x, weight, geometry) in cases {
        compare(name, &x, &weight, [true; 2], |engine, x, w| engine.conv2d(x, w, None, geometry));
    }
    let same = ConvGeometry::same(3);
    compare("odd", &[1, 6, 6, 5], &[7, 3, 3, 5], [false; 2], |engine, x, w| engine.conv2d(x, w, None, same));
}
