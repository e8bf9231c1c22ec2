//! Golden tensors made with the reference implementations (`tests/fixtures/README.md`).

use candle_core::{DType, Device, Tensor};
use mudi_diffusion::{Parameters, parse};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{FileWeights, NamedTensors, read_safetensors};

pub use crate::fixtures::path as fixture;

/// The tensors of a fixture.
///
/// # Panics
/// Where the file cannot be read.
#[must_use]
pub fn tensors(path: &str) -> NamedTensors {
    read_safetensors(&fixture(path)).unwrap_or_else(|error| panic!("{error}"))
}

/// Every path of the engine that a CPU can run: its kernels, and the compositions that GPUs use.
///
/// # Panics
/// Never: `f32` is supported.
#[must_use]
pub fn engines() -> [CandleEngine; 2] {
    [CandleEngine::cpu(), CandleEngine::composed(Device::Cpu, DType::F32).expect("f32 is supported")]
}

/// Builds the network in `folder` from its `config.json` and `weights`; `finish` says whether every tensor must be used.
///
/// # Panics
/// Where the files do not fit the network.
pub fn network<C: serde::de::DeserializeOwned, N>(
    engine: &CandleEngine,
    folder: &str,
    weights: &str,
    finish: bool,
    new: impl FnOnce(C, &mut dyn Parameters<CandleEngine>) -> mudi_diffusion::Result<N>,
) -> N {
    let config = std::fs::read_to_string(fixture(folder).join("config.json")).expect("config.json");
    let config = parse(&config).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut file = FileWeights::open(engine, &fixture(folder).join(weights)).expect("weights");
    let network = file.build(|parameters| new(config, parameters)).unwrap_or_else(|error| panic!("{error}"));
    if finish {
        file.finish().unwrap_or_else(|error| panic!("{error}"));
    }
    network
}

/// All values, as `f32`.
///
/// # Panics
/// On types that are not numbers.
#[must_use]
pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .and_then(|tensor| tensor.flatten_all())
        .and_then(|tensor| tensor.to_vec1())
        .expect("numbers")
}

/// The largest difference, as a share of the expected values' range.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn error_of_range(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "as many values as the reference");
    let (low, high) =
        expected.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    assert!(high > low, "the reference's output is constant");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A NaN must not pass for a small error.
    if found.iter().all(|v| v.is_finite()) { worst / (high - low) } else { f32::INFINITY }
}

/// The largest difference, relative to the largest golden value or 1, whichever is more.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn relative_difference(found: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(found.len(), golden.len(), "as many values as the reference");
    let scale = golden.iter().fold(1.0_f32, |scale, x| scale.max(x.abs()));
    let largest = found.iter().zip(golden).fold(0.0_f32, |most, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f32::INFINITY } else { most.max(difference) }
    });
    largest / scale
}

/// The values must be the reference's, to a hundred-thousandth of their range: with `f32` on both sides only the order of additions is left.
///
/// # Panics
/// Where they are not.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    let error = error_of_range(found, expected);
    println!("{what}: max error {error:.2e} of the range");
    assert!(error <= 1e-5, "{what}: {error:.2e}");
}
