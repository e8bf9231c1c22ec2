//! Reading the golden fixtures in `tests/fixtures` (its README says how they were made).
//!
//! Everything here panics with the file's name: a missing fixture is a broken checkout.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

/// A tensor of a fixture: its shape and its values, integers as floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
}

/// The path of a fixture.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The text of a fixture.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// The tensors of a safetensors fixture (float32 or int64), by name.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn tensors(name: &str) -> BTreeMap<String, Golden> {
    let bytes = std::fs::read(path(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("fixture {name}: {error}"));
    file.iter()
        .map(|(key, view)| {
            let values = match view.dtype() {
                Dtype::F32 => chunks(view.data(), f32::from_le_bytes),
                Dtype::I64 => chunks(view.data(), |bytes| i64::from_le_bytes(bytes) as f32),
                other => panic!("fixture {name}: {key} is {other:?}"),
            };
            (key.to_owned(), Golden { shape: view.shape().to_vec(), values })
        })
        .collect()
}

fn chunks<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|bytes| read(*bytes)).collect()
}

/// The largest difference, relative to the largest golden value or 1, whichever is more.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn relative_difference(found: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(found.len(), golden.len(), "different numbers of elements");
    let scale = golden.iter().fold(1.0_f32, |scale, x| scale.max(x.abs()));
    let largest = found.iter().zip(golden).fold(0.0_f32, |most, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f32::INFINITY } else { most.max(difference) }
    });
    largest / scale
}
