//! What the tests of the engine share.
#![allow(dead_code)]

use candle_core::{DType, Device, Tensor as Value};
use mudi_engine_candle::{CandleEngine, Tensor};
use mudi_engine_cases::{cases, random};

pub(crate) type Case = mudi_engine_cases::Case<CandleEngine>;

/// Every path of the engine that a CPU can run: its kernels, and the compositions that GPUs use.
pub(crate) fn engines() -> [CandleEngine; 2] {
    [CandleEngine::cpu(), CandleEngine::composed(Device::Cpu, DType::F32).expect("f32 is supported")]
}

/// Every operation on every path.
pub(crate) fn runs() -> impl Iterator<Item = (CandleEngine, Case)> {
    engines().into_iter().flat_map(|engine| cases().into_iter().map(move |case| (engine.clone(), case)))
}

pub(crate) fn value(values: &[f32], shape: &[usize]) -> Value {
    Value::from_slice(values, shape, &Device::Cpu).expect("the values fill the shape")
}

pub(crate) fn values(tensor: &Value) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("f32 values")
}

/// A case's tensors, leaves where `tracked` says so.
pub(crate) fn tensors(case: &Case, values: &[Vec<f32>], tracked: impl Fn(usize) -> bool) -> Vec<Tensor> {
    let tensor = |(index, (values, shape)): (usize, (&Vec<f32>, &Vec<usize>))| {
        let value = value(values, shape);
        if tracked(index) { Tensor::leaf(value) } else { Tensor::constant(value) }
    };
    values.iter().zip(&case.inputs).enumerate().map(tensor).collect()
}

/// A random gradient of a result.
pub(crate) fn seed(y: &Tensor) -> Value {
    value(&random(99, y.value().elem_count()), y.value().dims())
}

/// Largest error, relative to the largest value of the result.
const TOLERANCE: f64 = 1e-5;

/// A tensor of random values, and those values in double precision.
pub(crate) fn drawn(seed: u64, shape: &[usize]) -> (Tensor, Vec<f64>) {
    let values = random(seed, shape.iter().product());
    (Tensor::constant(value(&values, shape)), values.iter().map(|&v| f64::from(v)).collect())
}

/// Holds values and shape of a result against those that are right.
pub(crate) fn assert_close(found: &Tensor, shape: &[usize], expected: &[f64]) {
    assert_eq!(found.value().dims(), shape);
    let found = values(found.value());
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
    for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs() / largest;
        assert!(error < TOLERANCE, "at {index}: {found}, expected {expected} (error {error:.1e})");
    }
}
