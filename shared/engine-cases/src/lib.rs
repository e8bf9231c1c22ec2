//! What every engine is tested on: [operations](cases), [large](fn@large) ones and [networks] with inputs to try them on, written once, so that
//! engines are held against each other on the very same work.

mod large;
pub mod networks;
mod operations;

pub use large::large;
pub use operations::{ACTIVATIONS, Case, cases, inputs};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Values uniform in -1..1, the same for the same seed on every machine.
#[must_use]
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}
